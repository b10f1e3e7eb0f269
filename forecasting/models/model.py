"""A trained model: members, weights, bands and residual paths. It forecasts a matrix and is stored as files."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

import polars as pl

from daypart.features.matrix import KEY_COLUMNS
from daypart.features.money import UNIT, currency_units
from daypart.features.signals.category_codes import Vocabulary, encode_categories
from daypart.forecasting.models import ensemble, statistical
from daypart.forecasting.models.engine import LOCAL, Engine
from daypart.forecasting.models.linear import LINEAR, ORIGIN_DAY, Linear
from daypart.forecasting.models.members import Learned, Member
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.uncertainty.bands import Bands, with_bands
from daypart.forecasting.uncertainty.residual_paths import Paths

PATHS_FILE, VOCABULARY_FILE = "paths.parquet", "vocabulary.json"
STATISTICAL_TOTAL = "statistical_total"
"""The column of features with the day's demand as the member `statistical` forecasts it; null where it is silent."""


@dataclass(frozen=True)
class Model:
    """A trained model of one target. `trained_on` has the figures of its training.

    `vocabulary` holds the names that it was trained with. Old stored models have
    no paths or vocabulary: without a vocabulary event codes are those of the tables as they are read.
    """

    target: str
    as_of: date
    recipe: Recipe
    learned: tuple[Member, ...]
    weights: pl.DataFrame
    bands: Bands
    trained_on: dict[str, float]
    paths: Paths | None = None
    vocabulary: Vocabulary | None = None

    @property
    def members(self) -> list[str]:
        """Names of the members that have a weight, the incumbent last."""
        return self.weights["member"].unique(maintain_order=True).to_list()

    def predict(self, matrix: pl.DataFrame, totals: pl.DataFrame, engine: Engine = LOCAL) -> pl.DataFrame:
        """Return the matrix's rows with a column per member, `forecast`, q10, q50 and q90.

        All are in the target's unit per hour.
        Event codes and macro columns are those of the model's vocabulary. Where it has `units`, the matrix has the UNIT
        of each row's currency (`money.with_unit`).
        """
        rows = encode_categories(matrix, self.vocabulary)
        return self._predict(rows, self._statistical(totals, engine))

    def features(self, matrix: pl.DataFrame, totals: pl.DataFrame, engine: Engine = LOCAL) -> pl.DataFrame:
        """Return the matrix's rows as the model reads them, for `predict_features`.

        Columns: those of `feature_columns`. Features are floats, null where the matrix lacks them.
        """
        rows = encode_categories(matrix, self.vocabulary)
        member = self._statistical(totals, engine)
        if member is not None:
            days = member.daily_totals(rows["origin_date"].unique().to_list()).rename({"total": STATISTICAL_TOTAL})
            rows = rows.join(days, on=ORIGIN_DAY, how="left", maintain_order="left")
        names = [name for name in self.feature_columns if name not in KEY_COLUMNS]
        absent = [pl.lit(None, pl.Float64).alias(name) for name in names if name not in rows.columns]
        return rows.with_columns(absent).select(*KEY_COLUMNS, pl.col(names).cast(pl.Float64))

    @property
    def feature_columns(self) -> list[str]:
        """Return the matrix's key columns and the names of the features that the model's members read."""
        names = [name for member in self._predicting for name in member.features]
        names += [UNIT] if self.units else []
        names += [STATISTICAL_TOTAL] if "statistical" in self.members else []
        return list(dict.fromkeys([*KEY_COLUMNS, *names]))

    def predict_features(self, features: pl.DataFrame) -> pl.DataFrame:
        """Return what `predict` returns, to the last bit, for the rows of `features`.

        The rows have all hours of each of their days: members of days are spread over them.
        """
        if STATISTICAL_TOTAL not in self.feature_columns:
            return self._predict(features, None)
        days = features.select(*ORIGIN_DAY, total=STATISTICAL_TOTAL).unique(ORIGIN_DAY, maintain_order=True)
        return self._predict(features, StatisticalTotals(days))

    def _predict(self, rows: pl.DataFrame, daily: "DailyMember | None") -> pl.DataFrame:
        rows = member_predictions(self._predicting, rows, daily)
        mixed = rows.with_columns(ensemble.combine(rows, self.weights).alias("forecast"))
        return with_bands(mixed, self.bands)

    def _statistical(self, totals: pl.DataFrame, engine: Engine) -> "StatisticalMember | None":
        return StatisticalMember(totals, self.recipe.horizon_days, engine) if "statistical" in self.members else None

    @property
    def _predicting(self) -> tuple[Member, ...]:
        """The learned members with a weight; members of days need the shape of the first boosted one at any rate."""
        shape = next((member for member in self.learned if isinstance(member, Learned)), None)
        return tuple(member for member in self.learned if member.member in self.members or member is shape)

    @property
    def units(self) -> dict[str, float]:
        """What counts as one in each currency that it learned from; empty where there was one (`features.money`)."""
        return currency_units(self.trained_on)

    def importance(self) -> pl.DataFrame:
        """Return one row per learned member and feature: target, member, feature, gain_share."""
        frames = [member.importance() for member in self.learned]
        return pl.concat(frames).select(pl.lit(self.target).alias("target"), pl.all())

    def files(self) -> dict[str, bytes]:
        """Return the whole model as files: LightGBM's text format, JSON and Parquet. Nothing is pickled."""
        description = {
            "target": self.target,
            "as_of": self.as_of.isoformat(),
            "recipe": self.recipe.model_dump(mode="json"),
            "weights": self.weights.to_dicts(),
            "bands": self.bands.to_dict(),
            "trained_on": self.trained_on,
            "members": [member.to_dict() for member in self.learned],
        }
        texts = {f"{m.member}.txt": m.booster for m in self.learned if isinstance(m, Learned)}
        texts["model.json"] = json.dumps(description, indent=1, sort_keys=True)
        if self.vocabulary:
            texts[VOCABULARY_FILE] = self.vocabulary.to_json()
        paths = {PATHS_FILE: self.paths.to_parquet()} if self.paths else {}
        return {**{name: text.encode() for name, text in texts.items()}, **paths}

    @classmethod
    def from_files(cls, files: dict[str, bytes]) -> Self:
        """Return the model of `files`, to the last bit."""
        description = json.loads(files["model.json"])
        learned = tuple(_member(member, files) for member in description["members"])
        return cls(
            description["target"],
            date.fromisoformat(description["as_of"]),
            Recipe.model_validate(description["recipe"]),
            learned,
            pl.DataFrame(description["weights"]),
            Bands.from_dict(description["bands"]),
            description["trained_on"],
            Paths.from_parquet(files[PATHS_FILE]) if PATHS_FILE in files else None,
            Vocabulary.from_json(files[VOCABULARY_FILE]) if VOCABULARY_FILE in files else None,
        )


def _member(fields: dict[str, Any], files: dict[str, bytes]) -> Member:
    if fields["member"] in LINEAR:
        return Linear.from_dict(fields)
    return Learned.from_dict(fields, files[f"{fields['member']}.txt"].decode())


@dataclass(frozen=True)
class StatisticalMember:
    """The member `statistical`: daily forecasts from stores' daily `totals`, computed by an engine."""

    totals: pl.DataFrame
    horizon_days: int
    engine: Engine = LOCAL

    def daily_totals(self, origins: Sequence[date]) -> pl.DataFrame:
        """Return one row per store, origin and date of the horizon with the day's demand, `total`."""
        return self.engine.daily_forecasts(self.totals, origins, self.horizon_days)


@dataclass(frozen=True)
class StatisticalTotals:
    """The member `statistical` whose daily forecasts are known: one row per store, origin and date, with `total`."""

    rows: pl.DataFrame

    def daily_totals(self, origins: Sequence[date]) -> pl.DataFrame:
        """Return the rows of all origins."""
        return self.rows


DailyMember = StatisticalMember | StatisticalTotals


def member_predictions(
    learned: Sequence[Member], matrix: pl.DataFrame, statistical_member: DailyMember | None
) -> pl.DataFrame:
    """Return the matrix's rows with a column of demand per member; `statistical` is null where it is silent.

    Rows are encoded by the vocabulary that the learned members were fitted with.
    Members of days are spread over hours by the shape of the first boosted member.
    """
    boosted = [member for member in learned if isinstance(member, Learned)]
    rows = matrix.with_columns(pl.Series(m.member, m.predict(matrix)) for m in boosted)
    shape = boosted[0].member if boosted else "smooth"
    totals_by = {m.member: m.daily_totals(matrix) for m in learned if isinstance(m, Linear)}
    if statistical_member is not None:
        totals_by["statistical"] = statistical_member.daily_totals(rows["origin_date"].unique().to_list())
    return rows.with_columns(statistical.spread(rows, shape, days).alias(name) for name, days in totals_by.items())
