"""Monitor: scores what was published, looks at the data first, and decides for every unit whether to retrain."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, time, timedelta
from typing import Any

import polars as pl

from daypart.features.errors import NotKnownError
from daypart.features.money import UNIT, WINDOW_DAYS, Money, has_several, in_units, units_of, with_unit
from daypart.features.quality.data_health import Fault, stores_at_fault
from daypart.features.quality.input_drift import Drift, moved
from daypart.flows.audit.audit_log import Audit
from daypart.flows.config.governance import AUTOMATION
from daypart.flows.config.policies import Policies
from daypart.flows.governance.model_versions import ModelStore, ServingModel
from daypart.flows.governance.settings_audit import mark
from daypart.flows.jobs import lineage
from daypart.flows.jobs.snapshot import Chain
from daypart.flows.lake.lake import Lake
from daypart.flows.monitoring import data_health, scoring
from daypart.flows.monitoring.input_drift import drifted
from daypart.flows.registry.registry import Registry
from daypart.forecasting.lifecycle.retrain import (
    LASTING_WEEKS,
    LEADS_DAYS,
    MAX_WINDOW_WEEKS,
    MIN_STORE_WEEKS,
    Decision,
    RetrainEvidence,
    decide,
)
from daypart.forecasting.metrics import persistent_error, score_tallies
from daypart.forecasting.metrics.accuracy import Level
from daypart.forecasting.metrics.expected_accuracy import ExpectedAccuracy

RECENT_ORIGINS_DAYS = 28
MONEY = ("actual", "forecast", "incumbent", "error", "incumbent_error", "unscored")
"""Sums of the tallies in the target's unit; the floor is of orders alone."""
LEVELS: tuple[Level, ...] = ("hour", "daypart", "day")
USUAL = Policies()
AUDITED = ("retrain", "cause", "reason", "figures", "model_version")
"""What of a decision is audited, where any of it is another than before."""


@dataclass(frozen=True)
class Watch:
    """What monitoring found: accuracy by target and level of the latest RECENT_ORIGINS_DAYS of origins, a decision by
    unit, by target data faults and how its inputs are beside the season a year ago, `news`, the units whose retrain
    was decided just now, and by target how many store-days of those origins are left out of the scores."""

    scores: pl.DataFrame
    decisions: dict[str, Decision]
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    inputs: dict[str, list[Drift]] = field(default_factory=dict)
    news: tuple[str, ...] = ()
    left_out: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Serving:
    """A unit that published: its target, tier and stores, and the version that serves now."""

    unit: str
    target: str
    tier: str
    ids: frozenset[str]
    version: int | None


def monitor(lake: Lake, registry: Registry, policies: Policies = USUAL, now: datetime | None = None) -> Watch:
    """Scores what has come of published forecasts, and decides for each unit as of the day after the last demand.

    Decisions are kept in the table `decisions`, whichever way they fall: one row per unit and day. A retrain that was
    decided stands for its day; monitoring again changes nothing unless actuals or forecasts did. Decisions that are
    new or another are audited as of `now` (default: the midnight of the day decided on). Nights that were missed are
    made up for: what was published then is scored, and the runs that publications lack are recorded. Raises
    NotKnownError where nothing was published.
    """
    if not lake.exists("forecasts"):
        raise NotKnownError("no forecast was ever published: run `daypart forecast` first")
    lineage.repair(lake, registry)
    chain = Chain.of(lake)
    scoring.score(lake, chain)
    units = _serving(lake, registry)
    last = chain.last_day()
    if last is None or not lake.exists("scores"):
        nothing = Decision(False, "no retrain: no published store-hour has an actual yet")
        return Watch(pl.DataFrame(), {unit.unit: nothing for unit in units})
    on = last + timedelta(days=1)
    targets = sorted({unit.target for unit in units})
    faults = data_health.faults(lake, on, targets)
    inputs = {target: drifted(lake, on, target) for target in targets}
    decided = _decided(lake, registry, policies, units, on, faults)
    decided = {unit.unit: _supported(decided[unit.unit], inputs[unit.target]) for unit in units}
    stood = _standing(lake, on)
    fresh = {unit: decision for unit, decision in decided.items() if unit not in stood}
    rows = _rows(units, fresh, policies, on, faults, inputs)
    if rows:
        # Audited before they are kept: a process killed in between may audit them twice, but never not at all.
        _audit(lake, registry, rows, on, now or datetime.combine(on, time()))
        lake.upsert("decisions", pl.DataFrame(rows))
    news = tuple(unit for unit, decision in fresh.items() if decision.retrain)
    left_out = score_tallies.count_unscored(_recent(lake, RECENT_ORIGINS_DAYS))
    return Watch(accuracy(lake), {**decided, **stood}, faults, inputs, news, left_out)


def accuracy(lake: Lake, by: Sequence[str] = (), days: int = RECENT_ORIGINS_DAYS) -> pl.DataFrame:
    """One row per target, group of `by` and level: the figures of `tallies.score`, of the latest `days` of origins.

    Money of several currencies is in units of the chain's main one (`daypart.features.money`).
    Groups are columns of the tallies (store_id, tier, daypart, lead_days, model_version) or of the stores (region,
    format, country). A daypart's own figures are those at hour and daypart.
    """
    rows = counted(lake, _recent(lake, days))
    store_columns = [name for name in by if name not in rows.collect_schema()]
    if store_columns:
        rows = rows.join(lake.scan("stores").select("store_id", *store_columns), on="store_id", how="left")
    levels = LEVELS[:2] if "daypart" in by else LEVELS
    scores = [score_tallies.score(rows, level, ["target", *by]).with_columns(level=pl.lit(level)) for level in levels]
    return pl.concat(scores).sort("target", *by, nulls_last=True, maintain_order=True)


def counted(lake: Lake, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Tallies with money in units as known of late, where the chain sells in several currencies."""
    chain = Chain.of(lake)
    if not has_several(chain.stores) or (last := chain.last_day()) is None:
        return rows
    units = Money.of(chain, "sales", last - timedelta(days=2 * WINDOW_DAYS)).units(last + timedelta(days=1))
    return in_units(rows, chain.stores, units, MONEY)


def _recent(lake: Lake, days: int) -> pl.LazyFrame:
    """Tallies of the latest `days` of origins."""
    last = max(lake.written("tallies", "origin_date"))
    return lake.scan("tallies").filter(pl.col("origin_date") > last - timedelta(days=days))


def _serving(lake: Lake, registry: Registry) -> list[Serving]:
    """Units of what was published lately, sorted by name; those without a champion too."""
    last = max(lake.written("forecasts", "origin_date"))
    unit = pl.col("model_version").str.replace(r"-v\d+$", "")
    rows = lake.scan("forecasts").filter(pl.col("origin_date") == last)
    latest = rows.group_by(unit.alias("unit"), "target", "tier")
    units = latest.agg(pl.col("store_id").unique()).collect().sort("unit")
    store = ModelStore(lake, registry)
    published, champions = set(units["unit"]), store.champions()
    versions = {unit: version for unit, version in champions.items() if unit in published}
    serving = {unit: model.version for unit, model in store.serving(versions) if isinstance(model, ServingModel)}
    return [
        Serving(unit, target, tier, frozenset(ids), serving.get(unit, versions.get(unit)))
        for unit, target, tier, ids in units.iter_rows()
    ]


def _decided(
    lake: Lake, registry: Registry, policies: Policies, units: Sequence[Serving], on: date,
    faults: Mapping[str, Sequence[Fault]],
) -> dict[str, Decision]:  # fmt: skip
    policy = {unit.unit: policies.of(unit.tier) for unit in units}
    at_fault = {target: stores_at_fault(target_faults, on) for target, target_faults in faults.items()}
    versions = {unit.unit: unit.version for unit in units if unit.version is not None}
    figures = {unit: about["metrics"] for unit, about in registry.describe_all(versions).items()}
    priced = _priced(lake, units, figures)
    weeks = _weeks(lake, on, units, max(entry.window_days for entry in policy.values()), at_fault, priced)
    lasting = persistent_error.week_errors(
        _rows_of(lake, on, LASTING_WEEKS * persistent_error.WEEK_DAYS, at_fault, priced), on
    )
    promised = {unit: ExpectedAccuracy.from_figures(metrics) for unit, metrics in figures.items()}
    tags = registry.tags_all(versions)
    decisions = {}
    for unit in units:
        rows, longer = (frame.filter(pl.col("unit") == _published(unit)) for frame in (weeks, lasting))
        column_lost = any(fault.kind == "lost column" for fault in faults[unit.target])
        trained = [date.fromisoformat(entry["as_of"]) for entry in tags.get(unit.unit, []) if "as_of" in entry]
        faulty = len(at_fault[unit.target] & unit.ids)
        evidence = RetrainEvidence(rows, longer, len(unit.ids), faulty)
        decision = decide(evidence, promised.get(unit.unit), policy[unit.unit], on, trained)
        decisions[unit.unit] = _lost(faults[unit.target]) if column_lost and decision.retrain else decision
    return decisions


def _supported(decision: Decision, inputs: Sequence[Drift]) -> Decision:
    """A decision to retrain with what its inputs say to it; they decide nothing by themselves."""
    if not decision.retrain or not inputs:
        return decision
    changes = "; ".join(drift.told for drift in moved(inputs)) or "none has moved since the season a year ago"
    return replace(decision, reason=f"{decision.reason}; inputs: {changes}")


def _lost(faults: Sequence[Fault]) -> Decision:
    reason = next(fault.told for fault in faults if fault.kind == "lost column")
    return Decision(False, f"no retrain: data fault: {reason}", "data fault")


def _weeks(
    lake: Lake, on: date, units: Sequence[Serving], window_days: int, at_fault: Mapping[str, set[str]],
    priced: pl.DataFrame,
) -> pl.DataFrame:  # fmt: skip
    """Store-weeks of what units' versions published; of units too small for the window, of all weeks that may count."""
    small = [_published(unit) for unit in units if len(unit.ids) < MIN_STORE_WEEKS]
    large = [_published(unit) for unit in units if len(unit.ids) >= MIN_STORE_WEEKS]
    last = max(lake.written("scores", "origin_date"))
    # After nights that were missed the evidence is older.
    missed = max((on - last).days - 1, 0)
    spans = (small, MAX_WINDOW_WEEKS * persistent_error.WEEK_DAYS), (large, window_days + missed)
    rows = (
        (_rows_of(lake, on, days, at_fault, priced), pl.Series(names, dtype=pl.String).implode())
        for names, days in spans
    )
    return pl.concat(persistent_error.store_weeks(part.filter(pl.col("unit").is_in(names)), on) for part, names in rows)


def _priced(lake: Lake, units: Sequence[Serving], figures: Mapping[str, Mapping[str, float]]) -> pl.DataFrame:
    """By version and store what counts as one of its money; none of versions that know one currency."""
    stores = lake.scan("stores").select("store_id", "country", "currency").collect()
    frames = [
        with_unit(stores.with_columns(unit=pl.lit(_published(unit))), stores, rates).select("unit", "store_id", UNIT)
        for unit in units
        if (rates := units_of(figures.get(unit.unit, {})))
    ]
    schema = {"unit": pl.String, "store_id": pl.String, UNIT: pl.Float64}
    return pl.concat(frames) if frames else pl.DataFrame(schema=schema)


def _rows_of(
    lake: Lake, on: date, days: int, at_fault: Mapping[str, set[str]], priced: pl.DataFrame
) -> pl.LazyFrame:  # fmt: skip
    """Scored hours of the last days, of stores whose data are sound; `unit` is the published name of the version.

    Money is in the units of the version, where `priced` has any.
    """
    since = on - timedelta(days=days)
    rows = lake.scan("scores").filter(
        pl.col("origin_date") > since - timedelta(days=LEADS_DAYS),
        pl.col("lead_days") < LEADS_DAYS,
        pl.col("business_date") >= since,
        # A day that counts as 0 says that its store stood idle or that its rows are lost, not how good the model is.
        ~pl.col("idle").fill_null(value=False),
    )
    for target, ids in at_fault.items():
        faulty = pl.col("store_id").is_in(pl.Series(sorted(ids), dtype=pl.String).implode())
        rows = rows.filter(~((pl.col("target") == target) & faulty))
    amounts = ("forecast", "incumbent", "actual")
    rows = rows.select("store_id", "origin_date", "hour_local", "business_date", *amounts, unit="model_version")
    if priced.is_empty():
        return rows
    joined = rows.join(priced.lazy(), on=["unit", "store_id"], how="left").with_columns(pl.col(UNIT).fill_null(1.0))
    return joined.with_columns(pl.col(name) / pl.col(UNIT) for name in amounts).drop(UNIT)


def _published(unit: Serving) -> str:
    return f"{unit.unit}-v{unit.version}"


def _standing(lake: Lake, on: date) -> dict[str, Decision]:
    """Retrains that were decided earlier for the same day."""
    if not lake.exists("decisions"):
        return {}
    rows = lake.scan("decisions").filter(pl.col("decided_on") == on, pl.col("retrain")).collect()
    return {
        row["unit"]: Decision(True, row["reason"], row["cause"], json.loads(row["figures"])) for row in rows.to_dicts()
    }


def _rows(
    units: Sequence[Serving], decided: Mapping[str, Decision], policies: Policies, on: date,
    faults: Mapping[str, Sequence[Fault]], inputs: Mapping[str, Sequence[Drift]],
) -> list[dict[str, Any]]:  # fmt: skip
    """The decisions as the table has them."""
    return [
        {
            "unit": unit.unit, "decided_on": on, "model_version": f"{unit.unit}-v{unit.version}",
            "retrain": decided[unit.unit].retrain, "cause": decided[unit.unit].cause,
            "reason": decided[unit.unit].reason, "figures": json.dumps(decided[unit.unit].figures, sort_keys=True),
            "policy": policies.of(unit.tier).model_dump_json(),
            "faults": json.dumps([asdict(fault) for fault in faults[unit.target]], default=str),
            "inputs": json.dumps([asdict(drift) for drift in inputs[unit.target]]),
        }
        for unit in units if unit.unit in decided
    ]  # fmt: skip


def _audit(lake: Lake, registry: Registry, rows: Sequence[dict[str, Any]], on: date, now: datetime) -> None:
    """Records the decisions that the table has not, or has otherwise, in one commit."""
    stored = lake.scan_or_empty("decisions").filter(pl.col("decided_on") == on).collect()
    stored_rows = {row["unit"]: row for row in stored.iter_rows(named=True)}
    marked = {"decided_on": on, **mark(lake, registry)}
    entries = []
    for row in rows:
        decision = {name: row[name] for name in AUDITED}
        if decision != {name: stored_rows.get(row["unit"], {}).get(name) for name in AUDITED}:
            entries.append(("decide", row["unit"], {**decision, "figures": json.loads(row["figures"]), **marked}))
    if entries:
        Audit(lake, registry).extend(now, AUTOMATION, entries)
