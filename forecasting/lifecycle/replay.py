"""Replay: simulate the nights of the past under each policy of retraining."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial

import polars as pl

from daypart.features.chain_data import ChainData, days
from daypart.features.quality import data_health
from daypart.forecasting.lifecycle.gate import Verdict, gate
from daypart.forecasting.lifecycle.policy import Policy
from daypart.forecasting.lifecycle.retrain import LEADS_DAYS, MAX_WINDOW_WEEKS, Decision, RetrainEvidence, decide
from daypart.forecasting.lifecycle.simulated_nights import SimulatedNights
from daypart.forecasting.lifecycle.training_cost import MeteredTrainer
from daypart.forecasting.metrics.expected_accuracy import ExpectedAccuracy
from daypart.forecasting.metrics.expressions import BASIS_POINTS
from daypart.forecasting.metrics.persistent_error import store_weeks
from daypart.forecasting.models.model import Model
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.training_data import TrainingData
from daypart.forecasting.progress import Progress, part, silent, track

ERROR_LEVELS = ("hour", "day")
RUN_KEY = ["target", "policy"]
EVIDENCE_AGE = timedelta(days=7 * MAX_WINDOW_WEEKS + LEADS_DAYS)
"""What was published longer ago is no evidence any more."""
DEMAND_FAULT_DAYS = 7
"""Days in which faults of demand are looked for."""
FIRST_TRAINING_SHARE = 0.1
"""Share of a replay's progress that the first training makes up."""
NO_WEEKS = pl.DataFrame(schema={"store_id": pl.String(), "week": pl.Int64()})
EVENT_COLUMNS = {"retrained": "retrain", "promoted": "promotion"}
NIGHT_SCHEMA = pl.Schema({
    "night": pl.Date(), "champion": pl.Date(), "retrained": pl.Boolean(), "promoted": pl.Boolean(),
    "reason": pl.String(), "verdict": pl.String(), "cpu_seconds": pl.Float64(),
})  # fmt: skip


@dataclass(frozen=True)
class ReplayPlan:
    """Policies by name, and the nights that they are replayed on: from `start` to `end`, so many days apart.

    Demand through `end` is scored.
    """

    policies: Mapping[str, Policy]
    start: date
    end: date
    every_days: int = 1

    @property
    def nights(self) -> list[date]:
        """The nights, in their order."""
        return days(self.start, self.end, self.every_days)


@dataclass(frozen=True)
class ReplayResult:
    """The nights and errors of targets under some policies.

    `nights` has one row per target, policy and night: target, policy, night, champion (the date that it was trained
    as of), retrained, promoted (the challenger of that night, which serves from the next), reason (of the decision),
    verdict (of the gate, null without one) and cpu_seconds (of trainings, gates and decisions; forecasting costs
    every policy the same and is left out). `errors` has one row per target, policy, night and date:
    `simulated_nights.NightScores`.
    """

    nights: pl.DataFrame
    errors: pl.DataFrame

    def summary(self) -> pl.DataFrame:
        """Return one row per target and policy, in their order.

        Columns: accuracy, gain and incumbent by the hour and the day in bps, null where nothing was sold; retrains,
        promotions, cpu_seconds, nights.
        """
        figures = self.errors.group_by(RUN_KEY, maintain_order=True).agg(*_accuracies())
        counts = [pl.col(name).sum().cast(pl.Int64).alias(f"{event}s") for name, event in EVENT_COLUMNS.items()]
        happened = self.nights.group_by(RUN_KEY, maintain_order=True).agg(
            *counts, pl.col("cpu_seconds").sum(), nights=pl.len().cast(pl.Int64)
        )
        return figures.join(happened, on=RUN_KEY, how="left", maintain_order="left", validate="1:1")

    def weekly(self) -> pl.DataFrame:
        """Return the same accuracies by week: one row per target, policy and Monday of the days that were forecast.

        `actual` is what was sold, once for each forecast of it.
        """
        dates = self.errors["date"].dt.truncate("1w")
        weeks = pl.DataFrame({"week": days(dates.min(), dates.max(), 7)})  # type: ignore[arg-type]
        by_week = self.errors.group_by(*RUN_KEY, pl.col("date").dt.truncate("1w").alias("week"))
        weekly_figures = by_week.agg(*_accuracies(), pl.col("actual").sum())
        all_weeks = self.errors.select(RUN_KEY).unique(maintain_order=True).join(weeks, how="cross")
        return all_weeks.join(weekly_figures, on=[*RUN_KEY, "week"], how="left", maintain_order="left", validate="1:1")


def _accuracies() -> list[pl.Expr]:
    volume = pl.when(pl.col("actual").sum() > 0.0).then(pl.col("actual").sum())
    accuracy = {
        (name, level): BASIS_POINTS * (1.0 - pl.col(f"{name}_{level}").sum() / volume)
        for name in ("forecast", "incumbent")
        for level in ERROR_LEVELS
    }
    return [
        *(accuracy["forecast", level].alias(f"accuracy_{level}_bps") for level in ERROR_LEVELS),
        *(
            (accuracy["forecast", level] - accuracy["incumbent", level]).alias(f"gain_{level}_bps")
            for level in ERROR_LEVELS
        ),
        *(accuracy["incumbent", level].alias(f"incumbent_{level}_bps") for level in ERROR_LEVELS),
    ]


@dataclass
class _PolicyRun:
    """The state of one policy's run; `rows` is what its champion published, by the night."""

    policy: Policy
    champion: Model
    trained: list[date]
    rows: dict[date, pl.DataFrame] = field(default_factory=dict)
    nights: list[dict[str, object]] = field(default_factory=list)
    errors: list[pl.DataFrame] = field(default_factory=list)


def replay(
    records: ChainData,
    target: str,
    recipe: Recipe,
    plan: ReplayPlan,
    progress: Progress = silent,
) -> ReplayResult:
    """Replay the nights of a plan under each of its policies.

    All begin with the model as of the first night. On each night the champion forecasts, and the policy decides on what
    was known by then of earlier forecasts: demand strictly before the night. A challenger is trained as of the night
    and judged by the gate; if it wins it serves from the next night on. Equal records give equal results, but for
    processor seconds, which are measured. A chain of more stores than the recipe's evidence is replayed on those.
    Raises NotKnownError where history before the first night is too little to train.
    """
    start = plan.start
    trainer = MeteredTrainer(TrainingData(records.until(plan.end), target, plan.end), recipe)
    train_first = partial(trainer.train, start, progress=part(progress, 0.0, FIRST_TRAINING_SHARE))
    first, seconds = trainer.run(start, train_first)
    runs = {name: _PolicyRun(policy, first, [start]) for name, policy in plan.policies.items()}
    simulated = SimulatedNights(trainer, plan.nights)
    nights_progress = part(progress, FIRST_TRAINING_SHARE, 1.0)
    for night in track(nights_progress, plan.nights, lambda night: f"{target}, night of {night}"):
        for run in runs.values():
            _simulate(run, night, trainer, simulated, seconds if night == start else 0.0)
    return ReplayResult(
        pl.concat(
            _with_names(target, name, pl.DataFrame(run.nights, schema=NIGHT_SCHEMA)) for name, run in runs.items()
        ),
        pl.concat(_with_names(target, name, pl.concat(run.errors)) for name, run in runs.items()),
    )


def _with_names(target: str, policy: str, rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(pl.lit(target).alias("target"), pl.lit(policy).alias("policy"), pl.all())


def _simulate(run: _PolicyRun, night: date, trainer: MeteredTrainer, nights: SimulatedNights, seconds: float) -> None:
    """Simulate one night under one policy; `seconds` were spent before it."""
    champion, verdict = run.champion, None
    scores = nights.scores(champion, night)
    began = time.process_time()
    decision = _decision(run, night, nights)
    seconds += time.process_time() - began
    run.rows = {day: rows for day, rows in run.rows.items() if day > night - EVIDENCE_AGE} | {night: scores.rows}
    if decision.retrain:
        (challenger, verdict), took = trainer.run(night, partial(_challenge, trainer, champion, night, run.policy))
        seconds += took
        run.trained.append(night)
        if verdict.promote:
            run.champion, run.rows = challenger, {}
    run.errors.append(scores.errors.select(pl.lit(night).alias("night"), pl.all()))
    run.nights.append({
        "night": night, "champion": champion.as_of, "retrained": decision.retrain,
        "promoted": verdict is not None and verdict.promote, "reason": decision.reason,
        "verdict": None if verdict is None else verdict.reason, "cpu_seconds": seconds,
    })  # fmt: skip


def _challenge(trainer: MeteredTrainer, champion: Model, night: date, policy: Policy) -> tuple[Model, Verdict]:
    challenger = trainer.train(night)
    return challenger, gate(challenger, champion, trainer, policy)


def _decision(run: _PolicyRun, night: date, nights: SimulatedNights) -> Decision:
    """Return the policy's decision at the start of the night's day, on what its champion published before."""
    weeks, faulty = NO_WEEKS, set[str]()
    if run.policy.retrain == "triggered" and run.rows:
        rows = pl.concat(run.rows.values())
        faulty = data_health.stores_at_fault(
            data_health.demand_faults(_days(rows, nights.closures, night), night), night
        )
        sound = ~pl.col("store_id").is_in(pl.Series(sorted(faulty), dtype=pl.String).implode())
        weeks = store_weeks(rows.lazy().filter(sound), night)
    expected = ExpectedAccuracy.from_figures(run.champion.trained_on)
    evidence = RetrainEvidence(weeks, stores=nights.stores, faulty_stores=len(faulty))
    return decide(evidence, expected, run.policy, night, run.trained)


def _days(rows: pl.DataFrame, closures: pl.DataFrame, night: date) -> pl.DataFrame:
    """Return the days of the last week that were forecast and that no closure explains, for `demand_faults`."""
    day = pl.col("business_date")
    near = rows.lazy().filter(day < night, day >= night - timedelta(days=DEMAND_FAULT_DAYS))
    return (
        data_health.store_days(near)
        .collect()
        .join(closures.select("store_id", "date").unique(), on=["store_id", "date"], how="anti")
        .sort("store_id", "date")
    )
