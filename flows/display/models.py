"""What is printed of models and their trial on the past."""

import json as encoding
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daypart.flows.display.tables import level_rows, print_json, print_left_out, print_table

if TYPE_CHECKING:
    from daypart.flows.compute.meter import Usage
    from daypart.flows.jobs.backtest import Backtested
    from daypart.flows.jobs.train import Trained
    from daypart.flows.jobs.tune import Tunings

MOST_BY_STAGE = 4
"""Of more units than these the usage is told in all, not by stage."""


def usage_rows(usage: Iterable["Usage"]) -> list[dict[str, Any]]:
    return [{**asdict(each), "peak_gib": round(each.peak_gib, 2)} for each in usage]


def show_usage(usage: Iterable["Usage"], dollars: float, title: str = "") -> None:
    """What a job took by stage, and its cost."""
    print_table(usage_rows(usage), title)
    print(f"cost ${dollars:.4f}")


def show_train(trained: Iterable["Trained"], *, as_json: bool) -> None:
    """Each unit's version, whether it serves now, and why."""
    done = list(trained)
    rows = [asdict(each) for each in done]
    if as_json:
        print_json({"trained": rows})
        return
    print_table([
        {
            "unit": row["unit"], "version": row["version"], "as_of": row["as_of"],
            "serves": "yes" if row["promoted"] else "no", "why": row["reason"],
        }
        for row in rows
    ])  # fmt: skip
    if len(done) > MOST_BY_STAGE:
        print_table(
            [{"unit": each.unit, **usage_rows(each.usage)[-1], "cost": each.cost_dollars} for each in done], "\n"
        )
        return
    for each in done:
        show_usage(each.usage, each.cost_dollars, f"\n{each.unit}")


def show_backtest(done: "Backtested", out: Path, *, as_json: bool) -> None:
    """accuracy_bps at hour, daypart and day beside incumbent and floor, and where the files are."""
    if as_json:
        files = {"out": out, "report": done.report}
        print_json({"scores": done.scores.to_dicts(), "left_out": done.left_out, **files, "notices": done.notices})
        return
    for notice in done.notices:
        print(notice)
    print_table(level_rows(done.scores))
    print_left_out(done.left_out)
    print(f"rows {out}\nreport {done.report}")


def show_tune(done: "Tunings", *, as_json: bool) -> None:
    """Each target's trials and WAPEs in bps before and by the best of them, what is proposed, and the file."""
    if as_json:
        print_json(asdict(done))
        return
    print_table([
        {
            "target": each.target, "tier": each.tier, "trials": each.trials, "pruned": each.pruned, "best": each.best,
            **{f"{level}_{name}_bps": round(told[level]) for level in ("hour", "day")
               for name, told in (("before", each.before_bps), ("best", each.best_bps))},
            "gain_bps": round(each.gain_bps), "at_least_bps": round(each.at_least_bps),
        }
        for each in done.tuned
    ])  # fmt: skip
    for each in done.tuned:
        settings = ", ".join(f"{name} = {encoding.dumps(value)}" for name, value in each.settings.items())
        print(f"{each.target}: {each.reason}{'; ' * bool(settings)}{settings}")
    print(f"file {done.out}: it takes effect as recipes.toml in the home")
