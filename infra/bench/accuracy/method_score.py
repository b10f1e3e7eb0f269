"""Accuracy of one method on one real set: a row of the accuracy table."""

from dataclasses import dataclass
from typing import Any

import polars as pl

from daypart.features.chain_data import ChainData
from daypart.features.signals.weather import WeatherView
from daypart.flows.jobs.backtest import level_scores, scorable
from daypart.forecasting.leads import lead_week
from daypart.forecasting.metrics.accuracy import score
from daypart.forecasting.metrics.expressions import bps, pinball

QUANTILE_SHARES = {"q10": 0.1, "q50": 0.5, "q90": 0.9}
OURS, INCUMBENT = "daypart", "incumbent"


@dataclass(frozen=True)
class Method:
    """A method that made forecasts: its name, its view of the weather, and the seconds that it took."""

    name: str
    weather: WeatherView = "none"
    seconds: float | None = None


@dataclass(frozen=True)
class Score:
    """WAPE, gain over the incumbent, pinball loss, floor and bias in bps of demand; `note` says why there are none.

    Pinball loss, coverage and the floor, all by the hour, are figures of the project's own forecasts alone; the floor
    needs the value of a ticket. `coverage_low` and `coverage_high` are the least and the most coverage of any daypart
    and week of the horizon. `weather` is what the method saw of it: none, issued or, in hindsight, observed.
    """

    set: str
    target: str
    who: str
    weather: WeatherView = "none"
    hour_wape_bps: int | None = None
    daypart_wape_bps: int | None = None
    day_wape_bps: int | None = None
    hour_gain_bps: int | None = None
    day_gain_bps: int | None = None
    floor_bps: int | None = None
    bias_bps: int | None = None
    pinball_10_bps: int | None = None
    pinball_50_bps: int | None = None
    pinball_90_bps: int | None = None
    coverage: float | None = None
    coverage_low: float | None = None
    coverage_high: float | None = None
    seconds: float | None = None
    note: str = ""


def score_method(rows: pl.DataFrame, records: ChainData, set_name: str, method: Method) -> Score:
    """Return the score of a method by backtest rows of one target.

    Raises:
        InputError: A scored row has no forecast.
    """
    scored_rows = scorable(rows, records.demand, None)
    levels = {row["level"]: row for row in level_scores(scored_rows).to_dicts()}
    wape = {f"{level}_wape_bps": round(1e4 - row["accuracy_bps"]) for level, row in levels.items()}
    hour, day = levels["hour"], levels["day"]
    return Score(
        set_name, rows["target"][0], method.name, method.weather, **wape,
        hour_gain_bps=round(hour["gain_bps"]), day_gain_bps=round(day["gain_bps"]),
        bias_bps=round(hour["bias_bps"]), **(_band_figures(scored_rows) if method.name == OURS else {}),
        seconds=None if method.seconds is None else round(method.seconds, 1),
    )  # fmt: skip


def _band_figures(rows: pl.DataFrame) -> dict[str, Any]:
    (overall,) = score(rows, "hour").to_dicts()
    floor = overall["floor_bps"]
    parts = score(rows.with_columns(lead_week()).drop_nulls("daypart"), "hour", ["daypart", "lead_week"])["coverage"]
    losses = {
        f"pinball_{round(100 * share)}_bps": round(pinball_bps(rows, name)) for name, share in QUANTILE_SHARES.items()
    }
    shares = {"coverage": overall["coverage"], "coverage_low": parts.min(), "coverage_high": parts.max()}
    figures = losses | {name: round(share, 3) for name, share in shares.items()}
    return figures | {"floor_bps": None if floor is None else round(floor)}


def pinball_bps(rows: pl.DataFrame, quantile: str) -> float:
    """Return the pinball loss of a column of QUANTILE_SHARES by the hour: its sum over that of demand, in bps."""
    loss = pinball(pl.col("actual"), pl.col(quantile), round(100 * QUANTILE_SHARES[quantile]))
    actual_rows = rows.filter(pl.col("actual").is_not_null())
    return float(actual_rows.select(bps(loss.sum(), pl.col("actual").sum())).item())
