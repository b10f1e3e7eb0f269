"""The weather of each place: observed, and forecast once a day for fourteen days ahead."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from daypart.features.simulator.clocks import Clocks
from daypart.features.simulator.noise import Array, Index, gaussian_paths, stream
from daypart.features.simulator.places import PLACES, ZONE_OF_PLACE
from daypart.features.simulator.spec import HORIZON_DAYS, ChainSpec
from daypart.features.simulator.stores import StoreBlock
from daypart.features.tables.schemas import WEATHER

ISSUE_HOUR = 5
FORECAST_HOURS = np.arange(5, 24)
"""Local hours that forecasts cover; the few customers at night are not worth a third more rows."""

SKILL_DAYS = {"temperature": 9.0, "rain": 8.0, "wind": 6.0}
"""Correlation of forecast and truth falls as exp(-(lead / this)^2)."""

MEASURES = (
    "temperature_c", "precipitation_mm", "snowfall_cm", "wind_speed_kmh", "humidity_pct", "cloud_cover_pct",
)  # fmt: skip
DECIMALS = dict(zip(MEASURES, (1, 2, 2, 1, 0, 0), strict=True))
ANOMALY_C = 4.5
DIURNAL_C = 4.0
RAIN_MM = 2.0
"""Rain in mm an hour by which the latent wetness exceeds the place's dryness by one standard deviation."""

Measures = dict[str, Array]


@dataclass(frozen=True)
class Issues:
    """Forecasts of each place, (places, issues x days x hours): their values, when issued and for when.

    `issued` and `valid` are indices of the clocks' UTC hours.
    """

    values: Measures
    issued: Index
    valid: Index


def true_weather(spec: ChainSpec, clocks: Clocks) -> tuple[dict[str, Array], Measures]:
    """Return the latent states, standard normal, and the measures derived from them, each (places, hours)."""
    rows, steps = len(PLACES), clocks.utc.size
    fronts, showers = (
        gaussian_paths(stream(spec.seed, "rain", k), rows, steps, hours) for k, hours in ((0, 36), (1, 4))
    )
    latent = {
        "temperature": gaussian_paths(stream(spec.seed, "temperature"), rows, steps, 30, order=2),
        "rain": np.sqrt(0.65) * fronts + np.sqrt(0.35) * showers,
        "wind": gaussian_paths(stream(spec.seed, "wind"), rows, steps, 24),
    }
    climate = _climate(spec, clocks)
    spread = np.zeros((rows, 1))
    return latent, _measures(latent, climate, spread)


def issue_forecasts(spec: ChainSpec, clocks: Clocks, latent: dict[str, Array]) -> Issues:
    """Return forecasts issued at 05:00 local on each of the last days, for the fourteen days after the day of issue.

    A forecast is the mean of what it knows: c^2 x truth + c sqrt(1 - c^2) x its own error path, where c is
    the correlation at that lead. So it tends to the climate as the lead grows, its rain to the mean rain.
    """
    days = np.arange(spec.days - spec.issues_days, spec.days)
    valid_day = days[:, None] + 1 + np.arange(HORIZON_DAYS)
    zone = ZONE_OF_PLACE[:, None, None, None]
    valid = clocks.at[zone, valid_day[None, :, :, None], FORECAST_HOURS]
    issued = np.broadcast_to(clocks.at[zone, days[None, :, None, None], ISSUE_HOUR], valid.shape)
    shape = (len(PLACES), valid[0].size)
    valid, issued = valid.reshape(shape), issued.reshape(shape)
    forecasts, spread = {}, np.zeros(shape)
    for item, (name, skill_days) in enumerate(SKILL_DAYS.items()):
        skill = np.exp(-(((valid - issued) / 24 / skill_days) ** 2))
        errors = gaussian_paths(stream(spec.seed, "forecast", item), len(PLACES), days.size * HORIZON_DAYS * 24, 12)
        noise = errors.reshape(len(PLACES), days.size * HORIZON_DAYS, 24)[:, :, FORECAST_HOURS].reshape(shape)
        missed = np.sqrt(1 - skill**2)
        forecasts[name] = skill**2 * np.take_along_axis(latent[name], valid, axis=1) + skill * missed * noise
        if name == "rain":
            spread = missed
    climate = np.take_along_axis(_climate(spec, clocks), valid, axis=1)
    return Issues(_measures(forecasts, climate, spread), issued, valid)


def weather_table(block: StoreBlock, observed: Measures, issues: Issues) -> pl.DataFrame:
    """Return the canonical table for the block's stores: by store, observations, then issues."""
    spec, clocks = block.spec, block.clocks
    places = block.place.tolist()
    first = 0 if spec.observed_days is None else spec.days - spec.observed_days
    is_observed = (clocks.day >= first) & (clocks.day < spec.days)
    place_rows = {
        place: pl.concat(
            [
                _place_rows(clocks, place, np.nonzero(is_observed[ZONE_OF_PLACE[place]])[0], None, observed),
                _place_rows(clocks, place, issues.valid[place], issues.issued[place], issues.values),
            ]
        )
        for place in set(places)
    }
    return pl.concat(
        place_rows[place].select(pl.lit(store_id).alias("store_id"), pl.all())
        for store_id, place in zip(block.store_ids, places, strict=True)
    )


def _place_rows(clocks: Clocks, place: int, valid: Index, issued: Index | None, values: Measures) -> pl.DataFrame:
    """Return the rows of one place; observed values are picked by their hour, issued ones stand in order."""
    picked = {name: value[place][valid] if issued is None else value[place] for name, value in values.items()}
    columns = {
        "valid_local": clocks.local[ZONE_OF_PLACE[place]][valid],
        "valid_utc": clocks.utc[valid],
        "issued_utc": None if issued is None else clocks.utc[issued],
        **picked,
    }
    frame = pl.DataFrame(columns, schema_overrides={"issued_utc": pl.Datetime("us")})
    return frame.select(pl.col(name).cast(dtype) for name, dtype in WEATHER.schema.items() if name != "store_id")


def _climate(spec: ChainSpec, clocks: Clocks) -> Array:
    """Return the usual temperature, (places, hours): coldest on 20 January, warmest of the day at 15:00."""
    mean = np.array([[place.mean_c] for place in PLACES])
    season = np.array([[place.season_c] for place in PLACES])
    hour, day = clocks.hour[ZONE_OF_PLACE], clocks.day[ZONE_OF_PLACE] + spec.start.timetuple().tm_yday
    yearly = np.cos(2 * np.pi * (day - 20) / 365.25)
    return np.asarray(mean - season * yearly + DIURNAL_C * np.cos(2 * np.pi * (hour - 15) / 24))


def _measures(latent: dict[str, Array], climate: Array, spread: Array) -> Measures:
    """Return measures from latent means; `spread` is the standard deviation of the unknown part of the rain."""
    from scipy.special import ndtr

    dryness = np.array([[place.dryness] for place in PLACES])
    excess = latent["rain"] - dryness
    width = np.maximum(spread, 1e-9)
    density = np.exp(-0.5 * (excess / width) ** 2) / np.sqrt(2 * np.pi)
    # Mean of max(x, 0) for x normal about `excess`; with no spread it is max(excess, 0).
    rain = RAIN_MM * np.maximum(excess * ndtr(excess / width) + width * density, 0)
    temperature = climate + ANOMALY_C * latent["temperature"]
    values = (
        temperature,
        rain,
        rain * np.clip((1.5 - temperature) / 2, 0, 1),
        13 * np.exp(0.4 * latent["wind"] - 0.08),
        np.clip(62 + 14 * latent["rain"], 5, 100),
        100 * ndtr(1.2 * latent["rain"] + 0.2),
    )
    return {name: np.round(value, DECIMALS[name]) for name, value in zip(MEASURES, values, strict=True)}
