"""Backtest: rolling origins over what the lake holds, scored beside incumbent and floor, with a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl

from daypart.features.chain_data import ChainData
from daypart.features.errors import InputError
from daypart.features.money import Money, with_unit
from daypart.flows.config.portfolio import Unit
from daypart.flows.files import exports
from daypart.flows.files.atomic_files import check_out
from daypart.flows.governance import units
from daypart.flows.home import Home
from daypart.flows.jobs.forecast import LATE_DAYS, write_out
from daypart.flows.jobs.hindsight import OBSERVED_WEATHER, undated_notice
from daypart.flows.jobs.snapshot import read_records, with_demand
from daypart.flows.report import Report, write_report
from daypart.forecasting.metrics import accuracy
from daypart.forecasting.metrics.actuals import count_unscored
from daypart.forecasting.models.model import Model
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import TrainingData, chain_sums
from daypart.forecasting.progress import Progress, part, silent, split
from daypart.forecasting.serving import backtest as rolling
from daypart.forecasting.serving.levels import Level
from daypart.forecasting.serving.publication import FORECAST_ORDER


@dataclass(frozen=True)
class BacktestResult:
    """What a backtest came to.

    `rows` are as the contract has them; `scores` has one row per target and level. `left_out` says by target how many
    store-days are left out of the scores (`actuals.count_unscored`).
    """

    rows: pl.DataFrame
    scores: pl.DataFrame
    report: Path
    notices: list[str]
    left_out: dict[str, int]


@dataclass(frozen=True)
class Span:
    """Which origins: from `start`, every so many days, while the whole horizon ends by `end`."""

    start: date
    end: date
    every_days: int = 7
    retrain_every_days: int = 28


@dataclass(frozen=True)
class BacktestRequest:
    """What to backtest: the span, the file of the report, targets (default: all), and the file of the rows, if any.

    `oracle` (simulated chains: store_id, target, hour_utc, oracle) joins the scores where it is given.
    """

    span: Span
    report: Path
    targets: tuple[str, ...] | None = None
    out: Path | None = None
    oracle: pl.DataFrame | None = None


def backtest(
    home: Home,
    recipe: Recipe,
    request: BacktestRequest,
    now: datetime,
    progress: Progress = silent,
) -> BacktestResult:
    """Run a backtest, and write its rows and its report; nothing is published.

    Models are made as in training: one for each unit of the portfolio as it was at the start, by the recipe, with what
    the home's `recipes.toml` has for its tier and target over it. The report says that it was made at `now`.
    """
    check_out(request.report, (".html",))
    if request.out is not None:
        check_out(request.out, exports.EXPORT_ENDINGS)
    span, recipes = request.span, home.recipes
    progress("read demand", 0.0)
    records, reads = read_records(home.lake)
    origins = rolling.rolling_origins(span.start, span.end, span.every_days, recipe.horizon_days)
    chosen = with_demand(records, request.targets)
    members = units.members(records, home.portfolio, dict.fromkeys(chosen, span.start))
    unit_recipes = {unit: recipes.recipe(unit.target, recipe, unit.tier) for unit in members}
    for target in chosen:
        _check(records, target, span, origins)
    records = records.until(span.end)
    target_rows, importance, bands = [], [], []
    for target, target_progress in split(part(progress, 0.02, 0.95), chosen):
        plans = [_UnitPlan(unit, ids, unit_recipes[unit]) for unit, ids in members.items() if unit.target == target]
        rows, models = _rolling_forecasts(records, plans, origins, span.retrain_every_days, target_progress)
        target_rows.append(rows)
        importance.append(_importance(models))
        bands.append(_coverage(rows, models, records.stores))
    progress("score and write the report", 0.95)
    rows = pl.concat(target_rows).sort(FORECAST_ORDER)
    if request.out is not None:
        write_out(rows, request.out)
    scored = scorable(rows, records.demand, request.oracle)
    scored = with_unit(scored, records.stores, Money.from_demand(records, "sales").units(span.end + timedelta(days=1)))
    hindsight = [OBSERVED_WEATHER if recipe.weather == "observed" else None, undated_notice(home.lake, reads, rows)]
    notices = [notice for notice in hindsight if notice]
    lineage = _lineage(unit_recipes, span, origins, reads)
    title = f"{records.stores.height} store{'s' * (records.stores.height > 1)}, {origins[0]} to {span.end}"
    subtitle = f"Backtest over {len(origins)} origins, {recipe.horizon_days} days ahead"
    names = dict(records.stores.select("store_id", "name").drop_nulls().iter_rows())
    write_report(request.report, Report(title, subtitle, scored, now, pl.concat(importance), lineage, notices, names))
    scores = level_scores(scored).update(pl.concat(bands), on=["target", "level"])
    return BacktestResult(rows, scores, request.report, notices, count_unscored(rows))


@dataclass(frozen=True)
class _UnitPlan:
    """One unit to backtest: its stores and its recipe."""

    unit: Unit
    store_ids: Sequence[str]
    recipe: Recipe


def _rolling_forecasts(
    records: ChainData, plans: Sequence[_UnitPlan], origins: list[date], retrain_every_days: int,
    progress: Progress,
) -> tuple[pl.DataFrame, dict[str, Model]]:  # fmt: skip
    """Return the rows of one target's units, sorted, and their models by version, each unit's latest one last."""
    unit_rows, models = [], dict[str, Model]()
    sums = chain_sums(records, plans[0].unit.target, origins[-1])
    for plan, unit_progress in split(progress, plans):
        unit = plan.unit
        label = rolling.VersionLabel("" if unit.segment is None else f"{unit.name}-", unit.tier)
        data = TrainingData(records, unit.target, origins[-1], plan.store_ids, sums)
        unit_progress(f"derive the history of {unit.name}", 0.0)
        trainer = ModelTrainer(data, plan.recipe)
        rows, unit_models = rolling.backtest(trainer, origins, retrain_every_days, part(unit_progress, 0.1, 1.0), label)
        unit_rows.append(rows)
        models |= unit_models
    return pl.concat(unit_rows).sort(FORECAST_ORDER), models


def _importance(models: Mapping[str, Model]) -> pl.DataFrame:
    """That of the latest models of one target; the mean over its units."""
    last = max(model.as_of for model in models.values())
    gains = [model.importance() for model in models.values() if model.as_of == last]
    if len(gains) == 1:
        return gains[0]
    by = ["target", "member", "feature"]
    return pl.concat(gains).group_by(by, maintain_order=True).agg(pl.col("gain_share").sum() / len(gains))


def _lineage(
    unit_recipes: Mapping[Unit, Recipe], span: Span, origins: list[date], reads: Mapping[str, int]
) -> dict[str, object]:
    """Where the figures come from, as the report tells it; `unit_recipes` has each unit's recipe."""
    recipes = {f"recipe of {_of(unit)}": recipe.model_dump(mode="json") for unit, recipe in unit_recipes.items()}
    return {
        "origins": f"{origins[0]} to {origins[-1]}, every {span.every_days} days",
        "retrained": f"every {span.retrain_every_days} days",
        "weather": next(iter(unit_recipes.values())).weather,
        "tables read (Delta version)": reads,
        **recipes,
    }


def _of(unit: Unit) -> str:
    return unit.target if unit.segment is None else f"{unit.target}, tier {unit.tier}"


def _check(records: ChainData, target: str, span: Span, origins: list[date]) -> None:
    first, last = records.first_demand_on(target), records.last_demand_on(target)
    if not origins:
        raise InputError(f"no origin from {span.start} has its whole horizon by {span.end}: choose a longer span")
    if first is None or (span.start - first).days < 28:
        raise InputError(f"--start {span.start} leaves under 28 days of history: demand starts on {first}; start later")
    if last is None or span.end > last + timedelta(days=LATE_DAYS):
        raise InputError(f"--end {span.end} lies beyond the data: {target} ends on {last}; choose an earlier end")


def _coverage(rows: pl.DataFrame, models: Mapping[str, Model], stores: pl.DataFrame) -> pl.DataFrame:
    """How often the bands of one target's dayparts and days held what came: target, level, coverage."""
    levels: tuple[Level, ...] = ("daypart", "day")
    cells = {level: rolling.at_level(rows, models, stores, level) for level in levels}
    scored_cells = {"daypart": cells["daypart"].drop_nulls("daypart"), "day": cells["day"]}
    return pl.concat(
        accuracy.band_score(level_cells, by=["target"]).select("target", pl.lit(level).alias("level"), "coverage")
        for level, level_cells in scored_cells.items()
    )


def scorable(rows: pl.DataFrame, demand: pl.DataFrame, oracle: pl.DataFrame | None) -> pl.DataFrame:
    """Backtest rows with each store's mean ticket (for the floor of sales) and, where known, the oracle."""
    both = demand.filter(pl.col("orders") > 0, pl.col("sales") > 0)
    tickets = both.group_by("store_id").agg(ticket=pl.col("sales").sum() / pl.col("orders").sum())
    value = pl.when(pl.col("target") == "orders").then(1.0).otherwise(pl.col("ticket"))
    scored = rows.join(tickets, on="store_id", how="left", maintain_order="left").with_columns(unit_value=value)
    if oracle is not None:
        keys = ["store_id", "target", "hour_utc"]
        scored = scored.join(oracle, on=keys, how="left", maintain_order="left").with_columns(
            pl.col("oracle").fill_null(0.0)
        )
    return scored.drop("ticket")


def level_scores(scored: pl.DataFrame) -> pl.DataFrame:
    """One row per target and level (hour, daypart, day) with the figures of `accuracy.score`."""
    frames = [
        accuracy.score(scored, level, by=["target"]).select(
            "target", pl.lit(level).alias("level"), pl.exclude("target")
        )
        for level in ("hour", "daypart", "day")
    ]
    return pl.concat(frames).sort("target", maintain_order=True)
