"""Portfolio: each unit with its owner, champion, accuracy, last retraining, cost and health."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl

from flows import units
from flows.adapters.lake import Lake
from flows.adapters.portfolio import Portfolio, Unit
from flows.adapters.registry import Registry
from flows.reading import Chain, with_demand
from forecasting.accuracy import deviation

RECENT_DAYS = 28
"""Published origins of so many days before the latest scored one count."""
FIGURES = ("accuracy_bps", "gain_bps", "excess_bps", "bias_bps")


@dataclass(frozen=True)
class Standing:
    """One unit as it stands.

    `champion` is the version that serves it, of its whole chain's model where `health` says so. Figures are those of
    `accuracy.score` by the hour, of what was published lately; `excess_bps` is the error above the floor, null for
    money. `as_of` and `cost_dollars` are of its last training.
    """

    unit: str
    tier: str
    owner: str
    stores: int
    champion: str | None
    accuracy_bps: float | None
    gain_bps: float | None
    excess_bps: float | None
    bias_bps: float | None
    as_of: date | None
    cost_dollars: float | None
    health: str


@dataclass(frozen=True)
class Listed:
    """All units, and what to know of the portfolio's file."""

    units: list[Standing]
    notices: list[str]


def portfolio(lake: Lake, registry: Registry, notes: Mapping[str, str] | None = None) -> Listed:
    """Every unit of the home's portfolio as it stands, by target and segment.

    `notes` say of units, by name, what ails them or is awaited, and win over what is seen here.
    """
    chain, declared = Chain.of(lake), Portfolio.read(registry.settings.portfolio)
    days = {target: _next_day(chain, target) for target in with_demand(chain, None)}
    members = units.members(chain, declared, days)
    aliases = registry.aliases()
    trained = registry.describe_all({
        unit.name: aliases[unit.name]["challenger"] for unit in members if "challenger" in aliases.get(unit.name, {})
    })  # fmt: skip
    scores = _figures(lake, members)
    found = []
    for unit, ids in members.items():
        about = trained.get(unit.name, {})
        last = _trained_on(about)
        served = next((name for name in (unit.name, unit.target) if "champion" in aliases.get(name, {})), None)
        champion = f"{served}-v{aliases[served]['champion']}" if served else None
        state = health(unit, served, last, days[unit.target], declared.tier(unit.tier).retrain_days)
        figures = scores.get(unit.name, dict.fromkeys(FIGURES))
        cost = about.get("metrics", {}).get("cost_dollars")
        told = (notes or {}).get(unit.name, state)
        found.append(
            Standing(unit.name, unit.tier, unit.owner, len(ids), champion, **figures, as_of=last, cost_dollars=cost,
                     health=told)
        )  # fmt: skip
    return Listed(found, declared.idle(list(members)))


def health(unit: Unit, served: str | None, trained_on: date | None, today: date, cadence_days: int) -> str:
    """A unit's health in a few words, from whose champion serves it and when it was trained last."""
    if served is None:
        return "no champion"
    if served != unit.name:
        return f"no champion: served by {served}"
    if trained_on is not None and (today - trained_on).days >= cadence_days:
        return f"retrain due since {trained_on + timedelta(days=cadence_days)}"
    return "ok"


def _next_day(chain: Chain, target: str) -> date:
    last = chain.last_demand_on(target)
    assert last is not None
    return last + timedelta(days=1)


def _trained_on(about: Mapping[str, Any]) -> date | None:
    told = about.get("params", {}).get("as_of")
    return date.fromisoformat(told) if told else None


def _figures(lake: Lake, members: units.Members) -> dict[str, dict[str, float | None]]:
    """By unit, FIGURES of its stores' published hours of late that have an actual."""
    scores = lake.scan_or_empty("scores")
    last = scores.select(pl.col("origin_date").max()).collect().item()
    if not isinstance(last, date):
        return {}
    placed = [(unit.target, name, unit.name) for unit, ids in members.items() for name in ids]
    whose = pl.DataFrame(placed, schema=["target", "store_id", "unit"], orient="row")
    late = scores.filter(pl.col("origin_date") > last - timedelta(days=RECENT_DAYS), pl.col("actual").is_not_null())
    sums = late.group_by("target", "store_id").agg(_sums()).collect(engine="streaming")
    by_unit = sums.join(whose, on=["target", "store_id"]).sort("store_id").group_by("unit", maintain_order=True)
    told = by_unit.agg(pl.col("actual", "error", "by_hand", "floor", "bias").sum(), floored=pl.col("floored").all())
    return {row.pop("unit"): row for row in told.select("unit", *_bps()).iter_rows(named=True)}


def _sums() -> list[pl.Expr]:
    actual, orders = pl.col("actual"), pl.col("target") == "orders"
    floor = pl.col("forecast").map_batches(
        lambda means: pl.Series(deviation(means.to_numpy())), return_dtype=pl.Float64, is_elementwise=True
    )
    return [
        actual.sum(),
        (pl.col("forecast") - actual).abs().sum().alias("error"),
        (pl.col("incumbent").fill_null(0.0) - actual).abs().sum().alias("by_hand"),
        floor.filter(orders).sum().alias("floor"),
        (pl.col("forecast") - actual).sum().alias("bias"),
        orders.all().alias("floored"),
    ]


def _bps() -> list[pl.Expr]:
    def bps(sums: pl.Expr) -> pl.Expr:
        return pl.when(pl.col("actual") > 0.0).then(10_000.0 * sums / pl.col("actual"))

    error = pl.col("error")
    return [
        (10_000.0 - bps(error)).alias("accuracy_bps"),
        bps(pl.col("by_hand") - error).alias("gain_bps"),
        pl.when("floored").then(bps(error - pl.col("floor"))).alias("excess_bps"),
        bps(pl.col("bias")).alias("bias_bps"),
    ]
