import optuna
import pytest

from daypart.forecasting.models import tuning_space
from daypart.forecasting.models.members import BOOSTED
from daypart.forecasting.models.recipe import Recipe

PRESENT = (
    Recipe(),
    Recipe(rounds=1, leaves=2, learning_rate=0.9, history_days=28, max_rows=1000),
    Recipe(rounds=4321, max_rows=123_457, members=("statistical", "level"), left_out=("history_", "macro_")),
    Recipe(members=("linear",), left_out=()),
)


@pytest.mark.parametrize("present", PRESENT)
def test_the_present_recipe_is_a_point_of_the_space(present: Recipe) -> None:
    study = optuna.create_study()
    study.enqueue_trial(tuning_space.params_of(present))
    assert tuning_space.suggest(study.ask(), present) == present


@pytest.mark.parametrize("present", PRESENT)
def test_every_point_is_a_recipe_near_the_present_one(present: Recipe) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    tried = [tuning_space.suggest(study.ask(), present) for _ in range(60)]
    fixed = set(Recipe.model_fields) - tuning_space.TUNED_NUMBERS.keys() - tuning_space.TUNED_LISTS.keys()
    for recipe in tried:
        assert recipe == Recipe.model_validate(recipe.model_dump())
        assert all(getattr(recipe, name) == getattr(present, name) for name in fixed)
        assert recipe.members
        assert set(BOOSTED) & set(recipe.members) or not set(BOOSTED) & set(present.members)
        for name, factor in tuning_space.TUNED_NUMBERS.items():
            ratio = getattr(recipe, name) / getattr(present, name)
            assert 0.99 / factor <= ratio <= 1.01 * factor
    for name in (*tuning_space.TUNED_NUMBERS, *tuning_space.TUNED_LISTS):
        assert len({getattr(recipe, name) for recipe in tried}) > 1, name
