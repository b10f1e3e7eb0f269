"""Nights of the past: what any model would have published on each, beside what came."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import polars as pl

from daypart.features import matrix
from daypart.features.deterministic_sum import exact_sum
from daypart.features.money import in_units
from daypart.forecasting.lifecycle.retrain import LEADS_DAYS
from daypart.forecasting.metrics.actuals import idle_days, with_actuals
from daypart.forecasting.models import statistical
from daypart.forecasting.models.engine import Local
from daypart.forecasting.models.model import Model
from daypart.forecasting.models.trainer import Made, Workshop
from daypart.forecasting.serving.publication import of_block

AT_ONCE = 14
"""Nights whose matrix is made in one go: whatever a model makes of them, their rows are the same."""

RIVALS = ("forecast", "incumbent")
MONEY = ("forecast", "q10", "q50", "q90", "incumbent", "actual")
KEPT = ("store_id", "origin_date", "hour_local", "business_date", "forecast", "q10", "incumbent", "actual")


@dataclass(frozen=True)
class Scored:
    """One night's forecast by one model, as far as it is known what came of it.

    `errors` has one row per date: actual, and the absolute errors of forecast and incumbent by the hour and the day
    (forecast_hour, ...), added up over stores. `rows` are the published hours of the leads that retraining is decided
    on, with `actual`, null on days without demand, idle ones too: those are no evidence against a model. Where the
    chain has several currencies, errors are in units as of the first night, rows in those of the model.
    """

    errors: pl.DataFrame
    rows: pl.DataFrame


class Nights:
    """Scores the stores of a workshop's evidence on some nights, in their order; each night and model once."""

    def __init__(self, workshop: Workshop, nights: Sequence[date]) -> None:
        self._workshop, self._nights = workshop, list(nights)
        self._known: list[tuple[Made, pl.DataFrame, _Told]] = []
        self._until = date.min
        self._scored: dict[tuple[date, date], Scored] = {}
        self._idle = pl.concat(idle_days(block, self._nights[0]) for block, _ in workshop.evidence)

    @property
    def stores(self) -> int:
        """How many stores are scored."""
        return sum(block.stores.height for (block, _) in self._workshop.evidence)

    @property
    def closures(self) -> pl.DataFrame:
        """The closures of those stores."""
        return pl.concat(block.closures for (block, _) in self._workshop.evidence)

    def scored(self, model: Model, night: date) -> Scored:
        """What came of the model's forecast of that night. Nights are asked for in their order."""
        if night > self._until:
            self._make(night)
        key = model.as_of, night
        if key not in self._scored:
            rows = pl.concat(self._published(pair, rows, engine, model, night) for pair, rows, engine in self._known)
            stores, units = self._workshop.stores, self._workshop.units(self._nights[0])
            scored_rows = in_units(rows.filter(pl.col("actual").is_not_null()), stores, units, MONEY)
            self._scored[key] = Scored(_errors(scored_rows), _evidence(in_units(rows, stores, model.units, MONEY)))
        return self._scored[key]

    def _make(self, night: date) -> None:
        """The matrix of that night and those to come, and their days by the statistical member."""
        at = self._nights.index(night)
        some = self._nights[at : at + AT_ONCE]
        self._until, self._scored = some[-1], {}
        view = self._workshop.view
        self._known = [(pair, _rows(pair, view, some), _Told(nights=some)) for pair in self._workshop.evidence]

    def _published(self, pair: Made, rows: pl.DataFrame, engine: "_Told", model: Model, night: date) -> pl.DataFrame:
        """The block's rows, with what came."""
        block, past = pair
        night_rows = rows.filter(pl.col("origin_date") == night) if rows.width else rows
        ready = night_rows if night_rows.height else None
        published = of_block(block, past, model, night, f"as-of-{model.as_of}", rows=ready, engine=engine)
        # A day more on either side: stores' clocks differ from UTC.
        span = pl.col("hour_local").is_between(
            night - timedelta(days=1), night + timedelta(days=model.recipe.horizon_days + 2)
        )
        return with_actuals(published, block.demand.filter(span), self._idle, block.stores)


def _rows(pair: Made, view: matrix.View, nights: Sequence[date]) -> pl.DataFrame:
    block, past = pair
    return matrix.build(block, view, nights, past) if matrix.has_rows(block, past, view, nights) else pl.DataFrame()


@dataclass(frozen=True)
class _Told(Local):
    """This process, which has the statistical member speak of one block's nights once."""

    nights: Sequence[date] = ()
    days: list[pl.DataFrame] = field(default_factory=list)

    def daily_forecasts(self, totals: pl.DataFrame, origins: Sequence[date], horizon_days: int) -> pl.DataFrame:
        """See Engine."""
        if not self.days:
            self.days.append(statistical.daily_forecasts(totals, self.nights, horizon_days))
        return self.days[0].filter(pl.col("origin_date").is_in(origins))


def _evidence(rows: pl.DataFrame) -> pl.DataFrame:
    """See Scored."""
    near = rows.filter(pl.col("lead_days") < LEADS_DAYS).with_columns(actual=pl.when(~pl.col("idle")).then("actual"))
    return near.select(pl.col("model_version").alias("unit"), *KEPT)


def _errors(rows: pl.DataFrame) -> pl.DataFrame:
    """See Scored."""
    day = pl.col("business_date").alias("date")
    off = [exact_sum((pl.col(name) - pl.col("actual")).abs()).alias(f"{name}_hour") for name in RIVALS]
    sums = [exact_sum(pl.col(name)) for name in ("actual", *RIVALS)]
    days = rows.group_by("store_id", day).agg(*sums, *off)
    by_day = [(pl.col(name) - pl.col("actual")).abs().alias(f"{name}_day") for name in RIVALS]
    columns = ["actual", *(f"{name}_{level}" for level in ("hour", "day") for name in RIVALS)]
    return days.with_columns(by_day).group_by("date").agg(exact_sum(pl.col(name)) for name in columns).sort("date")
