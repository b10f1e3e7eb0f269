"""What is printed of models and their trial on the past."""

import json as encoding
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daypart.flows.display.tables import level_rows, print_json, print_left_out, print_table

if TYPE_CHECKING:
    from daypart.flows.compute.meter import Usage
    from daypart.flows.jobs.backtest import BacktestResult
    from daypart.flows.jobs.train import TrainingOutcome
    from daypart.flows.jobs.tune import TuningResult

MOST_BY_STAGE = 4
"""Of more units than these the usage is told in all, not by stage."""


def usage_rows(usage: Iterable["Usage"]) -> list[dict[str, Any]]:
    """Return one row per stage of a job: seconds, processor seconds and peak memory in GiB."""
    return [{**asdict(stage), "peak_gib": round(stage.peak_gib, 2)} for stage in usage]


def show_usage(usage: Iterable["Usage"], dollars: float, title: str = "") -> None:
    """What a job took by stage, and its cost."""
    print_table(usage_rows(usage), title)
    print(f"cost ${dollars:.4f}")


def show_train(trained: Iterable["TrainingOutcome"], *, as_json: bool, verbose: bool = False) -> None:
    """Each unit's version, whether it serves now, and why; JSON and `verbose` also say what the training took."""
    models = list(trained)
    rows = [asdict(model) for model in models]
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
    if not verbose:
        return
    if len(models) > MOST_BY_STAGE:
        print_table(
            [{"unit": model.unit, **usage_rows(model.usage)[-1], "cost": model.cost_dollars} for model in models], "\n"
        )
        return
    for model in models:
        show_usage(model.usage, model.cost_dollars, f"\n{model.unit}")


def show_backtest(trial: "BacktestResult", out: Path | None, *, as_json: bool) -> None:
    """accuracy_bps at hour, daypart and day beside incumbent and floor, and where the files are."""
    if as_json:
        files = {"out": out, "report": trial.report}
        print_json({"scores": trial.scores.to_dicts(), "left_out": trial.left_out, **files, "notices": trial.notices})
        return
    for notice in trial.notices:
        print(notice)
    print_table(level_rows(trial.scores))
    print_left_out(trial.left_out)
    if out is not None:
        print(f"rows {out}")
    print(f"report {trial.report}")


def show_tune(tunings: "TuningResult", *, as_json: bool) -> None:
    """Each target's trials and WAPEs in bps before and by the best of them, what is proposed, and the file."""
    if as_json:
        print_json(asdict(tunings))
        return
    print_table([
        {
            "target": tune.target, "tier": tune.tier, "trials": tune.trials, "pruned": tune.pruned, "best": tune.best,
            **{f"{level}_{name}_bps": round(wapes[level]) for level in ("hour", "day")
               for name, wapes in (("before", tune.before_bps), ("best", tune.best_bps))},
            "gain_bps": round(tune.gain_bps), "at_least_bps": round(tune.at_least_bps),
        }
        for tune in tunings.tuned
    ])  # fmt: skip
    for tune in tunings.tuned:
        settings = ", ".join(f"{name} = {encoding.dumps(value)}" for name, value in tune.settings.items())
        print(f"{tune.target}: {tune.reason}{'; ' * bool(settings)}{settings}")
    print(f"file {tunings.out}: it takes effect as recipes.toml in the home")
