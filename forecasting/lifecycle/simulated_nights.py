"""Simulated nights: what any model would have published on each night of the past, with what was sold."""

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
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import StoreBlock
from daypart.forecasting.serving.publication import ServedModel, forecast_block

NIGHTS_AT_ONCE = 14
"""Nights whose matrix is built in one go: whatever a model makes of them, their rows are the same."""

COMPARED_COLUMNS = ("forecast", "incumbent")
PUBLISHED_MONEY_COLUMNS = ("forecast", "q10", "q50", "q90", "incumbent", "actual")
EVIDENCE_COLUMNS = ("store_id", "origin_date", "hour_local", "business_date", "forecast", "q10", "incumbent", "actual")


@dataclass(frozen=True)
class NightScores:
    """The scores of one night's forecast by one model, as far as actuals are known.

    `errors` has one row per date: actual, and the absolute errors of forecast and incumbent by the hour and the day
    (forecast_hour, ...), added up over stores. `rows` are the published hours of the leads that retraining is decided
    on, with `actual`, null on days without demand, idle ones too: those are no evidence against a model. Where the
    chain has several currencies, errors are in units as of the first night, rows in those of the model.
    """

    errors: pl.DataFrame
    rows: pl.DataFrame


class SimulatedNights:
    """Scores the evidence stores of a trainer on some nights, in their order; each night and model once."""

    def __init__(self, trainer: ModelTrainer, nights: Sequence[date]) -> None:
        self._trainer, self._nights = trainer, list(nights)
        self._blocks: list[_NightsOfBlock] = []
        self._until = date.min
        self._scores: dict[tuple[date, date], NightScores] = {}
        self._idle = pl.concat(idle_days(block.records, self._nights[0]) for block in trainer.evidence)

    @property
    def stores(self) -> int:
        """How many stores are scored."""
        return sum(block.records.stores.height for block in self._trainer.evidence)

    @property
    def closures(self) -> pl.DataFrame:
        """The closures of those stores."""
        return pl.concat(block.records.closures for block in self._trainer.evidence)

    def scores(self, model: Model, night: date) -> NightScores:
        """Return the scores of the model's forecast of that night. Nights are asked for in their order."""
        if night > self._until:
            self._prepare(night)
        key = model.as_of, night
        if key not in self._scores:
            rows = pl.concat(self._forecast(block_nights, model, night) for block_nights in self._blocks)
            stores, units = self._trainer.stores, self._trainer.units(self._nights[0])
            scored_rows = in_units(rows.filter(pl.col("actual").is_not_null()), stores, units, PUBLISHED_MONEY_COLUMNS)
            evidence = _evidence(in_units(rows, stores, model.units, PUBLISHED_MONEY_COLUMNS))
            self._scores[key] = NightScores(_errors(scored_rows), evidence)
        return self._scores[key]

    def _prepare(self, night: date) -> None:
        """Build the matrix of that night and those to come, and their days by the statistical member."""
        at = self._nights.index(night)
        nights = self._nights[at : at + NIGHTS_AT_ONCE]
        self._until, self._scores = nights[-1], {}
        view = self._trainer.view
        self._blocks = [
            _NightsOfBlock(block, _rows(block, view, nights), _NightsEngine(nights=nights))
            for block in self._trainer.evidence
        ]

    def _forecast(self, block_nights: "_NightsOfBlock", model: Model, night: date) -> pl.DataFrame:
        """Return the block's published rows of the night with what was sold."""
        block, rows = block_nights.block, block_nights.matrix_rows
        night_rows = rows.filter(pl.col("origin_date") == night) if rows.width else rows
        matrix_rows = night_rows if night_rows.height else None
        served = ServedModel(model, f"as-of-{model.as_of}")
        published = forecast_block(block, [served], night, matrix_rows, block_nights.engine)
        # A day more on either side: stores' clocks differ from UTC.
        span = pl.col("hour_local").is_between(
            night - timedelta(days=1), night + timedelta(days=model.recipe.horizon_days + 2)
        )
        return with_actuals(published, block.records.demand.filter(span), self._idle, block.records.stores)


def _rows(block: StoreBlock, view: matrix.View, nights: Sequence[date]) -> pl.DataFrame:
    return block.build_matrix(view, nights) if block.any_known(view, nights) else pl.DataFrame()


@dataclass(frozen=True)
class _NightsEngine(Local):
    """This process, which computes the statistical member's days of one block's nights once."""

    nights: Sequence[date] = ()
    days: list[pl.DataFrame] = field(default_factory=list)

    def daily_forecasts(self, totals: pl.DataFrame, origins: Sequence[date], horizon_days: int) -> pl.DataFrame:
        """See Engine."""
        if not self.days:
            self.days.append(statistical.daily_forecasts(totals, self.nights, horizon_days))
        return self.days[0].filter(pl.col("origin_date").is_in(origins))


@dataclass(frozen=True)
class _NightsOfBlock:
    """A block of stores, its matrix rows of some nights, and the engine that forecasts them."""

    block: StoreBlock
    matrix_rows: pl.DataFrame
    engine: _NightsEngine


def _evidence(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of NightScores."""
    near = rows.filter(pl.col("lead_days") < LEADS_DAYS).with_columns(actual=pl.when(~pl.col("idle")).then("actual"))
    return near.select(pl.col("model_version").alias("unit"), *EVIDENCE_COLUMNS)


def _errors(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the errors of NightScores."""
    day = pl.col("business_date").alias("date")
    off = [exact_sum((pl.col(name) - pl.col("actual")).abs()).alias(f"{name}_hour") for name in COMPARED_COLUMNS]
    sums = [exact_sum(pl.col(name)) for name in ("actual", *COMPARED_COLUMNS)]
    days = rows.group_by("store_id", day).agg(*sums, *off)
    by_day = [(pl.col(name) - pl.col("actual")).abs().alias(f"{name}_day") for name in COMPARED_COLUMNS]
    columns = ["actual", *(f"{name}_{level}" for level in ("hour", "day") for name in COMPARED_COLUMNS)]
    return days.with_columns(by_day).group_by("date").agg(exact_sum(pl.col(name)) for name in columns).sort("date")
