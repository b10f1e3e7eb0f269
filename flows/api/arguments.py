"""Reads what callers pass: dates as text, names of targets, frames of pandas or polars."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import polars as pl

from daypart.features.errors import InputError
from daypart.features.tables.parsing import EARLIEST_YEAR, LATEST_YEAR
from daypart.features.tables.schemas import TARGETS

if TYPE_CHECKING:
    import pandas as pd

    from daypart.forecasting.models.recipe import Recipe

Day: TypeAlias = date | str
"""A date, or its ISO 8601 text."""
Data: TypeAlias = "str | Path | pl.DataFrame | pl.LazyFrame | pd.DataFrame"
"""A file, a folder of files, or a frame of polars or pandas."""
GROUPS = {
    **{"store": "store_id", "region": "region", "format": "format", "country": "country"},
    **{"tier": "tier", "daypart": "daypart", "lead": "lead_days", "model": "model_version"},
}
"""What accuracy can be parted by, and the column of each."""
WEATHER_VIEWS = ("issued", "observed", "none")


def day(value: Day, name: str) -> date:
    """Return the date. Raises InputError, with the argument's name, for no date or a year that no table takes."""
    if isinstance(value, datetime):
        value = value.date()
    if not isinstance(value, date):
        try:
            value = date.fromisoformat(value)
        except (TypeError, ValueError):
            raise InputError(f"{name} is {value!r}: expected a date such as 2025-11-24") from None
    if not EARLIEST_YEAR <= value.year <= LATEST_YEAR:
        raise InputError(f"{name} is {value}: expected a year from {EARLIEST_YEAR} to {LATEST_YEAR}")
    return value


def optional_day(value: Day | None, name: str) -> date | None:
    """Return the date, null where none is given. Raises as `day`."""
    return None if value is None else day(value, name)


def names(value: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return names that are given as one text or as several, each once and in order; empty where none is given."""
    if value is None:
        return ()
    return tuple(dict.fromkeys([value] if isinstance(value, str) else value))


def targets(value: str | Iterable[str] | None, name: str = "targets") -> tuple[str, ...] | None:
    """Return the targets, null where none is given. Raises InputError for a name that is none."""
    chosen = names(value)
    if set(chosen) - set(TARGETS):
        raise InputError(f"{name} is {','.join(chosen)!r}: expected orders, sales or both, separated by a comma")
    return chosen or None


def recipe(weather: str, seed: int, name: str = "weather") -> "Recipe":
    """Return the standard recipe with a view of future weather. Raises InputError for a view that is none."""
    from daypart.forecasting.models.recipe import Recipe

    if weather not in WEATHER_VIEWS:
        raise InputError(f"{name} is {weather!r}: expected issued, observed or none")
    return Recipe(weather=weather, seed=seed)  # type: ignore[arg-type]


def group_columns(groups: Iterable[str], name: str) -> list[str]:
    """Return the columns of groups, each once. Raises InputError for a name that is no group."""
    wrong = [group for group in groups if group not in GROUPS]
    if wrong:
        raise InputError(f"{name} is {wrong[0]!r}: expected {', '.join(GROUPS)}")
    return [GROUPS[group] for group in dict.fromkeys(groups)]


def sources(data: "Data | Sequence[Data]") -> list[Path | pl.DataFrame]:
    """Return files, folders and frames as a list; frames of pandas and lazy ones become polars frames.

    Raises InputError for a value of another kind.
    """
    several = data if isinstance(data, list | tuple) else [data]
    return [Path(part) if isinstance(part, str | Path) else frame(part) for part in several]


def check_options(options: Iterable[str], known: Sequence[str], what: str) -> None:
    """Raise InputError for a name that is no option, with the one that it is close to."""
    for name in options:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InputError(f"{what} has no option {name!r}: expected one of {', '.join(known)}{hint}")


def frame(value: Any) -> pl.DataFrame:
    """Return a frame of pandas or polars, lazy or not, as a polars frame. Raises InputError for another kind."""
    if isinstance(value, pl.LazyFrame):
        return value.collect()
    if isinstance(value, pl.DataFrame):
        return value
    if type(value).__module__.partition(".")[0] == "pandas" and hasattr(value, "columns"):
        return pl.from_pandas(value)
    raise InputError(f"data is a {type(value).__name__}: expected a frame of polars or pandas; convert it")
