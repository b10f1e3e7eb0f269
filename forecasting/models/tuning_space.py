"""The space of recipes that tuning searches: around the present one, in the numbers and the lists that matter."""

from collections.abc import Iterator, Mapping
from math import ceil, floor
from typing import TYPE_CHECKING, Any

from daypart.forecasting.models.members import BOOSTED, LEARNED
from daypart.forecasting.models.recipe import NAMES_THE_DATE, Recipe

if TYPE_CHECKING:
    from optuna import Trial

Params = Mapping[str, Any]
"""A recipe as a trial has it: each tuned number, and for every name that a list may hold whether it does."""

TUNED_NUMBERS = {"rounds": 3.0, "leaves": 4.0, "learning_rate": 3.0, "history_days": 3.0, "max_rows": 2.0}
"""Numbers of a recipe that are tuned, from so many times below the present one to so many times above it."""

TUNED_MEMBERS = (*LEARNED, "statistical")
TUNED_LISTS: dict[str, tuple[str, ...]] = {"members": TUNED_MEMBERS, "left_out": NAMES_THE_DATE}
"""Lists of a recipe of which every name, and every other that the present list holds, may be in or out."""

NUMBER_FORMAT = ".3g"
"""To how many digits numbers are tried and proposed, for the sake of who reads them."""


def suggest(trial: "Trial", present: Recipe) -> Recipe:
    """Return the recipe that a trial tries."""
    for field, factor in TUNED_NUMBERS.items():
        low, high = _range(field, getattr(present, field), factor)
        if isinstance(getattr(present, field), int):
            trial.suggest_int(field, ceil(low), floor(high), log=True)
        else:
            trial.suggest_float(field, low, high, log=True)
    for field, name in _switches(present):
        trial.suggest_categorical(f"{field}.{name}", [False, True])
    return recipe_of(trial.params, present)


def params_of(present: Recipe) -> dict[str, Any]:
    """Return the parameters of the trial that tries the present recipe."""
    switches = {f"{field}.{name}": name in getattr(present, field) for field, name in _switches(present)}
    return {field: getattr(present, field) for field in TUNED_NUMBERS} | switches


def recipe_of(params: Params, present: Recipe) -> Recipe:
    """Return the recipe of a trial's parameters; settings that are not tuned are those of the present one."""
    settings: dict[str, Any] = {field: _round(params[field], getattr(present, field)) for field in TUNED_NUMBERS}
    for field in TUNED_LISTS:
        settings[field] = tuple(name for name in _names(field, present) if params.get(f"{field}.{name}", True))
    return Recipe.model_validate(present.model_dump() | settings)


def _names(field: str, present: Recipe) -> list[str]:
    """Return all names of a list, the present ones first, in their order."""
    return list(dict.fromkeys((*getattr(present, field), *TUNED_LISTS[field])))


def _switches(present: Recipe) -> Iterator[tuple[str, str]]:
    """Yield the names that may be in or out, by list. One member always stays: the first boosted one, if any."""
    stays = next((name for name in present.members if name in BOOSTED), present.members[0])
    for field in TUNED_LISTS:
        yield from ((field, name) for name in _names(field, present) if (field, name) != ("members", stays))


def _range(field: str, value: float, factor: float) -> tuple[float, float]:
    """Return bounds around the present value, inside what a recipe may hold."""
    limits = Recipe.model_fields[field].metadata
    lows = [float(limit.ge) for limit in limits if hasattr(limit, "ge")]
    highs = [(value + float(limit.lt)) / 2 for limit in limits if hasattr(limit, "lt")]
    return max(value / factor, *lows, 0.0), min([value * factor, *highs])


def _round(value: float, present: float) -> float:
    """Return a tried number to a few digits, but the present one as it is."""
    return value if value == present else type(present)(float(format(value, NUMBER_FORMAT)))
