"""The charts of a backtest report, declared with Altair."""

from dataclasses import dataclass
from typing import Any

import altair as alt
import polars as pl

from daypart.flows.report import figures
from daypart.flows.report.palette import COLOUR, TEXT_COLOUR, colour, lines, shape
from daypart.forecasting.metrics.accuracy import score

SERIES_BY_FIGURE = {
    "accuracy_bps": "Forecast",
    "incumbent_bps": "Incumbent",
    "floor_accuracy_bps": "Floor",
    "oracle_bps": "Oracle",
}


@dataclass(frozen=True)
class Chart:
    """One chart: its element on the page, what it shows, and its Vega-Lite specification."""

    name: str
    title: str
    note: str
    spec: dict[str, Any]


@dataclass(frozen=True)
class Caption:
    """What stands around a chart: its section of the page, its title after the target's name, and a note."""

    section: str
    title: str
    note: str


def _finish(caption: Caption, target: str, chart: Any, height: Any) -> Chart:
    title = f"{target.capitalize()} {caption.title}"
    sized = chart.properties(width="container", height=height, description=f"{title}. {caption.note}")
    return Chart(f"{caption.section}-{target}", title, caption.note, sized.to_dict())


def _tip(column: str, title: str, number_format: str | None = None) -> Any:
    return alt.Tooltip(column, title=title, format=number_format or alt.Undefined)


def _long(table: pl.DataFrame, index: list[str]) -> pl.DataFrame:
    """Return one row per row of `table` and series with an accuracy: `series` and its accuracy, `value`."""
    present = [name for name in SERIES_BY_FIGURE if name in table.columns]
    return (
        table.unpivot(on=present, index=index, variable_name="series")
        .filter(pl.col("value").is_not_null())
        .with_columns(pl.col("series").replace_strict(SERIES_BY_FIGURE), pl.col("value").round(1))
        .sort(*index, "series")
    )


def _series(long: pl.DataFrame) -> list[str]:
    present = set(long["series"])
    return [name for name in COLOUR if name in present]


def _accuracy(channel: Any, **scale: float) -> Any:
    axis = alt.Axis(tickCount=5)
    return channel("value:Q", title="Accuracy (bps)", scale=alt.Scale(zero=False, **scale), axis=axis)


def _accuracy_tips() -> list[Any]:
    return [_tip("series:N", "Series"), _tip("value:Q", "Accuracy (bps)", ",.0f")]


def lead_days(table: pl.DataFrame, target: str, days: int) -> Chart:
    """Return the chart of accuracy by lead day, 0 to `days` - 1; `table` has one row per scored lead of one target."""
    long = _long(table, ["lead_days"])
    names = _series(long)
    # The axis shows every lead, also one whose days were all closed.
    leads, axis = list(range(days)), alt.Axis(labelAngle=0)
    chart = (
        alt.Chart(long)
        .mark_line(strokeWidth=2.2, point={"size": 24})
        .encode(
            x=alt.X("lead_days:O", title="Lead (days from the origin)", axis=axis, scale=alt.Scale(domain=leads)),
            y=_accuracy(alt.Y),
            **lines(names),
            tooltip=[_tip("lead_days:O", "Lead (days)"), *_accuracy_tips()],
        )
    )
    return _finish(Caption("lead", "by lead day", "Accuracy at hour level"), target, chart, 230)


def dayparts(table: pl.DataFrame, target: str) -> Chart:
    """Return the chart of accuracy by daypart; `table` has one row per daypart, in the order of the day."""
    long = _long(table, ["daypart"])
    names, order = _series(long), table["daypart"].to_list()
    base = alt.Chart(long).encode(x=_accuracy(alt.X, padding=12), y=alt.Y("daypart:N", sort=order, title=None))
    rails = base.mark_rule(strokeWidth=2, opacity=0.25, color=TEXT_COLOUR).encode(
        x=alt.X("min(value):Q", title="Accuracy (bps)"), x2="max(value):Q"
    )
    dots = base.mark_point(filled=True, size=130, opacity=1).encode(
        color=colour(names),
        shape=shape(names),
        tooltip=[_tip("daypart:N", "Daypart"), *_accuracy_tips()],
    )
    return _finish(Caption("daypart", "by daypart", "Accuracy at daypart level"), target, rails + dots, alt.Step(44))


def week(table: pl.DataFrame, target: str, unit: str) -> Chart:
    """Return the chart of a week by the hour with a menu of stores; `table` is `figures.weeks` of one target."""
    label = pl.concat_str("store_id", "name", separator=" ", ignore_nulls=True)
    rows = table.select(
        pl.format("{} ({} of {})", label, "rank", "store_count").alias("store"),
        "typical",
        hour=pl.col("hour_local").dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        when=pl.col("hour_local").dt.strftime("%a %d %b %H:%M"),
        # Without the condition, nights would be a row of dots at 0.
        Actual=pl.when((pl.col("actual") > 0.0) | (pl.col("q90") > 0.0)).then(pl.col("actual").round(2)),
        Forecast=pl.col("forecast").round(2),
        Incumbent=pl.col("incumbent").round(2),
        q10=pl.col("q10").round(2),
        q90=pl.col("q90").round(2),
    )
    stores = rows["store"].unique(maintain_order=True).to_list()
    chart = alt.Chart(rows.drop("typical")).encode(x=_clock())
    band = chart.mark_area(color=COLOUR["Forecast"], opacity=0.18, interpolate="monotone").encode(
        y=alt.Y("q10:Q", title=f"{target.capitalize()} ({unit})", axis=alt.Axis(tickCount=5)), y2="q90:Q"
    )
    note = "Dots: actual. Shaded: the band from the 10th to the 90th percentile."
    if len(stores) > 1:
        typical = rows.filter(pl.col("typical"))["store"][0]
        menu = alt.binding_select(options=stores, name="Store (rank by accuracy) ")
        selection = alt.selection_point(name=f"store_{target}", fields=["store"], value=typical, bind=menu)
        band = band.properties(name=f"week_{target}").add_params(selection).transform_filter(selection)
        chart = chart.transform_filter(selection)
    layers = alt.layer(band, _curves(chart), _actual_dots(chart))
    return _finish(Caption("week", "in a week, by the hour", note), target, layers, 260)


def _clock() -> Any:
    # Local times are declared as UTC, so that the time zone of the reader does not shift them.
    axis = alt.Axis(format="%a %d %b", tickCount={"interval": "day", "step": 1}, labelAlign="left", grid=True)
    return alt.X("hour:T", title="Hour (store's clock)", scale=alt.Scale(type="utc"), axis=axis)


def _curves(chart: Any) -> Any:
    names = ["Forecast", "Incumbent"]
    return (
        chart.transform_fold(names, as_=["series", "value"])
        .mark_line(strokeWidth=1.8, interpolate="monotone")
        .encode(y=alt.Y("value:Q"), **lines(names))
    )


def _actual_dots(chart: Any) -> Any:
    values = [_tip(f"{name}:Q", name, ",.1f") for name in ("Actual", "Forecast", "q10", "q90", "Incumbent")]
    return chart.mark_point(filled=True, size=16, opacity=1, color=TEXT_COLOUR).encode(
        y=alt.Y("Actual:Q"), tooltip=[_tip("when:N", "Hour"), *values]
    )


def quantiles(table: pl.DataFrame, target: str) -> Chart:
    """Return the chart of the share of actuals below each quantile and its nominal share.

    `table` is `figures.reliability` of one target.
    """
    base = alt.Chart(table.with_columns(pl.col("below", "reached", "nominal").round(4)))
    share = alt.Axis(format=".0%", values=list(figures.BAND_QUANTILES.values()))
    across = alt.Scale(domain=[0, 1])
    # Sales hardly ever tie with their quantile: the stroke keeps a bar without length visible.
    blue = COLOUR["Forecast"]
    bars = base.mark_bar(color=blue, stroke=blue, strokeWidth=5, strokeJoin="round", height=12).encode(
        x=alt.X("below:Q", title="Share of actuals (%)", axis=share, scale=across),
        x2="reached:Q",
        y=alt.Y("quantile:N", title=None),
        tooltip=[
            _tip("quantile:N", "Quantile"),
            _tip("below:Q", "Actuals below it", ".1%"),
            _tip("reached:Q", "Actuals at or below it", ".1%"),
            _tip("nominal:Q", "Should be", ".0%"),
        ],
    )
    marks = base.mark_tick(color=TEXT_COLOUR, thickness=2.5, size=30).encode(x="nominal:Q", y="quantile:N")
    note = "Bar: from the share below to the share at or below the quantile. It should meet its mark."
    return _finish(Caption("quantiles", "by quantile", note), target, bars + marks, alt.Step(44))


def sizes(table: pl.DataFrame, target: str, unit: str) -> Chart:
    """Return the chart of coverage by tenth of forecast size; `table` is `figures.coverage_by_size` of one target."""
    base = alt.Chart(table.with_columns(pl.col("coverage").round(4)))
    lowest = min(0.5, float(table["coverage"].min() or 0.0))  # type: ignore[arg-type]
    percent, scale = alt.Axis(format=".0%", tickCount=5), alt.Scale(domain=[lowest, 1])
    curve = base.mark_line(
        color=COLOUR["Forecast"], strokeWidth=2.2, point={"size": 55, "color": COLOUR["Forecast"]}
    ).encode(
        x=alt.X("tenth:O", title="Tenth of the hours by forecast size (1 = smallest)", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("coverage:Q", title="Coverage (%)", axis=percent, scale=scale),
        tooltip=[
            _tip("tenth:O", "Tenth"),
            _tip("coverage:Q", "Coverage", ".1%"),
            _tip("smallest:Q", f"Forecasts from ({unit})", ",.1f"),
            _tip("largest:Q", "to", ",.1f"),
            _tip("hours:Q", "Hours", ",d"),
        ],
    )
    rule = base.mark_rule(color=TEXT_COLOUR, strokeDash=[4, 3], opacity=0.6).encode(y=alt.YDatum(0.8, scale=scale))
    note = "Share of actuals inside the band. Dashed: the 80 % that it promises."
    return _finish(Caption("sizes", "by forecast size", note), target, rule + curve, 200)


def features(table: pl.DataFrame, target: str, members: list[str]) -> Chart:
    """Return the chart of the features with most gain; `table` is `figures.top_features` of one target."""
    chart = (
        alt.Chart(table.with_columns(pl.col("gain_share").round(5)))
        .mark_bar(color="#5B7FA3", height=13, cornerRadiusEnd=2)
        .encode(
            x=alt.X("gain_share:Q", title="Share of gain (%)", axis=alt.Axis(format=".0%", tickCount=5, grid=True)),
            y=alt.Y("feature:N", sort=table["feature"].to_list(), title=None, axis=alt.Axis(labelLimit=230)),
            tooltip=[_tip("feature:N", "Feature"), _tip("gain_share:Q", "Share of gain", ".1%")],
        )
    )
    note = f"Mean share of gain over {', '.join(members)}"
    return _finish(Caption("features", f"by feature, top {table.height}", note), target, chart, alt.Step(22))


def draw(scored: pl.DataFrame, importance: pl.DataFrame, stores: pl.DataFrame, target: str) -> dict[str, Chart]:
    """Return the charts of one target by section of the page, without those that have no data.

    `scored` and `importance` are those of a `Report`, `stores` is `figures.by_store`.
    """
    unit = "tickets per hour" if target == "orders" else "currency per hour"
    is_target = pl.col("target") == target
    rows, gains, ranked = scored.filter(is_target), importance.filter(is_target), stores.filter(is_target)
    parts, tenths = figures.by_daypart(rows, "daypart"), figures.coverage_by_size(rows)
    charts = {}
    if ranked.height:
        charts["lead"] = lead_days(score(rows, "hour", ["lead_days"]), target, 1 + max(rows["lead_days"]))
        charts["week"] = week(figures.weeks(rows, ranked), target, unit)
    if parts["accuracy_bps"].count():
        charts["daypart"] = dayparts(parts, target)
    if tenths.height:
        charts["quantiles"] = quantiles(figures.reliability(rows), target)
        charts["sizes"] = sizes(tenths, target, unit)
    if gains.height:
        members = gains["member"].unique().sort().to_list()
        charts["features"] = features(figures.top_features(gains), target, members)
    return charts
