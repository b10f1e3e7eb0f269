"""What is printed of the files that point-of-sale lines came from."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from daypart.flows.display.tables import print_json, print_table

if TYPE_CHECKING:
    from daypart.flows.ingest.pos_sources import SourceRemoval

MOST_STORES = 3


def show_sources(rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """One row per file: what it held, and when it came and went."""
    if as_json:
        print_json({"sources": rows})
        return
    if not rows:
        print("no point-of-sale lines: start with `daypart ingest pos FILE --mapping FILE.toml`")
    print_table([
        {
            "source": row["source"], "ingested_utc": _minute(row["ingested_utc"]), "lines_read": row["lines_read"],
            "lines_kept": row["lines_kept"], "first_hour": _minute(row["first_hour_local"]),
            "last_hour": _minute(row["last_hour_local"]), "stores": _stores(row["stores"]),
            "taken_back_utc": _minute(row["taken_back_utc"]), "name": row["name"],
        }
        for row in rows
    ])  # fmt: skip


def show_taken_back(removal: "SourceRemoval", *, as_json: bool) -> None:
    """What went, and what became of demand."""
    demand = {name: value for name, value in asdict(removal.demand).items() if name not in ("shared", "unexplained")}
    if as_json:
        source = {name: removal.source[name] for name in ("source", "sha256", "name")}
        print_json({**source, "lines": removal.lines, "kept_before": removal.kept_before, "demand": demand})
        return
    changed = removal.demand.taken + removal.demand.replaced
    print(f"{removal.source['name']} is taken back: {removal.lines:,} lines")
    print(f"demand: {changed:,} store-hours counted again, {removal.demand.emptied:,} removed as no file holds them")
    if removal.kept_before:
        print(f"demand before {removal.kept_before} stays as it is: its lines were removed by lines_days")


def _stores(ids: Sequence[str]) -> str:
    return ", ".join(ids) if len(ids) <= MOST_STORES else f"{ids[0]} and {len(ids) - 1:,} more"


def _minute(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M}"
