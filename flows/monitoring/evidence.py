"""Evidence: what the scores of published forecasts say about the versions that serve."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from daypart.features.money import UNIT, currency_units, with_unit
from daypart.flows.lake.lake import Lake
from daypart.forecasting.lifecycle.retrain import LEADS_DAYS, MAX_WINDOW_WEEKS, MIN_STORE_WEEKS
from daypart.forecasting.metrics import persistent_error


@dataclass(frozen=True)
class Serving:
    """A unit that published: its target, tier and stores, and the version that serves now."""

    unit: str
    target: str
    tier: str
    ids: frozenset[str]
    version: int | None

    @property
    def published_name(self) -> str:
        """The name under which the version's forecasts are published, such as orders-v3."""
        return f"{self.unit}-v{self.version}"


@dataclass(frozen=True)
class Evidence:
    """The scores before a day, without those of stores `at_fault` (by target), in the money of `priced`."""

    lake: Lake
    on: date
    at_fault: Mapping[str, set[str]]
    priced: pl.DataFrame

    def rows(self, days: int) -> pl.LazyFrame:
        """Return scored hours of the last days, of stores whose data are sound.

        `unit` is the published name of the version. Money is in the units of the version, where `priced` has any.
        """
        since = self.on - timedelta(days=days)
        rows = self.lake.scan("scores").filter(
            pl.col("origin_date") > since - timedelta(days=LEADS_DAYS),
            pl.col("lead_days") < LEADS_DAYS,
            pl.col("business_date") >= since,
            # A day that counts as 0 says that its store stood idle or that its rows are lost, not how
            # good the model is.
            ~pl.col("idle").fill_null(value=False),
        )
        for target, ids in self.at_fault.items():
            faulty = pl.col("store_id").is_in(pl.Series(sorted(ids), dtype=pl.String).implode())
            rows = rows.filter(~((pl.col("target") == target) & faulty))
        amounts = ("forecast", "incumbent", "actual")
        rows = rows.select("store_id", "origin_date", "hour_local", "business_date", *amounts, unit="model_version")
        if self.priced.is_empty():
            return rows
        joined = rows.join(self.priced.lazy(), on=["unit", "store_id"], how="left").with_columns(
            pl.col(UNIT).fill_null(1.0)
        )
        return joined.with_columns(pl.col(name) / pl.col(UNIT) for name in amounts).drop(UNIT)

    def store_weeks(self, units: Sequence[Serving], window_days: int) -> pl.DataFrame:
        """Return the store-weeks that units' versions published in a window.

        Of units too small for the window it is the store-weeks of all weeks that may count.
        """
        small = [unit.published_name for unit in units if len(unit.ids) < MIN_STORE_WEEKS]
        large = [unit.published_name for unit in units if len(unit.ids) >= MIN_STORE_WEEKS]
        on, last = self.on, max(self.lake.written("scores", "origin_date"))
        # After nights that were missed the evidence is older.
        missed = max((on - last).days - 1, 0)
        spans = (small, MAX_WINDOW_WEEKS * persistent_error.WEEK_DAYS), (large, window_days + missed)
        rows = ((self.rows(days), pl.Series(names, dtype=pl.String).implode()) for names, days in spans)
        return pl.concat(
            persistent_error.store_weeks(part.filter(pl.col("unit").is_in(names)), on) for part, names in rows
        )


def version_money(lake: Lake, units: Sequence[Serving], figures: Mapping[str, Mapping[str, float]]) -> pl.DataFrame:
    """Return by version and store what counts as one of its money; none of versions that know one currency."""
    stores = lake.scan("stores").select("store_id", "country", "currency").collect()
    frames = [
        with_unit(stores.with_columns(unit=pl.lit(unit.published_name)), stores, rates).select("unit", "store_id", UNIT)
        for unit in units
        if (rates := currency_units(figures.get(unit.unit, {})))
    ]
    schema = {"unit": pl.String, "store_id": pl.String, UNIT: pl.Float64}
    return pl.concat(frames) if frames else pl.DataFrame(schema=schema)
