"""The report of a backtest: one file of HTML that opens anywhere, offline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import polars as pl

from daypart.features.errors import InputError
from daypart.flows.files.atomic_files import atomic_write

IMPORTANCE: dict[str, type[pl.DataType]] = {
    "target": pl.String,
    "member": pl.String,
    "feature": pl.String,
    "gain_share": pl.Float64,
}


@dataclass(frozen=True)
class Report:
    """What a report tells.

    `scored` is a backtest frame: one row per store, target, origin and hour (`forecasting.metrics.accuracy.score`).
    `importance` has one row per target, member and feature; `gain_share` of one member adds up to 1.
    `lineage` says where the figures come from: text, numbers, or mappings and lists of them. `notices` are
    sentences that must not be overlooked, such as that the weather was observed. `created` is shown as given.
    `names` has the names of those stores, by id, that are called by more than it.
    """

    title: str
    subtitle: str
    scored: pl.DataFrame
    created: datetime
    importance: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=IMPORTANCE))
    lineage: Mapping[str, object] = field(default_factory=dict)
    notices: Sequence[str] = ()
    names: Mapping[str, str] = field(default_factory=dict)


def write_report(path: Path, report: Report) -> None:
    """Write the report to `path` as one file of HTML that asks the network for nothing.

    The file is there whole or not at all; an older one is replaced. The same report gives the same bytes.
    Raises `InputError` where no row of `scored` has an actual.
    """
    if report.scored["actual"].null_count() == report.scored.height:
        raise InputError("nothing to report: no forecast hour has an actual yet; choose an earlier backtest period")
    from daypart.flows.report.page import render

    page = render(report)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as draft:
        draft.write_text(page, encoding="utf-8")
