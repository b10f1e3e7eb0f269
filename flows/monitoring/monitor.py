"""Monitor: scores what was published, looks at the data first, and decides for every unit whether to retrain."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, time, timedelta
from typing import Any

import polars as pl

from daypart.features.errors import NotKnownError
from daypart.features.money import UNIT_DAYS, Money, has_several_currencies, in_units
from daypart.features.quality.data_health import Fault, stores_at_fault
from daypart.features.quality.input_drift import Drift, significant_drifts
from daypart.flows.audit.audit_log import Entry
from daypart.flows.config.governance import AUTOMATION
from daypart.flows.config.policies import Policies
from daypart.flows.governance.model_versions import ModelStore, ServingModel
from daypart.flows.governance.settings_audit import mark
from daypart.flows.home import Home
from daypart.flows.jobs import lineage
from daypart.flows.jobs.snapshot import Chain
from daypart.flows.lake.lake import Lake
from daypart.flows.monitoring import data_health, scoring
from daypart.flows.monitoring.evidence import Evidence, Serving, version_money
from daypart.flows.monitoring.input_drift import read_drifts
from daypart.flows.monitoring.night_figures import night_figures, recent_tallies
from daypart.forecasting.lifecycle.retrain import (
    LASTING_WEEKS,
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
AUDITED = ("retrain", "cause", "reason", "figures", "model_version")
"""What of a decision is audited, where any of it is another than before."""


@dataclass(frozen=True)
class Watch:
    """What monitoring came to.

    `scores` has the accuracy by target and level of the latest RECENT_ORIGINS_DAYS of origins, `decisions` the
    decision by unit, `faults` the data faults by target, and `inputs` how each target's inputs differ from the same
    season a year ago. `news` names the units whose retrain was decided just now. `left_out` says by target how many
    store-days of those origins are left out of the scores.
    """

    scores: pl.DataFrame
    decisions: dict[str, Decision]
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    inputs: dict[str, list[Drift]] = field(default_factory=dict)
    news: tuple[str, ...] = ()
    left_out: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Findings:
    """What the data look like on the day decided on: by target its faults, and how its inputs moved in a year."""

    on: date
    faults: dict[str, list[Fault]]
    inputs: dict[str, list[Drift]]

    @classmethod
    def read(cls, lake: Lake, on: date, targets: Sequence[str]) -> "_Findings":
        """Return the findings of targets on a day."""
        inputs = {target: read_drifts(lake, on, target) for target in targets}
        return cls(on, data_health.faults(lake, on, targets), inputs)


def monitor(home: Home, now: datetime | None = None) -> Watch:
    """Scores what has come of published forecasts, and decides for each unit as of the day after the last demand.

    Decisions are kept in the table `decisions`, whichever way they fall: one row per unit and day. A retrain that was
    decided stands for its day; monitoring again changes nothing unless actuals or forecasts did. Decisions that are
    new or another are audited as of `now` (default: the midnight of the day decided on). Nights that were missed are
    made up for: what was published then is scored, and the runs that publications lack are recorded. Raises
    NotKnownError where nothing was published.
    """
    if not home.lake.exists("forecasts"):
        raise NotKnownError("no forecast was ever published: run `daypart forecast` first")
    policies = home.policies
    lineage.repair(home)
    chain = Chain.newest(home.lake)
    scoring.score(home.lake, chain)
    units = _serving(home)
    last = chain.last_day()
    if last is None or not home.lake.exists("scores"):
        nothing = Decision(False, "no retrain: no published store-hour has an actual yet")
        return Watch(pl.DataFrame(), {unit.unit: nothing for unit in units})
    on = last + timedelta(days=1)
    targets = sorted({unit.target for unit in units})
    findings = _Findings.read(home.lake, on, targets)
    decided = _decided(home, policies, units, findings)
    decided = {unit.unit: _supported(decided[unit.unit], findings.inputs[unit.target]) for unit in units}
    stood = _standing(home.lake, on)
    fresh = {unit: decision for unit, decision in decided.items() if unit not in stood}
    rows = _rows(units, fresh, policies, findings)
    if rows:
        # Audited before they are kept: a process killed in between may audit them twice, but never not at all.
        _audit(home, rows, on, now or datetime.combine(on, time()))
        home.lake.upsert("decisions", pl.DataFrame(rows))
    tallies = counted(home.lake, recent_tallies(home.lake, on))
    home.registry.log_nights(night_figures(tallies, units, fresh, on))
    news = tuple(unit for unit, decision in fresh.items() if decision.retrain)
    left_out = score_tallies.count_unscored(_recent(home.lake, RECENT_ORIGINS_DAYS))
    return Watch(accuracy(home), {**decided, **stood}, findings.faults, findings.inputs, news, left_out)


def accuracy(home: Home, by: Sequence[str] = (), days: int = RECENT_ORIGINS_DAYS) -> pl.DataFrame:
    """Return the figures of `score_tallies.score` of the latest `days` of origins.

    One row per target, group of `by` and level.

    Money of several currencies is in units of the chain's main one (`daypart.features.money`).
    Groups are columns of the tallies (store_id, tier, daypart, lead_days, model_version) or of the stores (region,
    format, country). A daypart's own figures are those at hour and daypart.
    """
    rows = counted(home.lake, _recent(home.lake, days))
    store_columns = [name for name in by if name not in rows.collect_schema()]
    if store_columns:
        rows = rows.join(home.lake.scan("stores").select("store_id", *store_columns), on="store_id", how="left")
    levels = LEVELS[:2] if "daypart" in by else LEVELS
    scores = [score_tallies.score(rows, level, ["target", *by]).with_columns(level=pl.lit(level)) for level in levels]
    return pl.concat(scores).sort("target", *by, nulls_last=True, maintain_order=True)


def counted(lake: Lake, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Tallies with money in units as known of late, where the chain sells in several currencies."""
    chain = Chain.newest(lake)
    if not has_several_currencies(chain.stores) or (last := chain.last_day()) is None:
        return rows
    units = Money.from_demand(chain, "sales", last - timedelta(days=2 * UNIT_DAYS)).units(last + timedelta(days=1))
    return in_units(rows, chain.stores, units, MONEY)


def _recent(lake: Lake, days: int) -> pl.LazyFrame:
    """Tallies of the latest `days` of origins."""
    last = max(lake.written("tallies", "origin_date"))
    return lake.scan("tallies").filter(pl.col("origin_date") > last - timedelta(days=days))


def _serving(home: Home) -> list[Serving]:
    """Units of what was published lately, sorted by name; those without a champion too."""
    last = max(home.lake.written("forecasts", "origin_date"))
    unit = pl.col("model_version").str.replace(r"-v\d+$", "")
    rows = home.lake.scan("forecasts").filter(pl.col("origin_date") == last)
    latest = rows.group_by(unit.alias("unit"), "target", "tier")
    units = latest.agg(pl.col("store_id").unique()).collect().sort("unit")
    store = ModelStore(home)
    published, champions = set(units["unit"]), store.champions()
    versions = {unit: version for unit, version in champions.items() if unit in published}
    serving = {unit: model.version for unit, model in store.serving(versions) if isinstance(model, ServingModel)}
    return [
        Serving(unit, target, tier, frozenset(ids), serving.get(unit, versions.get(unit)))
        for unit, target, tier, ids in units.iter_rows()
    ]


def _decided(
    home: Home, policies: Policies, units: Sequence[Serving], findings: _Findings
) -> dict[str, Decision]:  # fmt: skip
    on, faults = findings.on, findings.faults
    policy = {unit.unit: policies.policy(unit.tier) for unit in units}
    at_fault = {target: stores_at_fault(target_faults, on) for target, target_faults in faults.items()}
    versions = {unit.unit: unit.version for unit in units if unit.version is not None}
    figures = {unit: about["metrics"] for unit, about in home.registry.describe_all(versions).items()}
    priced = version_money(home.lake, units, figures)
    scores = Evidence(home.lake, on, at_fault, priced)
    weeks = scores.store_weeks(units, max(entry.window_days for entry in policy.values()))
    lasting = persistent_error.week_errors(scores.rows(LASTING_WEEKS * persistent_error.WEEK_DAYS), on)
    promised = {unit: ExpectedAccuracy.from_figures(metrics) for unit, metrics in figures.items()}
    tags = home.registry.tags_all(versions)
    decisions = {}
    for unit in units:
        rows, longer = (frame.filter(pl.col("unit") == unit.published_name) for frame in (weeks, lasting))
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
    messages = [drift.told for drift in significant_drifts(inputs)]
    changes = "; ".join(messages) or "none has moved since the season a year ago"
    return replace(decision, reason=f"{decision.reason}; inputs: {changes}")


def _lost(faults: Sequence[Fault]) -> Decision:
    reason = next(fault.told for fault in faults if fault.kind == "lost column")
    return Decision(False, f"no retrain: data fault: {reason}", "data fault")


def _standing(lake: Lake, on: date) -> dict[str, Decision]:
    """Retrains that were decided earlier for the same day."""
    if not lake.exists("decisions"):
        return {}
    rows = lake.scan("decisions").filter(pl.col("decided_on") == on, pl.col("retrain")).collect()
    return {
        row["unit"]: Decision(True, row["reason"], row["cause"], json.loads(row["figures"])) for row in rows.to_dicts()
    }


def _rows(
    units: Sequence[Serving], decided: Mapping[str, Decision], policies: Policies, findings: _Findings
) -> list[dict[str, Any]]:
    """The decisions as the table has them."""
    return [
        {
            "unit": unit.unit, "decided_on": findings.on, "model_version": f"{unit.unit}-v{unit.version}",
            "retrain": decided[unit.unit].retrain, "cause": decided[unit.unit].cause,
            "reason": decided[unit.unit].reason, "figures": json.dumps(decided[unit.unit].figures, sort_keys=True),
            "policy": policies.policy(unit.tier).model_dump_json(),
            "faults": json.dumps([asdict(fault) for fault in findings.faults[unit.target]], default=str),
            "inputs": json.dumps([asdict(drift) for drift in findings.inputs[unit.target]]),
        }
        for unit in units if unit.unit in decided
    ]  # fmt: skip


def _audit(home: Home, rows: Sequence[dict[str, Any]], on: date, now: datetime) -> None:
    """Records the decisions that the table has not, or has otherwise, in one commit."""
    stored = home.lake.scan_or_empty("decisions").filter(pl.col("decided_on") == on).collect()
    stored_rows = {row["unit"]: row for row in stored.iter_rows(named=True)}
    marked = {"decided_on": on, **mark(home)}
    entries = []
    for row in rows:
        decision = {name: row[name] for name in AUDITED}
        if decision != {name: stored_rows.get(row["unit"], {}).get(name) for name in AUDITED}:
            details = {**decision, "figures": json.loads(row["figures"]), **marked}
            entries.append(Entry("decide", row["unit"], details))
    if entries:
        home.audit.extend(now, AUTOMATION, entries)
