"""Gain from weather in backtests: with the forecasts that were issued, and in hindsight with what was observed."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from daypart.features.signals.weather import WeatherView
from daypart.forecasting.metrics.accuracy import Level, score

LEAD_SPANS = ((0, 2), (3, 6), (7, 13))
GAIN_LEVELS: tuple[Level, ...] = ("hour", "day")
HINDSIGHT_CAPTION = (
    "WAPE in bps by days from the origin without weather, with it as issued and, in hindsight, as it came; what each "
    "gains over none, and how much of the second nobody could have had"
)


@dataclass(frozen=True)
class WeatherGain:
    """One row per set, target, level and span of leads. `flattered_bps` is the gain of hindsight beyond that of issues."""

    set: str
    target: str
    level: Level
    leads: str
    none_wape_bps: int
    issued_wape_bps: int
    observed_wape_bps: int
    issued_gain_bps: int
    observed_gain_bps: int
    flattered_bps: int


def weather_gains(name: str, runs: Mapping[WeatherView, pl.DataFrame]) -> list[WeatherGain]:
    """Return one row per level and span of leads of a set's backtests, or none unless `runs` has all three views."""
    if set(runs) != {"none", "issued", "observed"}:
        return []
    target = runs["none"]["target"][0]
    gain_rows = []
    for level in GAIN_LEVELS:
        for first, last in LEAD_SPANS:
            none, issued, observed = (
                _wape_bps(runs[view], level, first, last) for view in ("none", "issued", "observed")
            )
            gains = (none - issued, none - observed, issued - observed)
            gain_rows.append(WeatherGain(name, target, level, f"{first}-{last}",
                               *(round(figure) for figure in (none, issued, observed, *gains))))  # fmt: skip
    return gain_rows


def _wape_bps(rows: pl.DataFrame, level: Level, first: int, last: int) -> float:
    return 1e4 - float(score(rows.filter(pl.col("lead_days").is_between(first, last)), level)["accuracy_bps"].item())
