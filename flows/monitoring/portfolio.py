"""Portfolio: each unit with its owner, champion, accuracy, last retraining, cost and health."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl

from daypart.flows.config.portfolio import Unit
from daypart.flows.governance import units
from daypart.flows.governance.champions import serving
from daypart.flows.governance.model_versions import ModelStore
from daypart.flows.home import Home
from daypart.flows.jobs.forecast import next_day
from daypart.flows.jobs.snapshot import Chain, with_demand
from daypart.flows.lake.lake import Lake
from daypart.flows.monitoring.monitor import counted
from daypart.forecasting.metrics import score_tallies

RECENT_DAYS = 28
"""Published origins of so many days before the latest scored one count."""
FIGURES = ("accuracy_bps", "gain_bps", "excess_bps", "bias_bps")


@dataclass(frozen=True)
class UnitStanding:
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
class PortfolioListing:
    """All units, and what to know of the portfolio's file."""

    units: list[UnitStanding]
    notices: list[str]


def portfolio(home: Home, notes: Mapping[str, str] | None = None) -> PortfolioListing:
    """Every unit of the home's portfolio as it stands, by target and segment.

    `notes` say of units, by name, what ails them or is awaited, and win over what is seen here.
    """
    chain, declared = Chain.newest(home.lake), home.portfolio
    days = {target: next_day(chain, target) for target in with_demand(chain, None)}
    members = units.members(chain, declared, days)
    aliases, store = home.registry.aliases(), ModelStore(home)
    champions = store.champions()
    versions = {unit: version for unit, (version, _) in store.serving_versions().items() if version is not None}
    trained = home.registry.describe_all({
        unit.name: aliases[unit.name]["challenger"] for unit in members if "challenger" in aliases.get(unit.name, {})
    })  # fmt: skip
    scores = {row["unit"]: row for row in _figures(home.lake, members).iter_rows(named=True)}
    decided = _decided(home.lake)
    standings = []
    for unit, ids in members.items():
        about = trained.get(unit.name, {})
        last = _trained_on(about)
        served = serving(champions, unit)
        if served is not None and served not in versions:
            served = unit.target if unit.target in versions else None
        due = last and last + timedelta(days=declared.tier(unit.tier).retrain_days)
        overdue = due if due is not None and days[unit.target] >= due else None
        state = health(unit, served, last, overdue, decided.get(unit.name))
        version = f"{served}-v{versions[served]}" if served else None
        figures: dict[str, Any] = {name: scores.get(unit.name, {}).get(name) for name in FIGURES}
        cost = about.get("metrics", {}).get("cost_dollars")
        note = (notes or {}).get(unit.name, state)
        identity = unit.name, unit.tier, unit.owner, len(ids), version
        standings.append(UnitStanding(*identity, **figures, as_of=last, cost_dollars=cost, health=note))
    return PortfolioListing(standings, declared.idle(list(members)))


def health(
    unit: Unit, served: str | None, trained_on: date | None, due_since: date | None, decided: Mapping[str, Any] | None
) -> str:
    """A unit's health in a few words: whose champion serves it, its latest decision, when it is due by its tier."""
    if served is None:
        return "no champion"
    if decided and decided["cause"] == "data fault":
        return f"data fault on {decided['decided_on']}"
    if served != unit.name:
        return f"no champion: served by {served}"
    if decided and decided["retrain"] and (trained_on is None or trained_on < decided["decided_on"]):
        return f"retrain decided on {decided['decided_on']}: {decided['cause']}"
    if due_since is not None:
        return f"retrain due since {due_since}"
    return "ok"


def _trained_on(about: Mapping[str, Any]) -> date | None:
    as_of = about.get("params", {}).get("as_of")
    return date.fromisoformat(as_of) if as_of else None


def _figures(lake: Lake, members: units.Members) -> pl.DataFrame:
    """Return one row per unit: the figures of `score_tallies.score` of its stores' latest scored hours."""
    tallies = lake.scan_or_empty("tallies")
    last = tallies.select(pl.col("origin_date").max()).collect().item()
    since = last - timedelta(days=RECENT_DAYS) if isinstance(last, date) else date.min
    placed = [(unit.target, name, unit.name) for unit, ids in members.items() for name in ids]
    whose = pl.LazyFrame(placed, schema=["target", "store_id", "unit"], orient="row")
    rows = tallies.filter(pl.col("origin_date") > since).join(whose, on=["target", "store_id"])
    return score_tallies.score(counted(lake, rows), "hour", ["unit"])


def _decided(lake: Lake) -> dict[str, dict[str, Any]]:
    """By unit, the row of its latest decision."""
    rows = lake.scan_or_empty("decisions").select("unit", "decided_on", "retrain", "cause").sort("decided_on")
    return {row["unit"]: row for row in rows.collect().iter_rows(named=True)}
