from pathlib import Path

import pytest

from daypart.features.errors import InputError, NotKnownError
from daypart.flows.config.recipes import RECIPE_SETTINGS, SET_ELSEWHERE, Recipes
from daypart.forecasting.models.recipe import Recipe

BASE = Recipe(seed=3, weather="none", rounds=50)
TEXT = """# why
[recipe.standard]
rounds = 300
left_out = []

[recipe.standard.orders]
rounds = 400
members = ["ratio", "linear"]

[recipe.quick]
leaves = 7
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "recipes.toml"
    path.write_text(TEXT)
    return path


def test_without_a_file_recipes_are_the_usual(tmp_path: Path) -> None:
    assert Recipes.read(tmp_path / "recipes.toml").recipe("orders", BASE) == BASE


def test_a_targets_settings_win_over_its_tiers_and_those_over_the_usual(file: Path) -> None:
    recipes = Recipes.read(file)
    assert recipes.recipe("sales", BASE) == BASE.model_copy(update={"rounds": 300, "left_out": ()})
    changes = {"rounds": 400, "left_out": (), "members": ("ratio", "linear")}
    assert recipes.recipe("orders", BASE) == BASE.model_copy(update=changes)
    assert recipes.recipe("orders", BASE, "quick") == BASE.model_copy(update={"leaves": 7})
    with pytest.raises(NotKnownError, match=r"no tier 'slow': expected standard, quick, or add \[recipe.slow\]"):
        recipes.recipe("orders", BASE, "slow")


def test_what_is_written_reads_the_same(file: Path) -> None:
    recipes = Recipes.read(file)
    file.write_text(recipes.text())
    assert Recipes.read(file) == recipes
    all_settings = {name: value for name, value in Recipe().model_dump(mode="json").items() if name in RECIPE_SETTINGS}
    file.write_text(Recipes({"standard": {"sales": all_settings}}).text())
    assert Recipes.read(file).recipe("sales", Recipe(rounds=1, leaves=2)) == Recipe()


def test_every_setting_of_a_recipe_is_either_in_the_file_or_said_elsewhere() -> None:
    assert {*RECIPE_SETTINGS, *SET_ELSEWHERE} == set(Recipe.model_fields)


def test_one_targets_recipe_is_told_by_what_differs(file: Path) -> None:
    recipes = Recipes.read(file)
    target_recipe = BASE.model_copy(update={"rounds": 300, "left_out": (), "learning_rate": 0.031})
    changed = recipes.with_recipe("orders", target_recipe, BASE)
    assert changed.tiers["standard"]["orders"] == {"learning_rate": 0.031}
    file.write_text(changed.text())
    again = Recipes.read(file)
    assert again.recipe("orders", BASE) == target_recipe
    assert again.recipe("sales", BASE) == recipes.recipe("sales", BASE)
    assert again.recipe("sales", BASE, "quick") == recipes.recipe("sales", BASE, "quick")
    usual = recipes.with_recipe("orders", recipes.recipe("sales", BASE), BASE)
    assert "orders" not in usual.tiers["standard"]
    assert "[recipe.standard]" in Recipes().with_recipe("orders", BASE, BASE).text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[recipe.standard]\nrounds = 300\n[recipe.standard.sales]\nrounds = 'many'\n", "line 4: rounds is 'many'"),
        ("[recipe.standard.orders]\n# few\nrouns = 1\n", "line 3: 'rouns' is not known here; expected members"),
        ("[recipe.standard]\nseed = 1\n", "line 2: 'seed' is not known here; expected members"),
        ("\nrecpie = 2\n", "line 2: 'recpie' is not known here; expected tables such as [recipe.standard]"),
        ("recipe = 3\n", "line 1: recipe is 3; expected a table such as [recipe.standard]"),
        ("[recipe]\nrounds = 3\n", "line 2: rounds is 3; expected a table such as [recipe.standard]"),
        ("[recipe.standard]\norders = 3\n", "line 2: orders is 3; expected a table"),
        (
            "[recipe.a]\nmembers = ['ratio', 'ratioo']\n",
            "line 2: members is 'ratioo': Input should be 'ratio', 'level'",
        ),
        ("[recipe.a]\nmembers = []\n", "line 2: members is []"),
        ("[recipe.a]\nlearning_rate = 1\n", "line 2: learning_rate is 1: Input should be less than 1"),
        ("[recipe.a]\nrounds = true\n", "line 2: rounds is True"),
        ("[recipe.a.b]\nrounds = 3\n", "line 1: 'b' is not known here"),
        ("[recipe.'a b']\nrounds = 3\n", "line 1: a b is 'a b'"),
        ("[recipe.a\nrounds = 3\n", "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line_that_says_where(file: Path, text: str, expected: str) -> None:
    file.write_text(text)
    with pytest.raises(InputError) as refused:
        Recipes.read(file)
    assert str(refused.value).startswith(str(file))
    assert expected in str(refused.value)
    assert "\n" not in str(refused.value)
