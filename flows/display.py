"""What the command line prints: short tables for people, or one JSON object."""

import json as encoding
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from flows.adapters.meter import Meter, Usage
    from flows.backtest import Backtested
    from flows.demo import Demo
    from flows.ingest import IngestReport
    from flows.monitor import Watch
    from flows.simulate import Simulated
    from flows.status import Status
    from flows.train import Trained
    from flows.tune import Tunings

MOST_ROWS = 60
LEVEL_COLUMNS = ("accuracy_bps", "incumbent_bps", "floor_accuracy_bps", "oracle_bps", "gain_bps", "bias_bps")


def _print_json(value: object) -> None:
    def plain(item: object) -> object:
        if isinstance(item, date | datetime):
            return item.isoformat()
        return str(item)

    print(encoding.dumps(value, default=plain))


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 1 else 3
        return f"{value:,.{digits}f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _print_table(rows: Sequence[Mapping[str, object]], title: str = "") -> None:
    if not rows:
        return
    grid = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for name, value in rows[0].items():
        grid.add_column(name, justify="right" if isinstance(value, int | float) else "left", no_wrap=True)
    for row in rows:
        grid.add_row(*(_cell(value) for value in row.values()))
    # Wide enough for any row: where nobody looks, rich takes 80 columns and would cut figures short.
    Console(width=400, soft_wrap=True, markup=False, emoji=False, highlight=False).print(grid)


def _level_rows(scores: pl.DataFrame) -> list[dict[str, Any]]:
    if scores.is_empty():
        return []
    present = [name for name in LEVEL_COLUMNS if name in scores.columns]
    rounded = scores.with_columns(pl.col(present).round(0).cast(pl.Int64), pl.col("coverage").round(3))
    return rounded.select("target", "level", *present, "coverage").to_dicts()


def show_simulate(done: "Simulated", *, as_json: bool) -> None:
    """Rows, megabytes and seconds of each table, and where they are."""
    tables, spec = [asdict(each) for each in done.tables], done.spec
    if as_json:
        span = {"stores": spec.stores, "start": spec.start, "end": spec.end, "seed": spec.seed}
        _print_json({**span, "out": done.out, "seconds": done.seconds, "tables": tables})
        return
    _print_table(tables)
    print(f"{spec.stores:,} stores from {spec.start} to before {spec.end}, seed {spec.seed}: {done.out}")
    print(f"in {done.seconds:.0f} s; take a table in with `daypart ingest stores {done.out / 'stores'}`")


def show_ingest(report: "IngestReport", *, as_json: bool) -> None:
    """Rows taken, replaced and refused."""
    if as_json:
        _print_json(report.as_dict())
        return
    for name, value in report.as_dict().items():
        if value not in (None, [], {}, ""):
            print(f"{name:>16}  {value if not isinstance(value, list) else '; '.join(map(str, value))}")


def _usage_rows(usage: Iterable["Usage"]) -> list[dict[str, Any]]:
    return [{**asdict(each), "peak_gib": round(each.peak_gib, 2)} for each in usage]


def show_usage(usage: Iterable["Usage"], dollars: float, title: str = "") -> None:
    """What a job took by stage, and its cost."""
    _print_table(_usage_rows(usage), title)
    print(f"cost ${dollars:.4f}")


def show_train(trained: Iterable["Trained"], *, as_json: bool) -> None:
    """Each target's version, whether it serves now, and why."""
    done = list(trained)
    rows = [asdict(each) for each in done]
    if as_json:
        _print_json({"trained": rows})
        return
    _print_table([
        {
            "target": row["target"], "version": row["version"], "as_of": row["as_of"],
            "serves": "yes" if row["promoted"] else "no", "why": row["reason"],
        }
        for row in rows
    ])  # fmt: skip
    for each in done:
        show_usage(each.usage, each.cost_dollars, f"\n{each.target}")


def show_forecast(
    rows: pl.DataFrame, level: str, out: Path | None, meter: "Meter | None" = None, *, as_json: bool
) -> None:  # fmt: skip
    """Rows of a level as JSON, or a table: of hours, dayparts of stores by day, or the chain's days where many.

    And what it took, where they were made just now.
    """
    if as_json:
        took = {"usage": _usage_rows(meter.usage()), "cost_dollars": meter.dollars()} if meter else {}
        summary: dict[str, object] = {"rows": rows.height, "out": out, **took}
        _print_json(summary if out else summary | {"forecasts": rows.to_dicts()})
        return
    if out is not None:
        what = f"{rows['store_id'].n_unique()} stores" if level == "hour" else f"by {level}"
        print(f"{rows.height:,} rows, {what}, origin {rows['origin_date'][0]}: {out}")
    elif level == "hour":
        _print_forecast(rows)
    else:
        _print_level(rows, level)
    if meter is not None:
        show_usage(meter.usage(), meter.dollars(), "")


def _print_level(rows: pl.DataFrame, level: str) -> None:
    """A row per cell: what is forecast, the band that holds four of five, and what a planner would have by hand."""
    _print_origin(rows)
    first = {"week": "week_from", "store": "14_days_from"}.get(level, "date")
    keys = ["region" if level == "region" else "store_id", "currency", "daypart"]
    shown = rows.sort("target", "store_id", "region", "currency", "hour_local").select(
        "target", *(name for name in keys if rows[name].is_not_null().any()), pl.col("business_date").alias(first),
        *(pl.col(name).round(0) for name in ("forecast", "q10", "q90", "incumbent")),
    )  # fmt: skip
    _print_table(shown.head(MOST_ROWS).to_dicts())
    if shown.height > MOST_ROWS:
        print(f"{shown.height - MOST_ROWS:,} more rows: write them with --out FILE, or ask for a --store")
    _print_bases(rows)


def _print_forecast(rows: pl.DataFrame) -> None:
    _print_origin(rows)
    many = rows["store_id"].n_unique() > 3
    by = ["target", *([] if many else ["store_id"]), pl.col("hour_local").dt.date().alias("date")]
    days = rows.group_by(by).agg(
        *(pl.col("forecast").filter(pl.col("daypart") == name).sum().round(0).alias(name)
          for name in rows["daypart"].drop_nulls().unique(maintain_order=True)),
        day=pl.col("forecast").sum().round(0), incumbent=pl.col("incumbent").sum().round(0),
    )  # fmt: skip
    order = ["target", *([] if many else ["store_id"]), "date"]
    _print_table(days.sort(order).select(*order, pl.exclude(order)).to_dicts(), "the chain by day" if many else "")
    _print_bases(rows)


def _print_origin(rows: pl.DataFrame) -> None:
    print(f"origin {rows['origin_date'][0]}, models {', '.join(sorted(rows['model_version'].unique()))}")


def _print_bases(rows: pl.DataFrame) -> None:
    for basis in rows.select("store_id", "basis").drop_nulls().unique().sort("store_id").iter_rows():
        print(f"{basis[0]}: {basis[1]}")


def show_backtest(done: "Backtested", out: Path, *, as_json: bool) -> None:
    """accuracy_bps at hour, daypart and day beside incumbent and floor, and where the files are."""
    if as_json:
        _print_json({"scores": done.scores.to_dicts(), "out": out, "report": done.report, "notices": done.notices})
        return
    for notice in done.notices:
        print(notice)
    _print_table(_level_rows(done.scores))
    print(f"rows {out}\nreport {done.report}")


def show_tune(done: "Tunings", *, as_json: bool) -> None:
    """Each target's trials and WAPEs in bps before and by the best of them, what is proposed, and the file."""
    if as_json:
        _print_json(asdict(done))
        return
    _print_table([
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


def show_monitor(watch: "Watch", *, as_json: bool) -> None:
    """Accuracy of what was published, and one line per target: retrain or not, and why."""
    decisions = {target: asdict(decision) for target, decision in watch.decisions.items()}
    if as_json:
        _print_json({"scores": watch.scores.to_dicts(), "decisions": decisions})
        return
    _print_table(_level_rows(watch.scores))
    for target, decision in decisions.items():
        print(f"{target}: {decision['reason']}")


def show_status(found: "Status", *, as_json: bool) -> None:
    """Tables, models and the last publication."""
    if as_json:
        _print_json(asdict(found))
        return
    if not found.tables:
        print("an empty home: start with `daypart ingest stores FILE`, or `daypart demo`")
    _print_table(found.tables, "tables")
    _print_table(found.models, "models")
    if found.published:
        print("last published: " + ", ".join(f"{name} {value}" for name, value in found.published.items()))


def show_demo(done: "Demo", home: Path, seconds: float, *, as_json: bool) -> None:
    """What the demo reached, and where to look next."""
    files = {"report": done.backtested.report, "forecasts": home / "lake" / "forecasts"}
    if as_json:
        _print_json({"scores": done.backtested.scores.to_dicts(), "seconds": seconds, **files})
        return
    show_train(done.trained, as_json=False)
    print("\nbacktest of the last eight weeks")
    _print_table(_level_rows(done.backtested.scores))
    print("\ntwo weeks later")
    show_monitor(done.watch, as_json=False)
    print(f"\nreport     {files['report']}\nforecasts  {files['forecasts']} (Delta table)")
    print(f"in {seconds:.0f} s; look further with `daypart --home {home} forecast --store S0001` or `status`")
