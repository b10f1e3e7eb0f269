"""How a job's result looks where it is evaluated: in a Python prompt, and in a notebook."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from html import escape
from typing import Any

import polars as pl

MOST_ROWS = 12


class Result:
    """A base of frozen dataclasses: `repr` is a table of its fields, and a notebook shows it as HTML.

    Fields that are rows (a frame, or a list of mappings or dataclasses) are shown as frames, others as a line.
    """

    def __repr__(self) -> str:
        """Return one line per value and one table per field of rows."""
        values = _values(self)
        width = max(map(len, values), default=0)
        lines = [f"{name:<{width}}  {value}" for name, value in values.items()]
        with pl.Config(tbl_rows=MOST_ROWS, tbl_hide_dataframe_shape=True, tbl_width_chars=110, fmt_str_lengths=60):
            tables = [f"{name}: {frame.height:,} rows\n{frame}" for name, frame in _frames(self).items()]
        return "\n".join([type(self).__name__, *lines, *tables])

    def _repr_html_(self) -> str:
        """Return the same as HTML."""
        cells = "".join(
            f"<tr><th>{name}</th><td>{escape(str(value))}</td></tr>" for name, value in _values(self).items()
        )
        with pl.Config(tbl_rows=MOST_ROWS, tbl_hide_dataframe_shape=True, fmt_str_lengths=200):
            tables = [
                f"<h5>{name}: {frame.height:,} rows</h5>{frame._repr_html_()}" for name, frame in _frames(self).items()
            ]
        return f"<h4>{type(self).__name__}</h4><table>{cells}</table>{''.join(tables)}"


def _fields(result: Any) -> dict[str, Any]:
    return {field.name: getattr(result, field.name) for field in fields(result) if field.repr}


def _values(result: Any) -> dict[str, Any]:
    """Return the fields that are no rows, without those that are empty."""
    values = {name: value for name, value in _fields(result).items() if _frame(value) is None}
    return {name: _text(value) for name, value in values.items() if value is not None and value not in ((), [], {}, "")}


def _frames(result: Any) -> dict[str, pl.DataFrame]:
    """Return the fields that are rows, without those that have none."""
    frames = {name: _frame(value) for name, value in _fields(result).items()}
    return {name: frame for name, frame in frames.items() if frame is not None and frame.height}


def _frame(value: Any) -> pl.DataFrame | None:
    if isinstance(value, pl.DataFrame):
        return value
    if isinstance(value, Mapping) and value and all(map(is_dataclass, value.values())):
        rows = [{"of": name, **_row(row)} for name, row in value.items()]
    elif isinstance(value, Mapping) and value and all(isinstance(part, pl.DataFrame) for part in value.values()):
        rows = [{"of": name, "rows": part.height, "columns": ", ".join(part.columns)} for name, part in value.items()]
    elif isinstance(value, list | tuple) and value:
        rows = [_row(row) for row in value]
    else:
        return None
    if not all(isinstance(row, Mapping) for row in rows):
        return None
    return pl.DataFrame([{name: _cell(cell) for name, cell in row.items()} for row in rows], infer_schema_length=None)


def _row(row: Any) -> Any:
    return _fields(row) if is_dataclass(row) else row


def _cell(value: Any) -> Any:
    """Return a value that a column holds; times, which may be of several kinds in it, and what is nested are text."""
    return value if value is None or isinstance(value, str | bool | int | float) else _text(value)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items() if part is not None)
    if is_dataclass(value):
        return _text(_row(value))
    if isinstance(value, list | tuple):
        return "; ".join(map(_text, value))
    return f"{value:,.6g}" if isinstance(value, float) else str(value)
