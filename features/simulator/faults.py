"""Faults that can be planted in a simulated chain, so that tests can show whether a monitor finds them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from daypart.features.simulator.noise import stream


@dataclass(frozen=True)
class Drift:
    """From `starts` on, a share of the stores sells `factor` times its usual demand; in the truth too."""

    starts: date
    share: float = 0.25
    factor: float = 0.75


@dataclass(frozen=True)
class Outage:
    """A store's demand rows are missing from `first` to `last`, though trade went on."""

    store_id: str
    first: date
    last: date


@dataclass(frozen=True)
class LateData:
    """The last `days` days of a share of the stores have not arrived."""

    days: int = 2
    share: float = 0.1


Fault = Drift | Outage | LateData

PLANTED = {"store_id": pl.String, "fault": pl.String, "first": pl.Date, "last": pl.Date, "factor": pl.Float64}
"""Schema of the list of what was planted: one row per fault and store, `last` null = for good."""


def plant_faults(faults: Sequence[Fault], seed: int, store_ids: Sequence[str], last: date) -> pl.DataFrame:
    """Return one row per fault and store that it touches; `last` is the last day of demand."""
    rows: list[tuple[str, str, date, date | None, float | None]] = []
    for position, fault in enumerate(faults):
        match fault:
            case Drift():
                touched = _store_sample(fault.share, seed, position, store_ids)
                rows += [(store, "drift", fault.starts, None, fault.factor) for store in touched]
            case Outage():
                rows.append((fault.store_id, "outage", fault.first, fault.last, None))
            case LateData():
                touched = _store_sample(fault.share, seed, position, store_ids)
                first = last - timedelta(days=fault.days - 1)
                rows += [(store, "late data", first, last, None) for store in touched]
    return pl.DataFrame(rows, schema=PLANTED, orient="row").sort("fault", "store_id", "first")


def _store_sample(share: float, seed: int, position: int, store_ids: Sequence[str]) -> list[str]:
    """Return that share of the stores (at least one), the same ones for the same seed."""
    count = max(1, round(share * len(store_ids)))
    luck = stream(seed, "faults", position).random(len(store_ids))
    return sorted(store_ids[index] for index in np.argsort(luck, kind="stable")[:count])
