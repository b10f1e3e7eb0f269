"""Replay: the nights of the past as they would have gone under each policy of retraining."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial

import polars as pl

from daypart.features.chain_data import ChainData, days
from daypart.features.quality import data_health
from daypart.forecasting.lifecycle.gate import Verdict, gate
from daypart.forecasting.lifecycle.policy import Policy
from daypart.forecasting.lifecycle.retrain import LEADS_DAYS, MOST_WEEKS, Decision, decide
from daypart.forecasting.lifecycle.simulated_nights import Nights
from daypart.forecasting.lifecycle.training_cost import ChargingWorkshop
from daypart.forecasting.metrics.expected_accuracy import Promise
from daypart.forecasting.metrics.persistent_error import store_weeks
from daypart.forecasting.models.model import Model
from daypart.forecasting.models.recipe import Recipe

LEVELS = ("hour", "day")
BY = ["target", "policy"]
KEPT = timedelta(days=7 * MOST_WEEKS + LEADS_DAYS)
"""What was published longer ago is no evidence any more."""
DEMAND_DAYS = 7
"""Days in which faults of demand are looked for."""
NO_WEEKS = pl.DataFrame(schema={"store_id": pl.String(), "week": pl.Int64()})
HAPPENED = {"retrained": "retrain", "promoted": "promotion"}
NIGHTS = pl.Schema({
    "night": pl.Date(), "champion": pl.Date(), "retrained": pl.Boolean(), "promoted": pl.Boolean(),
    "reason": pl.String(), "verdict": pl.String(), "cpu_seconds": pl.Float64(),
})  # fmt: skip


@dataclass(frozen=True)
class Replayed:
    """What came of targets under some policies.

    `nights` has one row per target, policy and night: target, policy, night, champion (the date that it was trained
    as of), retrained, promoted (the challenger of that night, which serves from the next), reason (of the decision),
    verdict (of the gate, null without one) and cpu_seconds (of trainings, gates and decisions; forecasting costs
    every policy the same and is left out). `errors` has one row per target, policy, night and date: `nights.Scored`.
    """

    nights: pl.DataFrame
    errors: pl.DataFrame

    def summary(self) -> pl.DataFrame:
        """One row per target and policy, in their order: accuracy, gain and incumbent by the hour and the day, in bps.

        And retrains, promotions, cpu_seconds, nights. Accuracies are null where nothing was sold.
        """
        figures = self.errors.group_by(BY, maintain_order=True).agg(*_accuracies())
        counts = [pl.col(name).sum().cast(pl.Int64).alias(f"{event}s") for name, event in HAPPENED.items()]
        happened = self.nights.group_by(BY, maintain_order=True).agg(
            *counts, pl.col("cpu_seconds").sum(), nights=pl.len().cast(pl.Int64)
        )
        return figures.join(happened, on=BY, how="left", maintain_order="left", validate="1:1")

    def weekly(self) -> pl.DataFrame:
        """One row per target, policy and week of the days that were forecast, by its Monday: the same accuracies.

        And `actual`, what was sold, once for each forecast of it.
        """
        dates = self.errors["date"].dt.truncate("1w")
        weeks = pl.DataFrame({"week": days(dates.min(), dates.max(), 7)})  # type: ignore[arg-type]
        by_week = self.errors.group_by(*BY, pl.col("date").dt.truncate("1w").alias("week"))
        weekly_figures = by_week.agg(*_accuracies(), pl.col("actual").sum())
        every = self.errors.select(BY).unique(maintain_order=True).join(weeks, how="cross")
        return every.join(weekly_figures, on=[*BY, "week"], how="left", maintain_order="left", validate="1:1")


def _accuracies() -> list[pl.Expr]:
    volume = pl.when(pl.col("actual").sum() > 0.0).then(pl.col("actual").sum())
    accuracy = {
        (name, level): 10_000.0 * (1.0 - pl.col(f"{name}_{level}").sum() / volume)
        for name in ("forecast", "incumbent")
        for level in LEVELS
    }
    return [
        *(accuracy["forecast", level].alias(f"accuracy_{level}_bps") for level in LEVELS),
        *((accuracy["forecast", level] - accuracy["incumbent", level]).alias(f"gain_{level}_bps") for level in LEVELS),
        *(accuracy["incumbent", level].alias(f"incumbent_{level}_bps") for level in LEVELS),
    ]


@dataclass
class _Life:
    """What went on under one policy so far; `rows` is what its champion published, by the night."""

    policy: Policy
    champion: Model
    trained: list[date]
    rows: dict[date, pl.DataFrame] = field(default_factory=dict)
    nights: list[dict[str, object]] = field(default_factory=list)
    errors: list[pl.DataFrame] = field(default_factory=list)


def replay(
    records: ChainData, target: str, recipe: Recipe, policies: Mapping[str, Policy], start: date, end: date,
    every_days: int = 1, progress: Callable[[date], None] = lambda night: None,
) -> Replayed:  # fmt: skip
    """The nights from `start` to `end`, so many days apart, under each policy by its name.

    All begin with the model as of `start`. On each night the champion forecasts, and the policy is asked on what had
    come by then of what was forecast before: demand strictly before the night. A challenger is trained as of the night
    and judged by the gate; if it wins it serves from the next night on. Demand through `end` is scored. Equal records
    give equal results, but for processor seconds, which are measured. A chain of more stores than the recipe's evidence
    is replayed on those. Raises NotKnownError where history before `start` is too little to train.
    """
    workshop = ChargingWorkshop(records.until(end), target, recipe, end)
    first, seconds = workshop.charged(start, partial(workshop.train, start))
    lives = {name: _Life(policy, first, [start]) for name, policy in policies.items()}
    nights = days(start, end, every_days)
    scored = Nights(workshop, nights)
    for night in nights:
        for life in lives.values():
            _live(life, night, workshop, scored, seconds if night == start else 0.0)
        progress(night)
    return Replayed(
        pl.concat(_of(target, name, pl.DataFrame(life.nights, schema=NIGHTS)) for name, life in lives.items()),
        pl.concat(_of(target, name, pl.concat(life.errors)) for name, life in lives.items()),
    )


def _of(target: str, name: str, rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(pl.lit(target).alias("target"), pl.lit(name).alias("policy"), pl.all())


def _live(life: _Life, night: date, workshop: ChargingWorkshop, nights: Nights, seconds: float) -> None:
    """One night under one policy; `seconds` were spent before it."""
    champion, verdict = life.champion, None
    scores = nights.scored(champion, night)
    began = time.process_time()
    decision = _decision(life, night, nights)
    seconds += time.process_time() - began
    life.rows = {day: rows for day, rows in life.rows.items() if day > night - KEPT} | {night: scores.rows}
    if decision.retrain:
        (challenger, verdict), took = workshop.charged(
            night, partial(_challenged, workshop, champion, night, life.policy)
        )
        seconds += took
        life.trained.append(night)
        if verdict.promote:
            life.champion, life.rows = challenger, {}
    life.errors.append(scores.errors.select(pl.lit(night).alias("night"), pl.all()))
    life.nights.append({
        "night": night, "champion": champion.as_of, "retrained": decision.retrain,
        "promoted": verdict is not None and verdict.promote, "reason": decision.reason,
        "verdict": None if verdict is None else verdict.reason, "cpu_seconds": seconds,
    })  # fmt: skip


def _challenged(workshop: ChargingWorkshop, champion: Model, night: date, policy: Policy) -> tuple[Model, Verdict]:
    challenger = workshop.train(night)
    return challenger, gate(challenger, champion, workshop, policy)


def _decision(life: _Life, night: date, nights: Nights) -> Decision:
    """What the policy says at the start of the night's day, on what its champion published and what had come of it."""
    promise, weeks, faulty = Promise.told(life.champion.trained_on), NO_WEEKS, set[str]()
    if life.policy.retrain == "triggered" and life.rows:
        rows = pl.concat(life.rows.values())
        faulty = data_health.stores_at_fault(
            data_health.demand_faults(_days(rows, nights.closures, night), night), night
        )
        sound = ~pl.col("store_id").is_in(pl.Series(sorted(faulty), dtype=pl.String).implode())
        weeks = store_weeks(rows.lazy().filter(sound), night)
    return decide(weeks, promise, life.policy, night, life.trained, len(faulty), nights.stores)


def _days(rows: pl.DataFrame, closures: pl.DataFrame, night: date) -> pl.DataFrame:
    """The days of the last week that were forecast and that no closure explains, as `health.demand_faults` has them."""
    day = pl.col("business_date")
    near = rows.lazy().filter(day < night, day >= night - timedelta(days=DEMAND_DAYS))
    return (
        data_health.store_days(near)
        .collect()
        .join(closures.select("store_id", "date").unique(), on=["store_id", "date"], how="anti")
        .sort("store_id", "date")
    )
