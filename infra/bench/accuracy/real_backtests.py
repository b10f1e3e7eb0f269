"""Backtests of one real set and target: the project's models, the incumbent and the peers, over the same rows."""

import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import polars as pl

from daypart.features.chain_data import ChainData
from daypart.features.signals.weather import WeatherView
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import TrainingData
from daypart.forecasting.serving.backtest import backtest, rolling_origins
from infra.bench.accuracy.method_score import INCUMBENT, OURS, Method, Score, score_method
from infra.bench.accuracy.peer_forecasts import PEERS, RETRAIN_EVERY_DAYS
from infra.bench.accuracy.real_sets import RealSet

DEFAULT_HORIZON_DAYS = Recipe().horizon_days


@dataclass(frozen=True)
class SetBacktest:
    """Backtests of one target of a real set. `runs` holds the project's rows by what they saw of the weather."""

    set_name: str
    target: str
    records: ChainData
    origins: list[date]
    runs: dict[WeatherView, pl.DataFrame] = field(default_factory=dict)

    @classmethod
    def load(cls, data: RealSet, target: str, folder: Path) -> "SetBacktest":
        """Read the set's records up to the end of what is scored."""
        records = data.load(folder).until(data.end)
        return cls(data.name, target, records, rolling_origins(data.start, data.end, 7, DEFAULT_HORIZON_DAYS))

    def own_scores(self, views: Sequence[WeatherView]) -> Iterator[Score]:
        """Backtest the default recipe with each view of the weather, keep the rows in `runs`, and return the scores."""
        for view in views:
            began = time.perf_counter()
            trainer = ModelTrainer(TrainingData(self.records, self.target, self.origins[-1]), Recipe(weather=view))
            self.runs[view], _ = backtest(trainer, self.origins, RETRAIN_EVERY_DAYS)
            method = Method(OURS, view, time.perf_counter() - began)
            yield score_method(self.runs[view], self.records, self.set_name, method)

    def other_scores(self, peers: Sequence[str]) -> Iterator[Score]:
        """Return scores of the incumbent and the named peers over the rows of the first run.

        A peer that is not installed, or that fails, has a score without figures and a note.
        """
        rows = next(iter(self.runs.values()))
        yield score_method(rows.with_columns(forecast="incumbent"), self.records, self.set_name, Method(INCUMBENT))
        for peer in peers:
            yield self.peer_score(peer, rows)

    def peer_score(self, peer: str, rows: pl.DataFrame) -> Score:
        """Return the score of one peer over the rows of a backtest; a note says why there is none."""
        if find_spec(peer) is None:
            return Score(self.set_name, self.target, peer, note=f"{peer} is not installed")
        began = time.perf_counter()
        try:
            forecasts = PEERS[peer](self.records, self.target, self.origins, DEFAULT_HORIZON_DAYS)
            method = Method(peer, seconds=time.perf_counter() - began)
            return score_method(with_forecasts(rows, forecasts), self.records, self.set_name, method)
        except Exception as failed:
            traceback.print_exc()
            return Score(self.set_name, self.target, peer, note=f"failed: {type(failed).__name__}: {failed}")


def with_forecasts(rows: pl.DataFrame, forecasts: pl.DataFrame) -> pl.DataFrame:
    """Return backtest rows with a peer's forecast in place of the project's; null where the peer has none."""
    keys = ["store_id", "origin_date", "hour_utc"]
    return rows.drop("forecast").join(forecasts, on=keys, how="left", maintain_order="left", validate="1:1")
