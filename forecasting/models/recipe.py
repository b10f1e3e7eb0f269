"""The recipe of a model: members, rounds, sampled origins, folds; every setting that is not learned."""

from collections.abc import Sequence
from datetime import date, timedelta
from zlib import crc32

from pydantic import BaseModel, ConfigDict, Field

from daypart.features.matrix import HORIZON_DAYS
from daypart.features.signals.weather import WeatherView

NAMES_THE_DATE = ("macro_", "history_last_year_")
"""Features, by how they begin, that few years of history cannot tell from the name of a date.

A tree splits on them to single out days by chance: the macro series cost 30 bps of WAPE on the simulated chain, whose
recent levels carry the economy anyway.
"""

USUAL_HOURS = 14
"""Trading hours of a usual store-day, by which the sample of training rows is planned."""


class Recipe(BaseModel):
    """Settings of a training run; the same recipe, records and date give the same model to the last bit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(7, ge=0, le=2**31 - 1)
    weather: WeatherView = "issued"
    horizon_days: int = Field(HORIZON_DAYS, ge=1, le=HORIZON_DAYS)
    members: tuple[str, ...] = ("ratio", "level", "linear", "anniversary", "statistical")
    rounds: int = Field(200, ge=1, le=100_000)
    leaves: int = Field(15, ge=2, le=131_072)
    learning_rate: float = Field(0.06, gt=0, lt=1)
    history_days: int = Field(730, ge=28, le=36_600, description="how far back training origins reach")
    max_rows: int = Field(
        300_000, ge=1_000, le=2**31 - 1, description="training rows at most, by sampling pairs of origin and lead"
    )
    folds: int = Field(3, ge=1, le=100, description="earlier dates at which members are refitted to weigh them")
    fold_days: int = Field(
        28, ge=7, le=3_660, description="days between those dates, and that each one's origins cover"
    )
    evidence_stores: int = Field(200, ge=1, description="stores at most whose rolling origins weigh the members")
    min_train_days: int = Field(42, ge=14, le=36_600, description="a fold with less history is left out")

    left_out: tuple[str, ...] = Field(NAMES_THE_DATE, description="beginnings of features not to learn from")

    def learns_from(self, features: Sequence[str]) -> list[str]:
        """Return the features that learned members use, in their order."""
        return [name for name in features if not name.startswith(self.left_out)]

    def fold_dates(self, as_of: date, first: date) -> list[date]:
        """Return dates of the rolling refits before `as_of`, latest first, that leave enough history after `first`."""
        dates = [as_of - timedelta(days=self.fold_days * (k + 1)) for k in range(self.folds)]
        return [day for day in dates if (day - first).days >= self.min_train_days]

    def evidence(self, store_ids: Sequence[str]) -> list[str]:
        """Return the stores whose rolling origins weigh the members, sorted: all, or a fixed sample."""
        shuffled_ids = sorted(store_ids, key=lambda name: (crc32(name.encode()), name))
        return sorted(shuffled_ids[: self.evidence_stores])

    def origins(self, first: date, as_of: date) -> list[date]:
        """Return the training origins before `as_of`: each day from two weeks after `first`, within history_days."""
        start = max(first + timedelta(days=14), as_of - timedelta(days=self.history_days))
        return [start + timedelta(days=k) for k in range((as_of - start).days)]

    def one_in(self, stores: int) -> int:
        """Return k to train on one in k pairs of origin and lead; it depends on the size of the chain, not on dates."""
        rows = stores * USUAL_HOURS * self.horizon_days * self.history_days
        return max(1, -(-rows // self.max_rows))
