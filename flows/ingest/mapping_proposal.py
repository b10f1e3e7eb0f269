"""Proposes the mapping of point-of-sale exports, and shows what it would read. Nothing is ingested."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from daypart.features.errors import InputError
from daypart.features.mapping_guess.column_names import Guess
from daypart.features.mapping_guess.proposal import guess_mapping
from daypart.features.pos import time_zones
from daypart.features.pos.lines import MILLIONTHS, Lines, read_lines
from daypart.features.pos.mapping import Mapping
from daypart.flows.files import table_files
from daypart.flows.files.atomic_files import atomic_write
from daypart.flows.files.file_layout import sniff
from daypart.flows.files.pos_files import read_export
from daypart.flows.home import Home

SHOWN = 10
"""Lines that are shown as they would be read."""


@dataclass(frozen=True)
class Proposal:
    """A mapping for an export, and what it would read of it.

    `shape` is the known export that it was told from, `toml` its text with the doubts as comments. `lines` are the
    first SHOWN lines that count: store_id, ticket, at_local, amount (null without prices). `path` is where the text
    was written.
    """

    shape: str | None
    mapping: dict[str, Any]
    doubts: list[str]
    toml: str
    lines: list[dict[str, Any]] = field(default_factory=list)
    path: str | None = None


def guess_pos(home: Home, paths: Sequence[Path | str], out: Path | None = None) -> Proposal:
    """Proposes a mapping for the files, of one kind, from the first of them, and writes it as TOML to `out`.

    Times are shown on the clock of the store, or, where `stores` does not hold it, on that of the file. Raises
    InputError for files that cannot be read, and where `out` is there already.
    """
    if out is not None and out.exists():
        raise InputError(f"{out}: is there already; give --mapping another file, or move this one away")
    files = table_files.find(paths)
    stores = home.lake.scan("stores").select("store_id", "timezone").collect() if home.lake.exists("stores") else None
    layout = sniff(files[0])
    export = table_files.read(files[0], layout.get("delimiter", ","), layout.get("encoding", "utf-8"),
                        layout.get("skip_lines", 0), layout.get("sheet"))  # fmt: skip
    if export.is_empty():
        raise InputError(f"{files[0]}: found no lines, expected at least one")
    guess = guess_mapping(export, stores["store_id"].to_list() if stores is not None else [])
    guess.settings = {**layout, **guess.settings}
    lines = _read(guess, files, stores)
    proposal = Proposal(
        guess.shape, guess.settings, guess.doubts, to_toml(guess, files[0].name), lines, str(out) if out else None
    )
    if out is not None:
        with atomic_write(out) as draft:
            draft.write_text(proposal.toml, "utf-8")
    return proposal


def _read(guess: Guess, files: Sequence[Path], stores: pl.DataFrame | None) -> list[dict[str, Any]]:
    """The first lines as the mapping reads them; adds doubts about files and lines that it does not read."""
    try:
        mapping = Mapping.from_settings(guess.settings)
    except InputError as error:
        guess.doubts.append(str(error))
        return []
    parts = []
    for path in files:
        try:
            parts.append(read_export(path, mapping))
        except InputError as error:
            guess.doubts.append(str(error))
    if not parts:
        return []
    export = parts[0]
    read = read_lines(export, mapping, _zones(guess, export, mapping, stores))
    _doubt_refused(guess, read)
    amount = (pl.col("millionths") / MILLIONTHS) if mapping.has_prices else pl.lit(None, pl.Float64)
    shown = read.rows.head(SHOWN).select("store_id", "ticket", "at_local", amount=amount)
    return shown.with_columns(pl.col("at_local").dt.strftime("%Y-%m-%d %H:%M:%S")).to_dicts()


def _zones(guess: Guess, export: pl.DataFrame, mapping: Mapping, stores: pl.DataFrame | None) -> pl.DataFrame:
    """The stores' zones; a store that is not known is shown on the clock of the file."""
    store_ids = (
        export[mapping.columns.store].cast(pl.String).str.strip_chars()
        if mapping.columns.store
        else pl.Series([mapping.store_id])
    )
    store_zones = stores if stores is not None else pl.DataFrame(schema={"store_id": pl.String, "timezone": pl.String})
    strange = store_ids.drop_nulls().unique().sort().to_frame("store_id").join(store_zones, on="store_id", how="anti")
    if strange.is_empty():
        return store_zones
    names = [mapping.timezone] if mapping.timezone else ["UTC"]
    if mapping.columns.timezone:
        names = export[mapping.columns.timezone].drop_nulls().cast(pl.String).mode().to_list() or names
    zone = time_zones.iana_zones(names).get(str(names[0]), "UTC")
    listed = ", ".join(strange["store_id"].head(3)) + (" and others" if strange.height > 3 else "")
    guess.doubts.append(f"store {listed} is not in stores: ingest stores first; times are shown in {zone}")
    return pl.concat([store_zones, strange.with_columns(timezone=pl.lit(zone))], how="vertical_relaxed")


def _doubt_refused(guess: Guess, read: Lines) -> None:
    refused = read.refused["row"].n_unique()
    if refused:
        first = read.refused.row(0, named=True)
        guess.doubts.append(
            f"{refused} of {read.read} lines would be refused, such as row {first['row']}: {first['column']} "
            f"{first['value'] or ''!r} {first['reason']}"
        )


def to_toml(guess: Guess, name: str) -> str:
    """The mapping as TOML: which export it is of, the doubts as comments, then the settings."""
    title = f"# mapping of {name}" + (f", a {guess.shape} export" if guess.shape else "")
    comments = [" ".join(f"# unsure: {doubt}".split()) for doubt in guess.doubts]
    tables = {key: value for key, value in guess.settings.items() if isinstance(value, dict)}
    plain = [
        f"{key} = {_value(value)}"
        for key, value in guess.settings.items()
        if not isinstance(value, dict) and key != "drop"
    ]
    lines = [" ".join(title.split()), *comments, *plain]
    for key, table in tables.items():
        lines += ["", f"[{key}]", *(f"{word} = {_value(value)}" for word, value in table.items())]
    for rule in guess.settings.get("drop", []):
        lines += ["", "[[drop]]", *(f"{word} = {_value(value)}" for word, value in rule.items())]
    return "\n".join([*lines, ""])


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
