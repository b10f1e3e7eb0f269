"""What moved a forecast, in a planner's words."""

from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from daypart.features.dayparts import daypart
from daypart.forecasting.explain.explanation import Explanation
from daypart.forecasting.explain.sentences import Reason, reasons, sentences

DAY, ORIGIN = date(2025, 11, 12), date(2025, 11, 10)
HOLIDAYS = {"store_id": pl.String, "date": pl.Date, "holiday": pl.String}
EVENTS = {"store_id": pl.String, "date": pl.Date, "name": pl.String, "kind": pl.String, "known_on": pl.Date,
          "first_hour": pl.Int8, "last_hour": pl.Int8, "day_start": pl.Int64}  # fmt: skip
CLOSURES = {"store_id": pl.String, "date": pl.Date, "from_hour": pl.Int8, "to_hour": pl.Int8, "reason": pl.String}


def explanation(
    parts: dict[str, list[float]],
    features: dict[str, list[float]] | None = None,
    hours: tuple[int, ...] = (11, 12, 13, 14),
    incumbent: float = 50.0,
    **tables: list[tuple[Any, ...]],
) -> Explanation:
    clock = [datetime(DAY.year, DAY.month, DAY.day, hour) for hour in hours]
    parts_frame = pl.DataFrame(parts, schema=dict.fromkeys(parts, pl.Float64))
    rows = pl.DataFrame({
        "store_id": "S1", "hour_local": clock, "hour_utc": clock, "business_date": DAY, "origin_date": ORIGIN,
        "incumbent": incumbent, "basis": pl.Series([None] * len(hours), dtype=pl.String),
        "forecast": incumbent + parts_frame.sum_horizontal(), **(features or {}),
    })  # fmt: skip
    rows = rows.with_columns(daypart(pl.col("hour_local").dt.hour()))
    schemas = {"holidays": HOLIDAYS, "events": EVENTS, "closures": CLOSURES}
    frames = {name: pl.DataFrame(tables.get(name, []), schema=schema, orient="row") for name, schema in schemas.items()}
    return Explanation(rows, parts_frame, **frames, weather_view="issued")


RAIN = explanation(
    {"weather_precipitation_mm": [-2.0, -3.0, -4.0, -2.0], "weather_temperature_c": [-1.0, 0.0, 0.0, 0.0],
     "weather_temperature_c_departure": [0.5, 0.5, 0.0, 0.0], "history_day_level_7": [1.0, 1.0, 1.0, 0.0],
     "calendar_weekday": [0.1, -0.1, 0.1, 0.0], "limits": [0.0] * 4},
    {"weather_precipitation_mm": [0.0, 1.2, 3.0, 0.4], "weather_temperature_c": [9.0] * 4,
     "weather_temperature_c_departure": [-5.0] * 4, "history_day_level_7": [1.06] * 4},
)  # fmt: skip


def what(breakdown: Explanation) -> dict[str, str]:
    return {reason.family: reason.what for reason in reasons(breakdown)}


def test_rain_is_told_with_its_hours_and_millimetres() -> None:
    rain_reasons = reasons(RAIN)
    assert [reason.family for reason in rain_reasons] == ["weather", "level", "other"]
    assert rain_reasons[0] == Reason("weather", "rain issued for 12-14 (4.6 mm)", pytest.approx(-11.0))
    assert rain_reasons[1].what == "the last 7 open days sold 6% more than the weeks before led to expect"
    assert rain_reasons[2].what == "calendar"


def test_sentences_say_how_many_fewer_and_why() -> None:
    assert sentences(RAIN, reasons(RAIN), "lunch", "orders") == [
        "S1, Wednesday 12 November 2025: 192 lunch orders, 7.9 fewer than the last four Wednesdays' mean of 200",
        "11 fewer lunch orders: rain issued for 12-14 (4.6 mm)",
        "3.0 more lunch orders: the last 7 open days sold 6% more than the weeks before led to expect",
    ]
    assert sentences(RAIN, reasons(RAIN), "", "EUR")[1].startswith("11 less sales in EUR: ")


def test_amounts_sum_to_the_forecast_however_few_are_named() -> None:
    names = (
        "weather_humidity_pct",
        "event_code",
        "history_shape",
        "calendar_weekday",
        "labor_day_change",
        "macro_x",
        "limits",
    )
    many = explanation({name: [float(k), -2.0 * k, k / 3, 1.0] for k, name in enumerate(names)})
    top_reasons = reasons(many)
    assert [reason.family for reason in top_reasons][-1] == "other"
    assert len(top_reasons) == 5
    total = many.hours["incumbent"].sum() + sum(reason.amount for reason in top_reasons)
    assert total == pytest.approx(many.hours["forecast"].sum(), rel=1e-12)
    sizes = [abs(reason.amount) for reason in top_reasons[:-1]]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(
    ("feature", "values", "text"),
    [
        ("weather_temperature_c", [31.0] * 4, "31 °C issued, 6 above the usual"),
        ("weather_snowfall_cm", [0.0, 2.0, 1.0, 0.0], "snow issued for 12-13 (3.0 cm)"),
        ("weather_precipitation_mm", [0.0] * 4, "no rain issued"),
        ("weather_precipitation_mm", [1.0, 0.0, 0.0, 1.0], "rain issued for 11, 14 (2.0 mm)"),
        ("weather_wind_speed_kmh", [40.0] * 4, "wind of 40 km/h, as issued"),
        ("weather_humidity_pct", [None] * 4, "no humidity issued"),
    ],
)
def test_the_measure_that_moves_most_is_named(feature: str, values: list[float], text: str) -> None:
    other_parts = {"weather_cloud_cover_pct": [1.0] * 4}
    features = {feature: values, "weather_temperature_c_departure": [6.0] * 4}
    assert what(explanation({feature: [-5.0] * 4, **other_parts}, features))["weather"] == text


@pytest.mark.parametrize(
    ("days", "text"),
    [(0, "Diwali"), (1, "1 day before Diwali"), (-3, "3 days after Diwali"), (11, "no holiday near")],
)
def test_a_holiday_is_named_with_its_distance(days: int, text: str) -> None:
    on = DAY + timedelta(days=days)
    diwali = explanation({"history_holiday_effect": [-9.0] * 4}, holidays=[("S1", on, "Diwali"), ("S2", DAY, "Other")])
    assert what(diwali)["holiday"] == text


def test_events_are_named_if_they_touch_the_hours_and_were_known() -> None:
    events = [
        ("S1", DAY, "Half off", "promotion", None, 12, 20, 0), ("S1", DAY, "Night run", "local event", None, 20, 23, 0),
        ("S1", DAY, "Late flyer", "promotion", ORIGIN, 0, 23, 0), ("S1", DAY, "Dearer", "price", None, 0, 23, 0),
        ("S2", DAY, "Elsewhere", "promotion", None, 0, 23, 0),
    ]  # fmt: skip
    assert what(explanation({"event_promotion": [9.0] * 4}, events=events))["event"] == "Half off"
    before = explanation({"event_promotion_base": [-9.0] * 4}, {"event_promotion_base": [0.25] * 4})
    assert what(before)["event"] == "no promotion or event now, as there was in the weeks before"


def test_closures_are_told_with_their_hours_and_reason() -> None:
    shut = [("S1", DAY, None, None, "refit"), ("S1", DAY, 11, 12, None), ("S2", DAY, None, None, "other")]
    refit = explanation({"limits": [0.0] * 4}, incumbent=0.0, closures=shut)
    assert sentences(refit, reasons(refit), "lunch", "orders")[1:] == ["closed: refit", "closed for 11-12, as declared"]
    assumed_closed = explanation({"closed": [-50.0] * 4}, holidays=[("S1", DAY, "Boxing Day")])
    assert what(assumed_closed)["closed"] == "taken as closed for 11-14 (Boxing Day)"


def test_a_level_that_moves_against_the_last_week_is_a_trend() -> None:
    breakdown = explanation({"history_day_trend": [-5.0] * 4}, {"history_day_level_7": [1.06] * 4})
    assert what(breakdown)["level"] == "recent level and trend"


def test_labor_and_youth_have_words_of_their_own() -> None:
    phrases = what(
        explanation({"labor_day_change": [3.0] * 4, "young store": [9.0] * 4}, {"labor_day_change": [0.9] * 4})
    )
    assert phrases["labor"] == "10% fewer hours scheduled than in the weeks before"
    assert phrases["young store"] == "what stores like it sell, at its own level so far"
