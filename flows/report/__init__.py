"""Reports: one file of HTML that opens offline, for a backtest and for a replay of policies.

Start with `write_report`; `figures` computes its tables, `charts` and `palette` draw, and `page` renders. `replays`
reports on a replay.
"""

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
    """The content of a report.

    `scored` is a backtest frame: one row per store, target, origin and hour (`forecasting.metrics.accuracy.score`).
    `importance` has one row per target, member and feature; `gain_share` of one member adds up to 1.
    `lineage` says where the figures come from: text, numbers, or mappings and lists of them. `notices` are
    warnings, such as that the weather was observed. `created` is shown unchanged.
    `names` has the names of stores by id, for those that have one.
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
    """Write the report to `path` as one file of HTML that loads nothing from the network.

    The file is written completely or not at all, and replaces an older one. The same report gives the same bytes.
    Raises InputError if no row of `scored` has an actual.
    """
    if report.scored["actual"].null_count() == report.scored.height:
        raise InputError("nothing to report: no forecast hour has an actual yet; choose an earlier backtest period")
    from daypart.flows.report.page import render

    page = render(report)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as draft:
        draft.write_text(page, encoding="utf-8")
