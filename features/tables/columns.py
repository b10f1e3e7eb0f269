"""Columns of a frame matched with the columns of a canonical table."""

from difflib import get_close_matches

import polars as pl

from daypart.features.errors import SchemaError
from daypart.features.tables.schemas import Column, Table


def moment(name: str) -> str:
    """Return the moment that a column holds, on either clock; other names as they are."""
    return name.removesuffix("_local").removesuffix("_utc")


def moments(table: Table) -> list[str]:
    """Return the moments in the table's columns, in order: `hour` for hour_local and hour_utc."""
    return list(dict.fromkeys(moment(c.name) for c in table.columns if c.kind in ("local", "utc")))


def expected(table: Table) -> dict[str, Column]:
    """Return every column that the table takes, by name: its own, and the other clock of each moment."""
    columns = {column.name: column for column in table.columns}
    for column in table.columns:
        if column.kind in ("local", "utc"):
            local, utc = f"{moment(column.name)}_local", f"{moment(column.name)}_utc"
            columns.setdefault(local, Column(local, "local", column.meaning, required=column.required))
            columns.setdefault(utc, Column(utc, "utc", column.meaning, required=column.required))
    return columns


def match(frame: pl.DataFrame, table: Table) -> list[Column]:
    """Return the columns of the frame as the table defines them.

    Raises SchemaError for a column that is unknown or missing, and where all columns of an `any_of` group are
    missing. Either clock of a moment stands for the other.
    """
    columns, names = expected(table), frame.columns
    for name in names:
        if name not in columns:
            near = get_close_matches(name, columns, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise SchemaError(f"{table.name}: unknown column {name!r}; {hint}it takes {', '.join(columns)}")
    stems = {moment(name) for name in names}
    missing = [_either(c.name) for c in table.columns if c.required and moment(c.name) not in stems]
    if missing:
        missing_names = ", ".join(dict.fromkeys(missing))
        raise SchemaError(f"{table.name}: missing {missing_names}; found {', '.join(names)}")
    for group in table.any_of:
        if not set(group) & set(names):
            raise SchemaError(f"{table.name}: needs one of {', '.join(group)}; found {', '.join(names)}")
    return [columns[name] for name in names]


def _either(name: str) -> str:
    stem = moment(name)
    return name if stem == name else f"{stem}_local or {stem}_utc"
