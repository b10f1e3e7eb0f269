"""Where models of one target are made: the records, their matrix, and every fit of the members done so far."""

from collections.abc import Sequence
from datetime import date, timedelta

import polars as pl

from features import history, horizon, matrix
from features.errors import NotKnownError
from features.records import Records, days
from forecasting import bands, ensemble
from forecasting.members import LEARNED, Member, fit
from forecasting.model import Model, member_predictions
from forecasting.recipe import Recipe

BLOCK_STORES = 100


class Workshop:
    """Trains and forecasts one target from fixed records.

    Every result for a date is what it would have been had the records ended there: a matrix row knows nothing
    of its origin or later, and a fit as of a date sees demand strictly before it. Fits are kept, so that a
    backtest's retrains serve as the next ones' evidence.
    """

    def __init__(self, records: Records, target: str, recipe: Recipe, last: date) -> None:
        """Prepares origins up to `last`. Raises NotKnownError where the target has no demand at all."""
        first = records.first_demand_on(target)
        if first is None:
            raise NotKnownError(f"no {target} in any store: ingest demand with a column {target} first")
        self.first, self.target, self.recipe = first, target, recipe
        self.view = matrix.View(target, recipe.weather, recipe.horizon_days)
        horizon_end = last + timedelta(days=recipe.horizon_days)
        ids = sorted(records.stores["store_id"])
        blocks = [records.block(ids[k : k + BLOCK_STORES]) for k in range(0, len(ids), BLOCK_STORES)]
        known = [matrix.past(block, self.view, horizon_end, records.stores) for block in blocks]
        self._blocks: list[tuple[Records, history.Past]] = list(zip(blocks, known, strict=True))
        self.totals = pl.concat([p.totals for p in known])
        self._demand = pl.concat([p.hourly.select("store_id", "date", "hour", "y") for p in known])
        self._one_in = recipe.one_in(len(ids))
        self._training: pl.DataFrame | None = None
        self._last = last
        self._fits: dict[date, tuple[Member, ...]] = {}
        self._evidence: dict[date, pl.DataFrame] = {}

    def rows(self, origins: Sequence[date], one_in: int = 1) -> pl.DataFrame:
        """The matrix for some origins, all stores."""
        known = [(block, past) for block, past in self._blocks if self._begun(past, max(origins))]
        if not known:
            known = self._blocks[:1]
        built = [matrix.build(block, self.view, origins, past, one_in) for block, past in known]
        # A block whose stores lack a table has fewer columns than the others.
        return pl.concat(built, how="diagonal")

    def _begun(self, past: history.Past, origin: date) -> bool:
        return past.totals.height > 0 and bool((past.totals["date"] < origin).any())

    def with_demand(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows whose date is a known open day, with the demand that came as `y`; others are left out."""
        return rows.join(self._demand, on=["store_id", "date", "hour"], how="inner", maintain_order="left")

    def by_hand(self, origin: date) -> pl.DataFrame:
        """The planner's incumbent of every store, weekday and hour, as `horizon.by_hand` has it."""
        return pl.concat([horizon.by_hand(past, origin) for _, past in self._blocks])

    def train(self, as_of: date) -> Model:
        """The model of everything known at `as_of`. Raises NotKnownError where that is too little to learn."""
        learned = self._fit(as_of)
        folds = self.recipe.fold_dates(as_of, self.first)
        members = [*self.recipe.members, "incumbent"]
        evidence = [self._predictions(day).filter(pl.col("date") < as_of) for day in reversed(folds)]
        if evidence and sum(frame.height for frame in evidence):
            seen = pl.concat(evidence).with_columns(pl.col(members).fill_null(pl.col("incumbent")))
            weights = ensemble.fit_weights(seen, members)
        else:
            seen = self._training_rows(as_of).with_columns(pl.col("incumbent").alias(name) for name in members)
            weights = ensemble.thin_weights(members)
        judged = seen.with_columns(ensemble.combine(seen, weights).alias("forecast"))
        return Model(self.target, as_of, self.recipe, learned, weights, bands.fit_bands(judged),
                     self._trained_on(as_of, judged, len(evidence)))  # fmt: skip

    def _trained_on(self, as_of: date, judged: pl.DataFrame, folds: int) -> dict[str, float]:
        rows = self._training_rows(as_of)
        volume = float(judged["y"].sum())
        wape = {
            f"rolling_{name}_wape_bps": 1e4 * float((judged["y"] - judged[column]).abs().sum()) / volume
            for name, column in (("model", "forecast"), ("incumbent", "incumbent"))
            if volume > 0
        }
        counts = {"rows": rows.height, "origins": rows["origin_date"].n_unique(), "folds": folds}
        return {**counts, "stores": rows["store_id"].n_unique(), **wape}

    def _fit(self, as_of: date) -> tuple[Member, ...]:
        if as_of not in self._fits:
            rows = self._training_rows(as_of)
            if rows.is_empty():
                raise NotKnownError(
                    f"too little {self.target} before {as_of} to learn from: the first is on {self.first}; "
                    "training needs at least 15 days of demand"
                )
            features, y = rows.drop("y"), rows["y"].to_numpy()
            names = [name for name in self.recipe.members if name in LEARNED]
            self._fits[as_of] = tuple(fit(name, features, y, self.recipe) for name in names)
        return self._fits[as_of]

    def _training_rows(self, as_of: date) -> pl.DataFrame:
        """Matrix rows with their demand, as of a date: origins and target hours strictly before it."""
        if self._training is None:
            origins = days(self.first + timedelta(days=14), self._last)
            self._training = self.with_demand(self.rows(origins, self._one_in)) if origins else pl.DataFrame()
        if self._training.is_empty():
            return self._training
        wanted = self.recipe.origins(self.first, as_of)
        return self._training.filter(pl.col("date") < as_of, pl.col("origin_date").is_in(wanted))

    def _predictions(self, fold: date) -> pl.DataFrame:
        """What members fitted as of `fold` said at the weekly origins of the fold's days, beside what came."""
        if fold not in self._evidence:
            origins = days(fold, fold + timedelta(days=self.recipe.fold_days - 1), 7)
            rows = self.with_demand(self.rows(origins))
            told = member_predictions(self._fit(fold), rows, self.totals, self.recipe)
            keep = ["store_id", "date", "lead_days", "incumbent", "scale", "y", *self.recipe.members]
            self._evidence[fold] = told.select(keep)
        return self._evidence[fold]
