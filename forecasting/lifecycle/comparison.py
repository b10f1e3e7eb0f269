"""Comparison of challenger and champion on the same target hours: errors, bias and bands, overall and by segment."""

from dataclasses import dataclass
from datetime import date

import polars as pl

from daypart.features.dayparts import daypart
from daypart.features.deterministic_sum import exact_sum
from daypart.features.money import in_units, with_unit
from daypart.forecasting.metrics.bootstrap import Interval, ratio
from daypart.forecasting.metrics.expressions import BASIS_POINTS, bps
from daypart.forecasting.models.model import Model

SIDES = ("challenger", "champion")
SEGMENT_COLUMNS = ("tier", "region", "format", "daypart")


@dataclass(frozen=True)
class ComparedRows:
    """The rows on which two models are compared: a matrix with demand `y`, and what its prediction needs.

    `totals` are the daily totals of the stores. Weeks begin on the weekday of `first_day`.
    """

    matrix: pl.DataFrame
    totals: pl.DataFrame
    stores: pl.DataFrame
    first_day: date


@dataclass(frozen=True)
class Comparison:
    """Two models on the same cells: one row of `cells` per store, week and daypart.

    Columns: store_id, week (of seven days, from 0), those of SEGMENT_COLUMNS that are known, `y` (demand) and for each
    of SIDES: `_error` (sum of absolute hourly errors) and `_over` (sum of forecast - demand) in the target's unit,
    `_banded` (hours whose q90 is above 0) and `_held` (those of them within the band).
    """

    cells: pl.DataFrame
    confidence: float
    seed: int

    @classmethod
    def from_models(
        cls, challenger: Model, champion: Model, rows: ComparedRows, confidence: float, seed: int
    ) -> "Comparison":
        """Return the comparison of two models' forecasts of the same matrix rows.

        Money of several currencies is in the units of the challenger.
        """
        key = ["store_id", "week", "daypart"]
        week = (pl.col("date") - rows.first_day).dt.total_days() // 7
        sides, stores, units = [], rows.stores, challenger.units
        for side, model in zip(SIDES, (challenger, champion), strict=True):
            priced = with_unit(rows.matrix, stores, model.units)
            forecast = model.predict(priced, rows.totals)
            forecast = forecast.with_columns(daypart(pl.col("hour")).fill_null("other"), week=week)
            forecast = in_units(forecast, stores, units, ("y", "forecast", "q10", "q90"))
            sides.append(forecast.group_by(key).agg(exact_sum(pl.col("y")), *_sums(side)).sort(key))
        ours, theirs = sides
        both = ours.with_columns(theirs.select(pl.exclude(*key, "y")))
        segment_columns = [name for name in SEGMENT_COLUMNS if name in stores.columns]
        cells = both.join(stores.select("store_id", *segment_columns), on="store_id", how="left", maintain_order="left")
        return cls(cells, confidence, seed)

    def wape_bps(self, side: str) -> float:
        """Return the WAPE of one side in bps; NaN where demand sums to 0."""
        return self._share(f"{side}_error")

    def bias_bps(self, side: str) -> float:
        """Return the bias of one side in bps, above 0 where it forecasts too much; NaN where demand sums to 0."""
        return self._share(f"{side}_over")

    def coverage(self, side: str) -> float:
        """Return the share of hours within the band, of those that have one; NaN where none has."""
        within_band, banded = (float(self.cells[f"{side}_{what}"].sum()) for what in ("held", "banded"))
        return within_band / banded if banded else float("nan")

    def gain(self) -> Interval:
        """Return by how much the challenger's WAPE is below the champion's, in bps."""
        return self._beyond(pl.col("champion_error") - pl.col("challenger_error"))

    def more_biased(self) -> Interval:
        """Return by how much the challenger's bias is further from 0 than the champion's, in bps."""
        ours, theirs = (pl.col(f"{side}_over") * (1 if self.bias_bps(side) > 0 else -1) for side in SIDES)
        return self._beyond(ours - theirs)

    def more_covered(self) -> Interval:
        """Return by how much more the challenger covers than the champion, as a share of hours."""
        # Of a champion without bands in some cells those count as not held.
        return ratio(
            self.cells, pl.col("challenger_held") - pl.col("champion_held"), pl.col("challenger_banded"),
            self.confidence, self.seed,
        )  # fmt: skip

    def segments(self) -> pl.DataFrame:
        """Return one row per segment that is not all of the cells.

        Columns: by, segment, challenger_bps, champion_bps (WAPE), and gain_bps with its bounds lower_bps and upper_bps.
        """
        rows = []
        for by in (name for name in SEGMENT_COLUMNS if name in self.cells.columns):
            parts = self.cells.drop_nulls(by).partition_by(by, as_dict=True)
            for (name,), cells in sorted(parts.items(), key=lambda item: str(item[0])):
                part = Comparison(cells, self.confidence, self.seed)
                if cells.height < self.cells.height and part.cells["y"].sum() > 0:
                    gain = part.gain()
                    wapes = [part.wape_bps(side) for side in SIDES]
                    rows.append((by, str(name), *wapes, gain.estimate, gain.lower, gain.upper))
        return pl.DataFrame(rows, schema=SEGMENT_SCHEMA, orient="row")

    def _share(self, part: str) -> float:
        total, volume = (float(self.cells[name].sum()) for name in (part, "y"))
        return bps(total, volume) if volume > 0 else float("nan")

    def _beyond(self, part: pl.Expr) -> Interval:
        return ratio(self.cells, BASIS_POINTS * part, pl.col("y"), self.confidence, self.seed)


SEGMENT_SCHEMA = {"by": pl.String(), "segment": pl.String()} | dict.fromkeys(
    ("challenger_bps", "champion_bps", "gain_bps", "lower_bps", "upper_bps"), pl.Float64()
)


def _sums(side: str) -> list[pl.Expr]:
    over = pl.col("forecast") - pl.col("y")
    banded = pl.col("q90") > 0
    return [
        exact_sum(over.abs()).alias(f"{side}_error"),
        exact_sum(over).alias(f"{side}_over"),
        (banded & pl.col("y").is_between("q10", "q90")).sum().cast(pl.Float64).alias(f"{side}_held"),
        banded.sum().cast(pl.Float64).alias(f"{side}_banded"),
    ]
