"""What is printed of the demo."""

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from daypart.flows.display.models import show_train
from daypart.flows.display.tables import level_rows, print_json, print_left_out, print_table
from daypart.flows.display.watch import show_monitor

if TYPE_CHECKING:
    from daypart.flows.config.settings import Settings
    from daypart.flows.deployment.demo import Demo


def show_demo(demo: "Demo", settings: "Settings", seconds: float, *, as_json: bool) -> None:
    """What the demo reached, a forecast and its reason, where everything is, and what to type next."""
    mlflow = mlflow_command(settings)
    files = {"report": demo.backtested.report, "excel": demo.excel, "forecasts": settings.lake / "forecasts"}
    if as_json:
        forecast = {"forecast": demo.day.to_dicts(), "reason": demo.explanation.sentences}
        print_json({
            "scores": demo.backtested.scores.to_dicts(), "seconds": seconds, **files, "mlflow": mlflow, **forecast,
        })  # fmt: skip
        return
    show_train(demo.trained, as_json=False)
    print("\nbacktest of the weeks before, by models that did not know them")
    print_table(level_rows(demo.backtested.scores))
    print_left_out(demo.backtested.left_out)
    print("\nwhat was published for the next two weeks, once they had passed")
    show_monitor(demo.watch, as_json=False)
    _show_forecast(demo)
    print(f"\nreport     {files['report']} (the backtest, in any browser)")
    print(f"excel      {files['excel']} (14 days of every store by daypart)")
    print(f"models     {mlflow}\n           then open http://127.0.0.1:5000")
    _show_next(demo, settings.home, seconds)


def _show_forecast(demo: "Demo") -> None:
    day = demo.day.row(0, named=True)
    print(f"\nforecast of orders in {day['store_id']} on {day['business_date']:%A, %Y-%m-%d}")
    figures = pl.col("forecast", "q10", "q90", "incumbent").round(0).cast(pl.Int64)
    print_table(demo.day.select("daypart", figures).to_dicts())
    for number, sentence in enumerate(demo.explanation.sentences):
        print(f"{'' if number else 'why':10} {sentence}")


def _show_next(demo: "Demo", home: Path, seconds: float) -> None:
    day = demo.day.row(0, named=True)
    daypart = f"{program('daypart')} --home {shlex.quote(str(home))}"
    store, date = day["store_id"], day["business_date"]
    print(f"next       {daypart} forecast --store {store} --level daypart")
    print(f"           {daypart} explain --store {store} --date {date} --daypart lunch")
    print(f"           {daypart} status")
    print(f"in {seconds:.0f} s; a bigger chain: `daypart --home demo-48 demo --stores 48 --years 2`")


def mlflow_command(settings: "Settings") -> str:
    """Return the command that opens MLflow's page on a home."""
    address = f"sqlite:///{settings.mlflow_database}"
    return f"{program('mlflow')} ui --backend-store-uri {shlex.quote(address)}"


def program(name: str) -> str:
    """Return how to call a program of this environment: its name if the shell finds it, else its path."""
    beside = Path(sys.executable).with_name(name)
    found = shutil.which(name)
    is_same = found is not None and beside.exists() and Path(found).resolve() == beside.resolve()
    return name if is_same or not beside.exists() else shlex.quote(str(beside))
