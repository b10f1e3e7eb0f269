"""The trainer of one target: it fits members, weighs them on rolling origins and makes models, and keeps every fit."""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from datetime import date, timedelta
from functools import partial
from typing import Self

import polars as pl

from daypart.features import matrix
from daypart.features.chain_data import DataSource, days
from daypart.features.errors import NotKnownError
from daypart.features.money import UNIT_PREFIX, Money, in_units
from daypart.features.signals import covariate_masking, weather_issues
from daypart.features.signals.category_codes import Vocabulary
from daypart.forecasting.metrics.accuracy import wape_bps
from daypart.forecasting.metrics.actuals import idle_days
from daypart.forecasting.metrics.expected_accuracy import ExpectedAccuracy
from daypart.forecasting.models import ensemble
from daypart.forecasting.models.engine import LOCAL, Engine
from daypart.forecasting.models.members import LEARNED, Member, fit
from daypart.forecasting.models.model import Model, StatisticalMember, member_predictions
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.training_data import (
    BlockBuilder,
    StoreBlock,
    TrainingData,
    chain_sums,
    in_blocks,
    read_sample,
    sample_rows,
    stack,
)
from daypart.forecasting.uncertainty.bands import fit_bands, with_bands
from daypart.forecasting.uncertainty.residual_paths import Paths

TARGET_UNIT_COLUMNS = ("y", "incumbent", "smooth", "scale")
"""Columns in the target's unit; what members learn from otherwise are ratios of them."""
PREDICTION_COLUMNS = (
    "store_id",
    "date",
    "hour",
    "lead_days",
    "youth",
    "y",
    "incumbent",
    "forecast",
    "q10",
    "q50",
    "q90",
)


class ModelTrainer:
    """Trains models of one target from fixed records, and weighs and evaluates them on its evidence stores.

    Every result for a date is what it would have been had the records ended there: a matrix row knows nothing
    of its origin or later, and a fit as of a date sees demand strictly before it. Fits are kept, so that a
    backtest's retrains serve as the next ones' evidence. The states of the evidence are kept; of a bigger
    chain's other stores there is one block in memory at a time. Results do not depend on the size of blocks.

    Of a segment of stores, models are made and judged on those alone, which learn from the whole chain what holidays
    do to it and what its young stores borrow. Where the chain sells in several currencies, members are weighed and
    judged with money in units (`daypart.features.money`), so that none counts for more by how its amounts are written.
    """

    def __init__(self, data: TrainingData, recipe: Recipe, engine: Engine = LOCAL) -> None:
        """Read the evidence stores and derive their histories, for origins up to the last of the data.

        Raises NotKnownError where the target has no demand in them at all.
        """
        self._data, self._ids, self.first = data, data.sorted_ids, data.first_demand_on()
        self.target, self.recipe = data.target, recipe
        self.view = matrix.View(data.target, recipe.weather, recipe.horizon_days)
        self._engine, self._stages = engine, engine.stages
        sums = data.holiday_sums
        sums = chain_sums(data.records, data.target, data.last) if sums is None else sums
        self._builder = BlockBuilder(data.records, self.view, data.last, sums)
        evidence_ids = recipe.evidence(self._ids)
        self.samples = len(evidence_ids) < len(self._ids)
        # The stores that members are weighed on, with their histories, in blocks.
        self.evidence = list(self._build_blocks(evidence_ids))
        self.totals = pl.concat([block.history.totals for block in self.evidence])
        self._training: pl.DataFrame | None = None
        self._issued: weather_issues.WeatherIssues | None = None
        self._idle: pl.DataFrame | None = None
        self._money: Money | None = None
        self._fits: dict[date, tuple[Member, ...]] = {}
        self._evidence: dict[date, pl.DataFrame] = {}

    def with_recipe(self, recipe: Recipe) -> Self:
        """Return a trainer with another recipe of the same weather, horizon and evidence; it shares the histories."""
        other = copy(self)
        other.recipe, other._fits, other._evidence = recipe, {}, {}
        stores = len(self._ids)
        if recipe.one_in(stores) != self.recipe.one_in(stores):
            other._training = None
        return other

    @property
    def stores(self) -> pl.DataFrame:
        """All stores of the chain, as recorded."""
        return self._data.records.stores

    @property
    def records(self) -> DataSource:
        """The records that it trains from."""
        return self._data.records

    def units(self, as_of: date) -> dict[str, float]:
        """Return what counts as one in each currency as known at a date (`Money.units`); empty for one currency."""
        if self._money is None:
            self._money = Money.from_demand(self._data.records, self.target)
        return self._money.units(as_of)

    def blocks(self) -> Iterator[StoreBlock]:
        """Yield all stores with their histories, block by block in order of ids."""
        return self._build_blocks(self._ids) if self.samples else iter(self.evidence)

    def _build_blocks(self, ids: Sequence[str]) -> Iterator[StoreBlock]:
        for block_ids in in_blocks(ids):
            yield self._builder.build(block_ids, self._stages)

    def rows(self, origins: Sequence[date]) -> pl.DataFrame:
        """Return the matrix of some origins for all stores of the evidence."""
        blocks = [block for block in self.evidence if block.any_known(self.view, origins)] or self.evidence[:1]
        return stack([block.build_matrix(self.view, origins) for block in blocks])

    def vocabulary(self, as_of: date) -> Vocabulary:
        """Return the names that were known before a date."""
        records = self.evidence[0].records  # Events and macro series are the whole chain's.
        return Vocabulary.known_at(as_of, self.stores, records.events, records.macro)

    def with_demand(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows whose date is a known open day, with their demand `y`.

        A day is open where something was sold, or `idle`, with a `y` of 0 (`actuals.idle_days`). `known_on` is the date
        of the demand by which that is known: the row's own, but for days without any.
        """
        sold = pl.concat(block.history.with_actuals(rows) for block in self.evidence)
        sold = sold.with_columns(idle=pl.lit(value=False), known_on="date")
        idle = rows.join(self._idle_days(), on=["store_id", "date"], validate="m:1")
        return pl.concat([sold, idle.with_columns(y=pl.lit(0.0), idle=pl.lit(value=True)).select(sold.columns)])

    def _idle_days(self) -> pl.DataFrame:
        """Return idle days of the evidence's stores: store_id, date, known_on."""
        if self._idle is None:
            idle_rows = pl.concat(idle_days(block.records, self.first) for block in self.evidence)
            self._idle = idle_rows.filter(pl.col("target") == self.target).drop("target")
        return self._idle

    def train(self, as_of: date, compared_as_of: date | None = None) -> Model:
        """Return the model of everything known at `as_of`. Raises NotKnownError where that is too little to learn.

        A model that is to be compared with one as of a later date, `compared_as_of`, is weighed on the evidence of that
        one's folds, as far as it was known: the fits that it needs are there already.
        """
        learned = self._fit(as_of)
        folds = self._folds(as_of, compared_as_of)
        members = [*self.recipe.members, *ensemble.BASELINE_MEMBERS]
        prior = ensemble.prior_weights(members, self._known_rows(as_of).select("store_id", "date").n_unique())
        evidence, units = self._known_evidence(as_of, folds), self.units(as_of)
        if evidence is not None:
            weights = ensemble.fit_weights(evidence.filter(~pl.col("idle")), prior)
            if self.samples:
                weights = ensemble.drop_small_weights(weights)
        else:
            rows = in_units(self._known_rows(as_of), self.stores, units, TARGET_UNIT_COLUMNS)
            evidence = rows.with_columns(pl.col("incumbent").alias(name) for name in members)
            evidence, weights = evidence.with_columns(idle=pl.lit(value=False)), prior
        forecasts = evidence.with_columns(ensemble.combine(evidence, weights).alias("forecast"))
        # An idle day is an error, but neither a reason to forecast less nor a residual that comes with the hour.
        sold = forecasts.filter(~pl.col("idle"))
        bands = fit_bands(sold)
        figures = self._trained_on(as_of, forecasts, len(folds)) | {
            UNIT_PREFIX + name: unit for name, unit in units.items()
        }
        return Model(self.target, as_of, self.recipe, learned, weights, bands, figures, Paths.fit(sold, bands),
                     self.vocabulary(as_of))  # fmt: skip

    def rolling_predictions(self, model: Model) -> pl.DataFrame | None:
        """Return what a model trained here predicts at the rolling origins before it, with the demand `y`.

        Null without rolling origins. One row per store, date, hour and lead: also the incumbent, q10, q50, q90 and
        youth. Its members' refits had not seen those days; its weights and bands were chosen by them. Money of several
        currencies is in the model's units.
        """
        evidence = self._known_evidence(model.as_of, self._folds(model.as_of))
        if evidence is None:
            return None
        mixed = evidence.with_columns(ensemble.combine(evidence, model.weights).alias("forecast"))
        return with_bands(mixed, model.bands).select(*PREDICTION_COLUMNS)

    def fold_evidence(self, as_of: date) -> list[pl.DataFrame]:
        """Return what the members predict at the rolling origins before a date, with `y`: a frame per fold, by date."""
        folds = (self._known_evidence(as_of, [fold]) for fold in reversed(self._folds(as_of)))
        return [rows for rows in folds if rows is not None]

    def _known_evidence(self, as_of: date, folds: Sequence[date]) -> pl.DataFrame | None:
        """Return the folds' evidence known at a date, with the incumbent where a member is silent; null without any.

        Money of several currencies is in units as of the date.
        """
        evidence = [self._predictions(day).filter(pl.col("known_on") < as_of) for day in reversed(folds)]
        if not sum(frame.height for frame in evidence):
            return None
        members = [*self.recipe.members, *ensemble.BASELINE_MEMBERS]
        predictions = pl.concat(evidence, rechunk=True).with_columns(pl.col(members).fill_null(pl.col("incumbent")))
        return in_units(predictions, self.stores, self.units(as_of), (*TARGET_UNIT_COLUMNS, *self.recipe.members))

    def parts(self, as_of: date, compared_as_of: date | None = None) -> dict[tuple[str, date], Callable[[], object]]:
        """Return the parts that `train` rests on, in the order in which it makes them; each is made once."""
        jobs: dict[tuple[str, date], Callable[[], object]] = {("fit", as_of): partial(self._fit, as_of)}
        for fold in reversed(self._folds(as_of, compared_as_of)):
            jobs["fit", fold] = partial(self._fit, fold)
            jobs["evidence", fold] = partial(self._predictions, fold)
        return jobs

    def _folds(self, as_of: date, compared_as_of: date | None = None) -> list[date]:
        grid = compared_as_of or as_of
        grid -= timedelta(days=(grid - as_of).days // self.recipe.fold_days * self.recipe.fold_days)
        return self.recipe.fold_dates(grid, self.first)

    def _trained_on(self, as_of: date, forecasts: pl.DataFrame, folds: int) -> dict[str, float]:
        rows = self._known_rows(as_of)
        wape = {
            f"rolling_{name}_wape_bps": figure
            for name, column in (("model", "forecast"), ("incumbent", "incumbent"))
            if (figure := wape_bps(forecasts, column)) is not None
        }
        counts = {"rows": rows.height, "origins": rows["origin_date"].n_unique(), "folds": folds}
        expected = ExpectedAccuracy.from_predictions(forecasts.filter(~pl.col("idle"))) if folds else None
        return {**counts, "stores": rows["store_id"].n_unique(), **wape, **(expected.figures() if expected else {})}

    def _fit(self, as_of: date) -> tuple[Member, ...]:
        if as_of not in self._fits:
            rows = self.vocabulary(as_of).encode(self._training_rows(as_of))
            rows = in_units(rows, self.stores, self.units(as_of), TARGET_UNIT_COLUMNS)
            if rows.is_empty():
                raise NotKnownError(
                    f"too little {self.target} before {as_of} to learn from: the first is on {self.first}; "
                    "training needs at least 15 days of demand"
                )
            features, y = rows.drop("y"), rows["y"].to_numpy()
            names = [name for name in self.recipe.members if name in LEARNED]
            with self._stages("fit") as count:
                self._fits[as_of] = tuple(fit(name, features, y, self.recipe, self._engine) for name in names)
                count(rows.height)
        return self._fits[as_of]

    def _training_rows(self, as_of: date) -> pl.DataFrame:
        """Return matrix rows with their demand, as of a date, as members learn from them.

        Origins without issued weather take the observed weather, with the uncertainty of the issues known at the date.
        In a chain larger than its evidence only the evidence stores have it.
        """
        rows = self._known_rows(as_of)
        if "hindsight" in rows.columns:
            rows = weather_issues.degrade_hindsight(rows, self._past_issues(), as_of)
        return rows if rows.is_empty() else covariate_masking.mask_covariates(rows)

    def _known_rows(self, as_of: date) -> pl.DataFrame:
        """Return the training rows with observed weather: origins and target hours strictly before the date."""
        if self._training is None:
            origins = days(self.first + timedelta(days=14), self._data.last)
            self._training = self._sample(origins) if origins else pl.DataFrame()
        if self._training.is_empty():
            return self._training
        training_origins = self.recipe.origins(self.first, as_of)
        return self._training.filter(pl.col("date") < as_of, pl.col("origin_date").is_in(training_origins))

    def _past_issues(self) -> weather_issues.WeatherIssues:
        if self._issued is None:
            weather, stores = (
                pl.concat(getattr(block.records, name) for block in self.evidence) for name in ("weather", "stores")
            )
            self._issued = weather_issues.WeatherIssues.from_weather(weather, stores)
        return self._issued

    def _sample(self, origins: Sequence[date]) -> pl.DataFrame:
        """Return the sample of rows that members learn from, for all stores, with demand."""
        one_in = self.recipe.one_in(len(self._ids))
        if self._engine.shares_memory:
            sample = partial(sample_rows, self.view, origins, one_in, stages=self._stages)
            # Not by a comprehension, whose variable would keep a block while the next is made.
            frames: Iterator[pl.DataFrame] = map(sample, self.blocks())
        else:
            frames = self._engine.map(partial(read_sample, self._builder, origins, one_in), in_blocks(self._ids))
        nonempty_frames = [rows for rows in frames if rows.width]
        return stack(nonempty_frames) if nonempty_frames else pl.DataFrame()

    def _predictions(self, fold: date) -> pl.DataFrame:
        """Return out-of-sample member predictions and demand for one fold.

        One row per store, date, hour and lead of the weekly origins of the fold's days.
        """
        if fold not in self._evidence:
            origins = days(fold, fold + timedelta(days=self.recipe.fold_days - 1), 7)
            learned = self._fit(fold)
            with self._stages("evidence") as count:
                rows = self.vocabulary(fold).encode(self.with_demand(self.rows(origins)))
                daily = StatisticalMember(self.totals, self.recipe.horizon_days, self._engine)
                outputs = member_predictions(learned, rows, daily if "statistical" in self.recipe.members else None)
                count(rows.height)
            keep = [
                *("store_id", "date", "hour", "lead_days", "scale", "youth", "y", "idle", "known_on"),
                *ensemble.BASELINE_MEMBERS, *self.recipe.members,
            ]  # fmt: skip
            self._evidence[fold] = outputs.select(keep)
        return self._evidence[fold]
