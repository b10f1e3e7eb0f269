"""What is printed of policies that were replayed."""

from pathlib import Path
from typing import TYPE_CHECKING

from daypart.flows.display.tables import print_json, print_table

if TYPE_CHECKING:
    from daypart.flows.report.replays import Replays

BPS = ("accuracy_hour_bps", "accuracy_day_bps", "gain_hour_bps", "gain_day_bps")


def show_replay(replays: "Replays", out: Path | None, *, as_json: bool) -> None:
    """A line per target and policy, and where the report is."""
    rows = replays.summary.to_dicts()
    if as_json:
        print_json({"policies": rows, "nights": replays.nights.to_dicts(), "notices": replays.notices, "out": out})
        return
    for notice in replays.notices:
        print(notice)
    print_table([
        {
            "target": row["target"], "policy": row["policy"],
            **{name: None if row[name] is None else round(row[name]) for name in BPS},
            **{name: row[name] for name in ("retrains", "promotions", "cpu_seconds", "cost_dollars", "nights")},
        }
        for row in rows
    ])  # fmt: skip
    if out is not None:
        print(f"report {out}")
