"""Where models of one target are made: the records, their matrix, and every fit of the members done so far."""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from datetime import date, timedelta
from functools import partial
from typing import Self

import polars as pl

from daypart.features import matrix
from daypart.features.business_day import business_date
from daypart.features.chain_data import ChainData, DataSource, days
from daypart.features.cold_start import similar_stores
from daypart.features.errors import NotKnownError
from daypart.features.history import holiday_effects
from daypart.features.history.demand_history import DemandHistory
from daypart.features.money import UNIT_PREFIX, Money, in_units
from daypart.features.signals import covariate_masking, weather_issues
from daypart.features.signals.category_codes import Vocabulary
from daypart.forecasting.metrics.accuracy import wape_bps
from daypart.forecasting.metrics.actuals import idle_days
from daypart.forecasting.metrics.expected_accuracy import Promise
from daypart.forecasting.models import ensemble
from daypart.forecasting.models.engine import LOCAL, Engine
from daypart.forecasting.models.members import LEARNED, Member, fit
from daypart.forecasting.models.model import Model, member_predictions
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.stages import Stages
from daypart.forecasting.uncertainty.bands import fit_bands, with_bands
from daypart.forecasting.uncertainty.residual_paths import Paths

BLOCK_STORES = 100
MONEY = ("y", "incumbent", "smooth", "scale")
"""Columns in the target's unit; what members learn from otherwise are ratios of them."""
JUDGED = ("store_id", "date", "hour", "lead_days", "youth", "y", "incumbent", "forecast", "q10", "q50", "q90")

Made = tuple[ChainData, DemandHistory]
"""A block of stores and its states."""


class Workshop:
    """Trains one target from fixed records, and weighs and judges models on its evidence: some stores, or all.

    Every result for a date is what it would have been had the records ended there: a matrix row knows nothing
    of its origin or later, and a fit as of a date sees demand strictly before it. Fits are kept, so that a
    backtest's retrains serve as the next ones' evidence. The states of the evidence are kept; of a bigger
    chain's other stores there is one block in memory at a time. Results do not depend on the size of blocks.

    Of a segment of stores, models are made and judged on those alone, which learn from the whole chain what holidays
    do to it and what its young stores borrow. Where the chain sells in several currencies, members are weighed and
    judged with money in units (`daypart.features.money`), so that none counts for more by how its amounts are written.
    """

    def __init__(
        self, records: DataSource, target: str, recipe: Recipe, last: date, engine: Engine = LOCAL,
        store_ids: Sequence[str] | None = None, sums: pl.DataFrame | None = None,
    ) -> None:  # fmt: skip
        """Prepares origins up to `last`, for some stores or all; `sums` are `chain_sums`, where they are at hand.

        Raises NotKnownError where the target has no demand in them at all.
        """
        ids = sorted(records.stores["store_id"] if store_ids is None else store_ids)
        first = first_demand(records, target, ids)
        if first is None:
            where = "any store" if store_ids is None else f"the {len(ids)} stores of the segment"
            raise NotKnownError(f"no {target} in {where}: ingest demand with a column {target} first")
        self.first, self.target, self.recipe = first, target, recipe
        self.view = matrix.View(target, recipe.weather, recipe.horizon_days)
        self._records, self._last, self._engine, self._stages = records, last, engine, engine.stages
        self._ids = ids
        self._sums = chain_sums(records, target, last) if sums is None else sums
        evidence_ids = recipe.evidence(self._ids)
        self.samples = len(evidence_ids) < len(self._ids)
        # The stores that members are weighed on, with their states, in blocks.
        self.evidence = list(self._made(evidence_ids))
        self.totals = pl.concat([past.totals for _, past in self.evidence])
        self._training: pl.DataFrame | None = None
        self._issued: weather_issues.WeatherIssues | None = None
        self._idle: pl.DataFrame | None = None
        self._money: Money | None = None
        self._fits: dict[date, tuple[Member, ...]] = {}
        self._evidence: dict[date, pl.DataFrame] = {}

    def under(self, recipe: Recipe) -> Self:
        """The same workshop under another recipe of the same weather, horizon and evidence; states are shared."""
        other = copy(self)
        other.recipe, other._fits, other._evidence = recipe, {}, {}
        stores = len(self._ids)
        if recipe.one_in(stores) != self.recipe.one_in(stores):
            other._training = None
        return other

    @property
    def stores(self) -> pl.DataFrame:
        """All stores of the chain, as recorded."""
        return self._records.stores

    def units(self, as_of: date) -> dict[str, float]:
        """What counts as one in each currency as known at a date (`Money.units`); none where there is one currency."""
        if self._money is None:
            self._money = Money.from_demand(self._records, self.target)
        return self._money.units(as_of)

    def blocks(self) -> Iterator[Made]:
        """All stores with their states, block by block in order of ids."""
        return self._made(self._ids) if self.samples else iter(self.evidence)

    def _made(self, ids: Sequence[str]) -> Iterator[Made]:
        for some in in_blocks(ids):
            yield _made(self._records, self.view, self._last, some, self._sums, self._stages)

    def rows(self, origins: Sequence[date]) -> pl.DataFrame:
        """The matrix for some origins, all stores of the evidence."""
        blocks = [pair for pair in self.evidence if matrix.has_rows(*pair, self.view, origins)] or self.evidence[:1]
        return _stacked([matrix.build(block, self.view, origins, past) for block, past in blocks])

    def vocabulary(self, as_of: date) -> Vocabulary:
        """The names that a model as of a date knows; those known first at the date or later are not among them."""
        block, _ = self.evidence[0]  # Events and macro series are the whole chain's.
        return Vocabulary.known_at(as_of, self.stores, block.events, block.macro)

    def with_demand(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows whose date is a known open day, with the demand that came as `y`; others are left out.

        A day is open where something was sold, or `idle`, with a `y` of 0 (`actuals.idle_days`). `known_on` is the date
        of the demand by which that is known: the row's own, but for days without any.
        """
        sold = pl.concat(past.with_actuals(rows) for _, past in self.evidence)
        sold = sold.with_columns(idle=pl.lit(value=False), known_on="date")
        idle = rows.join(self._idle_days(), on=["store_id", "date"], validate="m:1")
        return pl.concat([sold, idle.with_columns(y=pl.lit(0.0), idle=pl.lit(value=True)).select(sold.columns)])

    def _idle_days(self) -> pl.DataFrame:
        """Idle days of the evidence's stores: store_id, date, known_on."""
        if self._idle is None:
            idle_rows = pl.concat(idle_days(block, self.first) for block, _ in self.evidence)
            self._idle = idle_rows.filter(pl.col("target") == self.target).drop("target")
        return self._idle

    def train(self, as_of: date, beside: date | None = None) -> Model:
        """The model of everything known at `as_of`. Raises NotKnownError where that is too little to learn.

        One that is to be compared with a model as of a later date, `beside`, is weighed on the evidence of that one's
        folds, as far as it was known: the fits that it needs are there already.
        """
        learned = self._fit(as_of)
        folds = self._folds(as_of, beside)
        members = [*self.recipe.members, *ensemble.BY_HAND]
        prior = ensemble.prior_weights(members, self._known_rows(as_of).select("store_id", "date").n_unique())
        evidence, units = self._seen(as_of, folds), self.units(as_of)
        if evidence is not None:
            weights = ensemble.fit_weights(evidence.filter(~pl.col("idle")), prior)
            if self.samples:
                weights = ensemble.earning(weights)
        else:
            rows = in_units(self._known_rows(as_of), self.stores, units, MONEY)
            evidence = rows.with_columns(pl.col("incumbent").alias(name) for name in members)
            evidence, weights = evidence.with_columns(idle=pl.lit(value=False)), prior
        forecasts = evidence.with_columns(ensemble.combine(evidence, weights).alias("forecast"))
        # An idle day is an error, but neither a reason to forecast less nor a residual that comes with the hour.
        sold = forecasts.filter(~pl.col("idle"))
        bands = fit_bands(sold)
        unit_figures = {UNIT_PREFIX + name: unit for name, unit in units.items()}
        figures = self._trained_on(as_of, forecasts, len(folds)) | unit_figures
        return Model(self.target, as_of, self.recipe, learned, weights, bands, figures, Paths.of(sold, bands),
                     self.vocabulary(as_of))  # fmt: skip

    def judged(self, model: Model) -> pl.DataFrame | None:
        """What a model trained here says at the rolling origins before it, beside what came, `y`; null without any.

        One row per store, date, hour and lead: also the incumbent, q10, q50, q90 and youth. Its members' refits had
        not seen those days; its weights and bands were chosen by them. Money of several currencies is in the model's
        units.
        """
        evidence = self._seen(model.as_of, self._folds(model.as_of))
        if evidence is None:
            return None
        mixed = evidence.with_columns(ensemble.combine(evidence, model.weights).alias("forecast"))
        return with_bands(mixed, model.bands).select(*JUDGED)

    def _seen(self, as_of: date, folds: Sequence[date]) -> pl.DataFrame | None:
        """The folds' evidence known at a date, where silent members say what the incumbent does; null without any.

        Money of several currencies is in units as of the date.
        """
        evidence = [self._predictions(day).filter(pl.col("known_on") < as_of) for day in reversed(folds)]
        if not sum(frame.height for frame in evidence):
            return None
        members = [*self.recipe.members, *ensemble.BY_HAND]
        predictions = pl.concat(evidence, rechunk=True).with_columns(pl.col(members).fill_null(pl.col("incumbent")))
        return in_units(predictions, self.stores, self.units(as_of), (*MONEY, *self.recipe.members))

    def parts(self, as_of: date, beside: date | None = None) -> dict[tuple[str, date], Callable[[], object]]:
        """The parts that `train` rests on, in the order in which it has them made; each is made once and kept."""
        jobs: dict[tuple[str, date], Callable[[], object]] = {("fit", as_of): partial(self._fit, as_of)}
        for fold in reversed(self._folds(as_of, beside)):
            jobs["fit", fold] = partial(self._fit, fold)
            jobs["evidence", fold] = partial(self._predictions, fold)
        return jobs

    def _folds(self, as_of: date, beside: date | None = None) -> list[date]:
        grid = beside or as_of
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
        promised = Promise.of(forecasts.filter(~pl.col("idle"))) if folds else None
        return {**counts, "stores": rows["store_id"].n_unique(), **wape, **(promised.figures() if promised else {})}

    def _fit(self, as_of: date) -> tuple[Member, ...]:
        if as_of not in self._fits:
            rows = self.vocabulary(as_of).encode(self._training_rows(as_of))
            rows = in_units(rows, self.stores, self.units(as_of), MONEY)
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
        """Matrix rows with their demand, as of a date, as members learn from them.

        The weather of origins without an issue is what came, as uncertain as the issues known at the date were; of a
        chain bigger than its evidence, the stores of that alone have it.
        """
        rows = self._known_rows(as_of)
        if "hindsight" in rows.columns:
            rows = weather_issues.degrade_hindsight(rows, self._past_issues(), as_of)
        return rows if rows.is_empty() else covariate_masking.mask_covariates(rows)

    def _known_rows(self, as_of: date) -> pl.DataFrame:
        """The same with that weather in hindsight: origins and target hours strictly before the date."""
        if self._training is None:
            origins = days(self.first + timedelta(days=14), self._last)
            self._training = self._sampled(origins) if origins else pl.DataFrame()
        if self._training.is_empty():
            return self._training
        training_origins = self.recipe.origins(self.first, as_of)
        return self._training.filter(pl.col("date") < as_of, pl.col("origin_date").is_in(training_origins))

    def _past_issues(self) -> weather_issues.WeatherIssues:
        if self._issued is None:
            blocks = [block for block, _ in self.evidence]
            weather, stores = (pl.concat(getattr(block, name) for block in blocks) for name in ("weather", "stores"))
            self._issued = weather_issues.WeatherIssues.from_weather(weather, stores)
        return self._issued

    def _sampled(self, origins: Sequence[date]) -> pl.DataFrame:
        """The sample of rows that members learn from, all stores, with demand; features as the members take them."""
        one_in = self.recipe.one_in(len(self._ids))
        if self._engine.shares_memory:
            sampled = partial(_sampled, self.view, origins, one_in, stages=self._stages)
            # Not by a comprehension, whose variable would keep a block while the next is made.
            frames: Iterator[pl.DataFrame] = map(sampled, self.blocks())
        else:
            read = partial(sampled_from, self._records, self._last, self.view, self._sums, origins, one_in)
            frames = self._engine.map(read, in_blocks(self._ids))
        nonempty_frames = [rows for rows in frames if rows.width]
        return _stacked(nonempty_frames) if nonempty_frames else pl.DataFrame()

    def _predictions(self, fold: date) -> pl.DataFrame:
        """What members fitted as of `fold` said at the weekly origins of the fold's days, beside what came."""
        if fold not in self._evidence:
            origins = days(fold, fold + timedelta(days=self.recipe.fold_days - 1), 7)
            learned = self._fit(fold)
            with self._stages("evidence") as count:
                rows = self.vocabulary(fold).encode(self.with_demand(self.rows(origins)))
                outputs = member_predictions(learned, rows, self.totals, self.recipe, self.recipe.members, self._engine)
                count(rows.height)
            keep = [
                *("store_id", "date", "hour", "lead_days", "scale", "youth", "y", "idle", "known_on"),
                *ensemble.BY_HAND, *self.recipe.members,
            ]  # fmt: skip
            self._evidence[fold] = outputs.select(keep)
        return self._evidence[fold]


def chain_sums(records: DataSource, target: str, last: date) -> pl.DataFrame:
    """Return `holiday_effects.holiday_sums` of the chain up to `last`: the same for all segments of its stores."""
    first = records.first_demand_on(target) or last
    return holiday_effects.holiday_sums(records.scan_demand(), records.stores, target, first, max(first, last))


def first_demand(records: DataSource, target: str, store_ids: Sequence[str]) -> date | None:
    """First business date with any demand of the target in some stores."""
    if len(store_ids) == records.stores.height:
        return records.first_demand_on(target)
    in_stores = pl.col("store_id").is_in(pl.Series(store_ids, dtype=pl.String).implode())
    sold = records.scan_demand().filter(in_stores, pl.col(target) > 0)
    earliest = sold.select(business_date(records.stores).min()).collect().item()
    return earliest if isinstance(earliest, date) else None


def in_blocks(ids: Sequence[str]) -> list[Sequence[str]]:
    """The ids, BLOCK_STORES at a time."""
    return [ids[first : first + BLOCK_STORES] for first in range(0, len(ids), BLOCK_STORES)]


def _made(
    records: DataSource, view: matrix.View, last: date, ids: Sequence[str], sums: pl.DataFrame, stages: Stages
) -> Made:
    with stages("read") as count:
        block = records.block(ids)
        count(block.demand.height)
    with stages("matrix"):
        until = last + timedelta(days=view.horizon_days)
        past = matrix.build_history(block, view, until, matrix.ChainContext(records.stores, sums))
        return block, similar_stores.with_donor_history(past, block, similar_stores.DonorPool(records), until)


def _sampled(view: matrix.View, origins: Sequence[date], one_in: int, pair: Made, stages: Stages) -> pl.DataFrame:
    """The sample of one block's rows; without columns where nothing is known of any store."""
    block, past = pair
    if not matrix.has_rows(block, past, view, origins):
        return pl.DataFrame()
    with stages("matrix") as count:
        options = matrix.TrainingOptions(one_in, hindsight=True)
        rows = past.with_actuals(matrix.build(block, view, origins, past, options))
        count(rows.height)
        return rows.cast(dict.fromkeys(matrix.feature_names(rows), pl.Float32))


def sampled_from(
    records: DataSource, last: date, view: matrix.View, sums: pl.DataFrame, origins: Sequence[date], one_in: int,
    ids: Sequence[str], stages: Stages,
) -> pl.DataFrame:  # fmt: skip
    """The sample of one block, read where this runs."""
    return _sampled(view, origins, one_in, _made(records, view, last, ids, sums, stages), stages)


def _stacked(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The rows of blocks, whose columns differ where one lacks a table, in one order of columns."""
    widest = max(frames, key=lambda frame: frame.width).columns
    return pl.concat(frames, how="diagonal").select(*widest, pl.exclude(widest))
