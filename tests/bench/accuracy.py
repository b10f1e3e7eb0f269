"""`make bench-accuracy`: backtests of the real sets by the shared protocol, one row per set and target.

python -m tests.bench.accuracy DATA_FOLDER [SET...]
"""

import sys
import time
from pathlib import Path

import polars as pl

from flows.backtest import level_scores
from forecasting.backtest import backtest, rolling_origins
from forecasting.recipe import Recipe
from tests.bench.sets import SETS, RealSet

RETRAIN_EVERY_DAYS = 28


def row(data: RealSet, target: str, folder: Path) -> dict[str, object]:
    """WAPE and gain over the incumbent in bps at hour and day, without weather, and seconds of wall time."""
    began = time.perf_counter()
    records = data.load(folder).until(data.end)
    recipe = Recipe(weather="none")
    origins = rolling_origins(data.start, data.end, 7, recipe.horizon_days)
    rows, _ = backtest(records, target, recipe, origins, RETRAIN_EVERY_DAYS)
    seconds = time.perf_counter() - began
    scores = {score["level"]: score for score in level_scores(rows.with_columns(unit_value=pl.lit(1.0))).to_dicts()}
    hour, day = scores["hour"], scores["day"]
    return {
        "set": data.name,
        "target": target,
        "hour_wape_bps": round(1e4 - hour["accuracy_bps"]),
        "day_wape_bps": round(1e4 - day["accuracy_bps"]),
        "hour_gain_bps": round(hour["gain_bps"]),
        "day_gain_bps": round(day["gain_bps"]),
        "bias_bps": round(hour["bias_bps"]),
        "coverage": round(hour["coverage"], 3),
        "seconds": round(seconds),
    }


def main(folder: str, *names: str) -> None:
    """Prints one table of the named sets, or of all."""
    chosen = [data for data in SETS if not names or data.name in names]
    rows = [row(data, target, Path(folder)) for data in chosen for target in data.targets]
    with pl.Config(tbl_cols=-1, tbl_hide_column_data_types=True, tbl_hide_dataframe_shape=True, tbl_width_chars=120):
        print(pl.DataFrame(rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
