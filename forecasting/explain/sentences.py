"""An explanation in a planner's words: which weather, which holiday, which event, and how much it adds or takes."""

from dataclasses import dataclass
from datetime import date

import polars as pl

from daypart.features.signals.weather import MEASURES
from daypart.features.tables.schemas import known_before
from daypart.forecasting.explain.explanation import CLOSED, Explanation
from daypart.forecasting.explain.feature_families import (
    CALENDAR,
    ECONOMY,
    EVENT,
    HOLIDAY,
    LABOR,
    LEVEL,
    LIMITS,
    STORE,
    USUAL,
    WEATHER,
    YOUNG,
)

MAX_REASONS = 4
"""Reasons that are named; the others are merged into one."""
MIN_REASON_SHARE = 0.005
"""Of the forecast or the incumbent: reasons that add or take less are merged into one."""
RAIN_MM, SNOW_CM = 0.1, 0.1
"""An hour of less is dry."""
OTHER = "other"
NONE_NEAR = "no holiday near"


@dataclass(frozen=True)
class Reason:
    """A family of features, its state in words, and what it adds to the incumbent in the target's unit."""

    family: str
    what: str
    amount: float


def reasons(explanation: Explanation) -> list[Reason]:
    """Return the families that move the forecast of a store's hours of one date, the largest first, small ones merged.

    With the sum of incumbents their amounts sum to the forecast.
    """
    hours, families = explanation.hours, explanation.families()
    size = max(float(hours["forecast"].sum()), float(hours["incumbent"].sum()))
    ranked = sorted(families, key=lambda name: -abs(families[name]))
    main_families = [name for name in ranked[:MAX_REASONS] if abs(families[name]) >= MIN_REASON_SHARE * size]
    rest = [name for name in ranked if name not in main_families]
    main_reasons = [Reason(name, FAMILY_TEXTS[name](explanation), families[name]) for name in main_families]
    return main_reasons + ([Reason(OTHER, ", ".join(rest), sum(families[name] for name in rest))] if rest else [])


def sentences(explanation: Explanation, causes: list[Reason], when: str, unit: str) -> list[str]:
    """Return sentences on the forecast, the last weeks and the reasons; `when` is such as lunch, or empty for a day.

    `unit` is orders or the currency of sales.
    """
    hours = explanation.hours
    forecast, by_hand = float(hours["forecast"].sum()), float(hours["incumbent"].sum())
    day = _day(explanation)
    what = " ".join(filter(None, [when, unit if unit == "orders" else f"sales in {unit}"]))
    moved = f"{_more(forecast - by_hand, unit)} than the last four {day:%A}s' mean of {_figure(by_hand)}"
    head = f"{hours['store_id'][0]}, {day:%A} {day.day} {day:%B %Y}: {_figure(forecast)} {what}, {moved}"
    lines = [f"{_more(reason.amount, unit)} {what}: {reason.what}" for reason in causes if reason.family != OTHER]
    return [head, *_declared(explanation), *lines]


def _more(amount: float, unit: str) -> str:
    more, less = ("more", "fewer") if unit == "orders" else ("more", "less")
    return f"{_figure(abs(amount))} {more if amount >= 0 else less}"


def _figure(amount: float) -> str:
    return f"{amount:,.1f}" if abs(amount) < 10 else f"{amount:,.0f}"


def _day(explanation: Explanation) -> date:
    day: date = explanation.hours["business_date"][0]
    return day


def _spans(hours: list[int]) -> str:
    """Return clock hours as 8 or 11-14."""
    spans: list[list[int]] = []
    for hour in sorted(set(hours)):
        if spans and hour == spans[-1][-1] + 1:
            spans[-1].append(hour)
        else:
            spans.append([hour])
    return ", ".join(str(span[0]) if len(span) == 1 else f"{span[0]}-{span[-1]}" for span in spans)


def _mean(explanation: Explanation, feature: str) -> float | None:
    hours = explanation.hours
    return hours[feature].cast(pl.Float64).mean() if feature in hours.columns else None  # type: ignore[return-value]


def _against(ratio: float | None, less: str, template: str, without: str) -> str:
    """Return `template` with how far a ratio lies from 1, in percent."""
    if ratio is None:
        return without
    return template.format(f"{abs(ratio - 1):.0%} {'more' if ratio >= 1 else less}")


def _weather(explanation: Explanation) -> str:
    """Return the measure that moves most in the family's direction, and the next if it moves half as much."""
    amounts = dict.fromkeys(MEASURES, 0.0)
    for feature, amount in explanation.features(WEATHER).items():
        amounts[next(name for name in MEASURES if feature.startswith(f"weather_{name}"))] += amount
    sign = 1 if sum(amounts.values()) >= 0 else -1
    first, second = sorted(MEASURES, key=lambda name: -sign * amounts[name])[:2]
    measures = [first, *([second] if sign * amounts[second] >= sign * amounts[first] / 2 else [])]
    return " and ".join(_measure(explanation, name) for name in measures)


def _measure(explanation: Explanation, measure: str) -> str:
    weather_view, mean = explanation.weather_view, _mean(explanation, f"weather_{measure}")
    if mean is None:
        return f"no {measure.rpartition('_')[0].replace('_', ' ')} {weather_view}"
    if measure == "precipitation_mm":
        return _precipitation(explanation, measure, "rain", "mm", RAIN_MM)
    if measure == "snowfall_cm":
        return _precipitation(explanation, measure, "snow", "cm", SNOW_CM)
    if measure == "temperature_c":
        departure = _mean(explanation, f"weather_{measure}_departure")
        usual = (
            "" if departure is None else f", {abs(departure):.0f} {'above' if departure >= 0 else 'below'} the usual"
        )
        return f"{mean:.0f} °C {weather_view}{usual}"
    texts = {"wind_speed_kmh": "wind of {:.0f} km/h", "humidity_pct": "humidity of {:.0f}%",
             "cloud_cover_pct": "{:.0f}% of the sky clouded"}  # fmt: skip
    return f"{texts[measure].format(mean)}, as {weather_view}"


def _precipitation(explanation: Explanation, measure: str, name: str, unit: str, least: float) -> str:
    wet = explanation.hours.filter(pl.col(f"weather_{measure}") >= least)
    if wet.is_empty():
        return f"no {name} {explanation.weather_view}"
    at = _spans(wet["hour_local"].dt.hour().to_list())
    return f"{name} {explanation.weather_view} for {at} ({wet[f'weather_{measure}'].sum():.1f} {unit})"


def _holiday(explanation: Explanation) -> str:
    day = _day(explanation)
    near = explanation.holidays.with_columns(days=(pl.col("date") - pl.lit(day)).dt.total_days())
    near = near.filter(pl.col("store_id") == explanation.hours["store_id"][0], pl.col("days").abs() <= 10)
    if near.is_empty():
        counted = _mean(explanation, "history_holidays_in_base") or 0
        return "a holiday among the weeks before" if counted else NONE_NEAR
    name, days = near.sort(pl.col("days").abs()).select("holiday", "days").row(0)
    if not days:
        return str(name)
    return f"{abs(days)} day{'s' * (abs(days) > 1)} {'before' if days > 0 else 'after'} {name}"


def _event(explanation: Explanation) -> str:
    hours, events = explanation.hours, explanation.events
    is_known = known_before(hours["origin_date"][0])
    on_day = events.filter(
        pl.col("store_id") == hours["store_id"][0],
        pl.col("date") == _day(explanation),
        pl.col("kind") != "price",
        is_known,
    )
    start = on_day["day_start"][0] if on_day.height else 0
    since_start = (hours["hour_local"].dt.hour().cast(pl.Int64) - start) % 24
    touched = on_day.filter(pl.col("first_hour") <= since_start.max(), pl.col("last_hour") >= since_start.min())
    if touched.height:
        return ", ".join(touched["name"].unique().sort())
    before = any(_mean(explanation, name) for name in hours.columns if name.startswith("event_") and "_base" in name)
    return "no promotion or event now, as there was in the weeks before" if before else "no promotion or event"


def _declared(explanation: Explanation) -> list[str]:
    """Return a line per declared closure of the hours' days."""
    hours = explanation.hours
    closures = explanation.closures.filter(
        pl.col("store_id") == hours["store_id"][0], pl.col("date").is_in(hours["business_date"].implode())
    )
    lines = []
    for first, last, reason in closures.sort("date", "from_hour").select("from_hour", "to_hour", "reason").iter_rows():
        span = f" for {first or 0}-{23 if last is None else last}" if (first, last) != (None, None) else ""
        lines.append(f"closed{span}{f': {reason}' if reason else ', as declared'}")
    return lines


def _closed(explanation: Explanation) -> str:
    hours, holiday = explanation.hours, _holiday(explanation)
    shut = hours.filter(pl.col("forecast") == 0, pl.col("incumbent") > 0)["hour_local"].dt.hour().to_list()
    return f"taken as closed for {_spans(shut)}{'' if holiday == NONE_NEAR else f' ({holiday})'}"


def _limits(explanation: Explanation) -> str:
    limited_hours = explanation.hours.filter(pl.col("basis").str.contains("held to"))
    return str(limited_hours["basis"][0].split("; ")[-1]) if limited_hours.height else "bounds on what a member may say"


def _level(explanation: Explanation) -> str:
    """Return the last week's level, unless the family moves the other way: then a longer trend does."""
    ratio, without = _mean(explanation, "history_day_level_7"), "recent level and trend"
    if ratio is None or (ratio - 1) * sum(explanation.features(LEVEL).values()) < 0:
        return without
    return _against(ratio, "less", "the last 7 open days sold {} than the weeks before led to expect", without)


def _labor(explanation: Explanation) -> str:
    ratio = _mean(explanation, "labor_day_change") or _mean(explanation, "labor_scheduled_change")
    return _against(ratio, "fewer", "{} hours scheduled than in the weeks before", "labor scheduled")


def _calendar(explanation: Explanation) -> str:
    day = _day(explanation)
    return f"{day:%A} {day.day} {day:%B}: time of the year, month and week"


FAMILY_TEXTS = {
    USUAL: lambda _: "what its hours sell in plain weeks, of which the last four are a few",
    LEVEL: _level,
    CALENDAR: _calendar,
    WEATHER: _weather,
    EVENT: _event,
    HOLIDAY: _holiday,
    LABOR: _labor,
    ECONOMY: lambda _: "the economic series",
    STORE: lambda _: "how long it has been open, and open without a gap",
    YOUNG: lambda _: "what stores like it sell, at its own level so far",
    LIMITS: _limits,
    CLOSED: _closed,
}
"""The state of each family, in words."""
