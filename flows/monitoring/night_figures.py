"""Night figures: the accuracy of each night's forecast by model version, and the decisions, as metrics over time."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import polars as pl

from daypart.flows.lake.lake import Lake
from daypart.flows.monitoring.evidence import Serving
from daypart.flows.registry.night_runs import NightFigures
from daypart.forecasting.lifecycle.retrain import Decision
from daypart.forecasting.metrics import score_tallies

WINDOWS = {"first_day": 1, "first_week": 7}
"""The days of each night's forecast that count, once all of them are known."""
FIGURES = ("accuracy_bps", "incumbent_bps", "bias_bps", "coverage")
RECENT_DAYS = 56
"""Nights that are looked at: those of homes that were not monitored for longer are left out."""

Values = dict[str, dict[str, dict[date, float]]]
"""By version, metric and date."""


def recent_tallies(lake: Lake, on: date) -> pl.LazyFrame:
    """Return the tallies of the nights that are looked at as of a date."""
    return lake.scan("tallies").filter(pl.col("origin_date") >= on - timedelta(days=RECENT_DAYS))


def night_figures(
    tallies: pl.LazyFrame, units: Sequence[Serving], decisions: Mapping[str, Decision], on: date
) -> list[NightFigures]:
    """Return the figures of every version that published of late, by night, and the decisions as of `on`.

    Metrics are `accuracy_bps/first_day` and so on for FIGURES and WINDOWS, by the hour, and of the version that serves
    `decision/retrain` (1 for yes) and the decision's own figures. Figures are as known at `on`.
    """
    values: Values = {}
    for window, days in WINDOWS.items():
        known = (pl.col("lead_days") < days) & (pl.col("origin_date") <= on - timedelta(days=days))
        scores = score_tallies.score(tallies.filter(known), "hour", ["model_version", "origin_date"])
        for row in scores.iter_rows(named=True):
            for figure in FIGURES:
                if row[figure] is not None:
                    metrics = values.setdefault(row["model_version"], {})
                    metrics.setdefault(f"{figure}/{window}", {})[row["origin_date"]] = row[figure]
    reasons = {}
    for unit in units:
        decision = decisions.get(unit.unit)
        if decision is not None and unit.version is not None:
            reasons[unit.published_name] = decision.reason
            metrics = values.setdefault(unit.published_name, {})
            for name, value in {"retrain": float(decision.retrain), **decision.figures}.items():
                metrics[f"decision/{name}"] = {on: value}
    return [NightFigures(version, metrics, reasons.get(version, "")) for version, metrics in sorted(values.items())]
