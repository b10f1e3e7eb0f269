"""Renders the page of a report: formats of numbers, and the values of the template."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from daypart.flows.report import Report, charts, figures
from daypart.flows.report.palette import CONFIG
from daypart.forecasting.metrics.actuals import count_unscored

NO_VALUE = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class Section:
    """The part of the page about one target."""

    name: str
    tiles: list[dict[str, Any]]
    stores: figures.Ranking
    charts: dict[str, charts.Chart]


def render(report: Report) -> str:
    """Return the page as HTML that includes scripts, style and data."""
    scored = report.scored
    stores = figures.by_store(scored, report.names)
    levels = figures.by_level(scored)
    sections = [_section(report, stores, levels, target) for target in levels["target"].unique().sort()]
    all_charts = [chart for section in sections for chart in section.charts.values()]
    weekly = scored.with_columns(lead_week=pl.col("lead_days") // 7 + 1)
    template = environment().get_template("page.html.j2")
    return template.render(
        report=report,
        facts=_facts(scored),
        sections=sections,
        levels=levels.to_dicts(),
        weeks=figures.by_level(weekly, "lead_week").to_dicts(),
        oracle="oracle_bps" in levels.columns and levels["oracle_bps"].null_count() < levels.height,
        band=figures.coverage_by_daypart(scored).to_dicts(),
        config=CONFIG,
        specs={chart.name: chart.spec for chart in all_charts},
        bundle=bundle(),
    )


def _section(report: Report, stores: pl.DataFrame, levels: pl.DataFrame, target: str) -> Section:
    is_target = pl.col("target") == target
    plots = charts.draw(report.scored, report.importance, stores, target)
    return Section(target, levels.filter(is_target).to_dicts(), figures.ranking(stores.filter(is_target)), plots)


def _facts(scored: pl.DataFrame) -> dict[str, str]:
    """Return the size of the backtest, as text by label."""
    rows = scored.filter(pl.col("actual").is_not_null())
    origins = rows["origin_date"].unique().sort()
    return {
        "Stores": count(rows["store_id"].n_unique()),
        "Origins": f"{count(len(origins))}, {' to '.join(map(day, origins[:1].append(origins[1:][-1:])))}",
        "Hours scored": count(rows.height),
        "Store-days left out": ", ".join(
            f"{count(days)} of {target}" for target, days in count_unscored(scored).items()
        ),
        "Model versions": ", ".join(str(version) for version in rows["model_version"].drop_nulls().unique().sort()),
    }


@cache
def bundle() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script."""
    from vl_convert import javascript_bundle

    version = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    return str(javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=version))


@cache
def environment() -> Environment:
    """Return the template environment of all reports, with the formats of this module as filters."""
    jinja_env = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja_env.filters.update(count=count, signed=signed, percent=percent, day=day)
    jinja_env.tests["mapping"] = lambda value: isinstance(value, Mapping)
    return jinja_env


def count(value: float | None) -> str:
    """Return a whole number with thousands separators; a dash for null."""
    return NO_VALUE if value is None else f"{round(value):,}".replace("-", MINUS)


def signed(value: float | None) -> str:
    """Return a whole number with its sign, 0 without one; a dash for null."""
    return count(value) if value is None or round(value) <= 0 else f"+{count(value)}"


def percent(value: float | None) -> str:
    """Return a share as a percentage with one decimal; a dash for null."""
    return NO_VALUE if value is None else f"{100 * value:.1f}"


def day(value: date) -> str:
    """Return a date such as 3 Mar 2025, whatever the locale of the machine is."""
    return f"{value.day} {MONTHS[value.month - 1]} {value.year}"
