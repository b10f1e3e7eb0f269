"""The economy around the chain: three public series, their release dates and their effect on demand."""

from datetime import date, timedelta

import numpy as np
import polars as pl

from daypart.features.simulator.noise import Array, gaussian_paths, stream
from daypart.features.simulator.spec import ChainSpec
from daypart.features.tables.schemas import MACRO

SERIES_LEAD_DAYS = 500
"""The series start this many days before the first demand."""

SERIES = {
    "UNRATE": (4.2, 0.4, "1mo", 35, -0.04),
    "GASREGW": (3.4, 0.3, "1w", 8, -0.03),
    "UMCSENT": (70.0, 7.0, "1mo", 27, 0.002),
}
"""Mean, standard deviation, step of observation, days until release, effect on log demand a unit.

Named as the FRED database names them: US unemployment in %, regular petrol in dollars a gallon, the
University of Michigan's index of consumer sentiment.
"""


def economy(spec: ChainSpec) -> tuple[pl.DataFrame, Array]:
    """Return the canonical table of releases before the end, and the effect on log demand, (days,)."""
    steps = SERIES_LEAD_DAYS + spec.all_days
    walks = gaussian_paths(stream(spec.seed, "macro"), len(SERIES), steps, 90, order=2)
    frames, effect = [], np.zeros(spec.all_days)
    for path, (name, (mean, sd, step, lag, slope)) in zip(walks, SERIES.items(), strict=True):
        effect += slope * sd * path[SERIES_LEAD_DAYS:]
        frames.append(_releases(spec, name, mean + sd * path, step, lag))
    return pl.concat(frames), effect


def _releases(spec: ChainSpec, name: str, daily: Array, step: str, lag: int) -> pl.DataFrame:
    first = spec.start - timedelta(days=SERIES_LEAD_DAYS)
    observed = pl.date_range(_next_period(first, step), spec.end, step, eager=True)
    offsets = (observed - first).dt.total_days().to_numpy()
    places = 3 if name == "GASREGW" else 1
    values = np.round(daily[offsets], places)
    frame = pl.DataFrame({"observation_date": observed, "value": values}).with_columns(
        series=pl.lit(name), released_on=pl.col("observation_date") + pl.duration(days=lag)
    )
    released = frame.filter(pl.col("released_on") < spec.end)
    return released.select(pl.col(column).cast(dtype) for column, dtype in MACRO.schema.items())


def _next_period(day: date, step: str) -> date:
    """Return the first Monday, or first day of a month, at or after the day."""
    if step == "1w":
        return day + timedelta(days=-day.weekday() % 7)
    return day if day.day == 1 else (day.replace(day=1) + timedelta(days=32)).replace(day=1)
