"""Weather that came becomes as uncertain as forecasts were, by nothing that was not known yet."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from daypart.features import matrix
from daypart.features.chain_data import ChainData, days
from daypart.features.signals.weather import DEPARTING, MEASURES, observations
from daypart.features.signals.weather_issues import (
    PRECIPITATION,
    RAINY_QUARTER_MM,
    SNOWY_QUARTER_CM,
    WeatherIssues,
    degrade_hindsight,
)
from daypart.features.simulator import ChainSpec, simulate
from daypart.features.tables.schemas import WEATHER
from daypart.forecasting.models import training_data
from daypart.forecasting.models.recipe import Recipe
from daypart.forecasting.models.trainer import ModelTrainer
from daypart.forecasting.models.training_data import TrainingData

START, DAYS, ISSUES = date(2023, 12, 4), 90, 45
FIRST_TOLD = START + timedelta(days=DAYS - ISSUES + 1)
AS_OF = START + timedelta(days=85)


@cache
def chain() -> ChainData:
    return ChainData.from_tables(
        simulate(ChainSpec(stores=2, start=START, days=DAYS, seed=5, issues_days=ISSUES)).tables
    )


def training(records: ChainData) -> pl.DataFrame:
    """Every third origin of two weeks without issues and one with them, the dates before AS_OF."""
    origins = days(FIRST_TOLD - timedelta(days=14), FIRST_TOLD + timedelta(days=7), 3)
    rows = matrix.build(records, matrix.View("orders"), origins, options=matrix.TrainingOptions(hindsight=True))
    return rows.cast(dict.fromkeys(matrix.feature_names(rows), pl.Float32)).filter(pl.col("date") < AS_OF)


def degraded_training(records: ChainData) -> pl.DataFrame:
    return degrade_hindsight(training(records), WeatherIssues.from_weather(records.weather, records.stores), AS_OF)


def of_hindsight(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col("origin_date") < FIRST_TOLD)


@cache
def read(
    store: str,
) -> tuple[dict[datetime, dict[str, Any]], dict[date, datetime], dict[tuple[datetime, datetime], Any]]:
    """A store's observations by local hour, its issues by the origin that each is fresh for, and what they say."""
    records = chain().block([store])
    weather_rows = records.weather.sort("valid_utc").to_dicts()
    actuals = {one["valid_local"]: one for one in reversed(weather_rows) if one["issued_utc"] is None}
    zone = ZoneInfo(records.stores["timezone"].item())
    issues = sorted({one["issued_utc"] for one in weather_rows} - {None})
    fresh = {one.replace(tzinfo=UTC).astimezone(zone).date() + timedelta(days=1): one for one in issues}
    return actuals, fresh, {(one["issued_utc"], one["valid_local"]): one for one in reversed(weather_rows)}


def by_hand(row: dict[str, Any]) -> dict[str, Any]:
    """What `degrade_hindsight` makes of one row's weather, by looking through the table."""
    actuals, fresh, issued_rows = read(row["store_id"])
    quarter, lead = row["hour"] // 6, timedelta(days=row["lead_days"])
    alike = [(day, issue) for day, issue in ((origin + lead, issue) for origin, issue in sorted(fresh.items()))
             if day < AS_OF and fell(actuals, day, quarter) == fell(actuals, row["date"], quarter)]  # fmt: skip
    if not alike:
        return dict.fromkeys(MEASURES)
    number = ((row["origin_date"] - date(1970, 1, 1)).days * 31 + row["lead_days"]) * 4 + quarter
    day, issue = alike[number * 2_654_435_761 % 2**32 * len(alike) // 2**32]
    at = datetime.combine(day, time(row["hour"]))
    issued_row = issued_rows.get((issue, at))
    return {name: one_measure(name, row, issued_row, actuals[at]) if issued_row else None for name in MEASURES}


def fell(actuals: dict[datetime, dict[str, Any]], day: date, quarter: int) -> int:
    hours = [actuals[at] for at in (datetime.combine(day, time(6 * quarter + k)) for k in range(6)) if at in actuals]
    snows = sum(hour["snowfall_cm"] for hour in hours) >= SNOWY_QUARTER_CM
    return 2 if snows else int(sum(hour["precipitation_mm"] for hour in hours) >= RAINY_QUARTER_MM)


def one_measure(name: str, row: dict[str, Any], issued_row: dict[str, Any], was: dict[str, Any]) -> float:
    if name in PRECIPITATION:
        return float(issued_row[name])
    low, high = WEATHER[name].low, WEATHER[name].high
    assert low is not None
    assert high is not None
    return float(min(max(row[f"weather_{name}"] + issued_row[name] - was[name], low), high))


def test_rows_without_an_issue_are_as_a_slow_search_finds_them() -> None:
    rows = of_hindsight(training(chain()))
    degraded_rows = of_hindsight(degraded_training(chain()))
    sampled_rows = rows.with_row_index().sample(150, seed=1).sort("index")
    for row in sampled_rows.to_dicts():
        values, got = by_hand(row), degraded_rows.row(row["index"], named=True)
        for name in MEASURES:
            assert got[f"weather_{name}"] == (None if values[name] is None else pytest.approx(values[name], abs=1e-4))
        for name in DEPARTING:
            if values[name] is not None:
                moved = row[f"weather_{name}_departure"] + values[name] - row[f"weather_{name}"]
                assert got[f"weather_{name}_departure"] == pytest.approx(moved, abs=1e-4)
    assert 0 < degraded_rows["weather_temperature_c"].null_count() < degraded_rows.height / 2


def test_rows_with_an_issue_are_those_of_the_matrix() -> None:
    rows = training(chain())
    plain = matrix.build(chain(), matrix.View("orders"), rows["origin_date"].unique().to_list())
    plain = plain.cast(dict.fromkeys(matrix.feature_names(plain), pl.Float32)).filter(pl.col("date") < AS_OF)
    later = pl.col("origin_date") >= FIRST_TOLD
    assert_frame_equal(degraded_training(chain()).filter(later), plain.filter(later), check_exact=True)
    assert rows.filter(later)["hindsight"].any() is False
    names = [name for name in plain.columns if not name.startswith("weather_")]
    assert_frame_equal(degraded_training(chain()).select(names), plain.select(names), check_exact=True)


def changed_from(records: ChainData, day: date) -> ChainData:
    """All weather of a date or later, observed and issued, is another."""
    later = pl.when(pl.col("valid_local").dt.date() >= day)
    other = [later.then(pl.col(name) / 2 + 3).otherwise(name).alias(name) for name in MEASURES]
    return replace(records, weather=records.weather.with_columns(other))


def test_what_came_or_was_issued_for_later_changes_no_row() -> None:
    same, sooner = changed_from(chain(), AS_OF), changed_from(chain(), AS_OF - timedelta(days=7))
    assert_frame_equal(degraded_training(same), degraded_training(chain()), check_exact=True)
    assert not degraded_training(sooner).equals(degraded_training(chain()))


def test_a_model_does_not_know_the_weather_after_its_date() -> None:
    recipe = Recipe(rounds=5, folds=1, members=("level",))
    files = [
        ModelTrainer(TrainingData(records, "orders", START + timedelta(days=DAYS)), recipe).train(AS_OF).files()
        for records in (chain(), changed_from(chain(), AS_OF), changed_from(chain(), AS_OF - timedelta(days=21)))
    ]
    assert files[0] == files[1]
    assert files[0] != files[2]


def test_blocks_and_a_store_without_weather_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    records = replace(chain(), weather=chain().weather.filter(pl.col("store_id") != "S0002"))
    recipe = Recipe(rounds=5, folds=1, members=("level",))
    expected_files = (
        ModelTrainer(TrainingData(records, "orders", START + timedelta(days=DAYS)), recipe).train(AS_OF).files()
    )
    monkeypatch.setattr(training_data, "BLOCK_STORES", 1)
    assert (
        ModelTrainer(TrainingData(records, "orders", START + timedelta(days=DAYS)), recipe).train(AS_OF).files()
        == expected_files
    )


def test_rain_falls_as_often_as_issues_said_it_would() -> None:
    """Given what fell in the quarter; never below 0."""
    spec = ChainSpec(stores=1, start=START, days=400, seed=5, issues_days=200)
    records = ChainData.from_tables(simulate(spec).tables)
    origins = days(START + timedelta(days=20), START + timedelta(days=180), 2)
    rows = matrix.build(records, matrix.View("orders"), origins, options=matrix.TrainingOptions(hindsight=True))
    rows = rows.with_columns(quarter=(pl.col("hour") // 6).cast(pl.Int8))
    issued = WeatherIssues.from_weather(records.weather, records.stores)
    degraded_rows = degrade_hindsight(rows, issued, spec.end).drop_nulls("weather_precipitation_mm")
    assert degraded_rows["weather_precipitation_mm"].min() == 0
    at = degraded_rows.join(issued.quarters, on=["store_id", "date", "quarter"])
    issues = records.weather.join(issued.issues, on=["store_id", "issued_utc"]).with_columns(
        date=pl.col("valid_local").dt.date(), quarter=(pl.col("valid_local").dt.hour() // 6).cast(pl.Int8)
    )
    issues = issues.join(issued.quarters, on=["store_id", "date", "quarter"])
    for fall in (0, 1):
        shares = [(frame.filter(pl.col("precipitation_kind") == fall)[name] < 0.05).mean()
                  for frame, name in ((at, "weather_precipitation_mm"), (issues, "precipitation_mm"))]  # fmt: skip
        assert shares[0] == pytest.approx(shares[1], abs=0.08)


def test_without_past_issues_such_rows_have_no_weather() -> None:
    records = replace(chain(), weather=observations(chain().weather))
    degraded_rows = degraded_training(records)
    assert degraded_rows.select(pl.col("^weather_.*$").is_null().all()).row(0) == (True,) * 9
