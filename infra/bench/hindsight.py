"""What a backtest that sees the weather that came would claim, beside what forecasts of it earned."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from daypart.features.signals.weather import WeatherView
from daypart.forecasting.metrics.accuracy import Level, score

LEADS = ((0, 2), (3, 6), (7, 13))
LEVELS: tuple[Level, ...] = ("hour", "day")
TOLD = (
    "WAPE in bps by days from the origin without weather, with it as issued and, in hindsight, as it came; what each "
    "gains over none, and how much of the second nobody could have had"
)


@dataclass(frozen=True)
class Worth:
    """A row of the table. `flattered_bps` is what hindsight claims beyond what issues gained."""

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


def worth(name: str, runs: Mapping[WeatherView, pl.DataFrame]) -> list[Worth]:
    """One row per level and span of leads of a set's backtests by their weather; none unless all three are there."""
    if set(runs) != {"none", "issued", "observed"}:
        return []
    target = runs["none"]["target"][0]
    worth_rows = []
    for level in LEVELS:
        for first, last in LEADS:
            none, issued, observed = (
                _wape_bps(runs[view], level, first, last) for view in ("none", "issued", "observed")
            )
            gains = (none - issued, none - observed, issued - observed)
            worth_rows.append(Worth(name, target, level, f"{first}-{last}",
                               *(round(figure) for figure in (none, issued, observed, *gains))))  # fmt: skip
    return worth_rows


def _wape_bps(rows: pl.DataFrame, level: Level, first: int, last: int) -> float:
    return 1e4 - float(score(rows.filter(pl.col("lead_days").is_between(first, last)), level)["accuracy_bps"].item())
