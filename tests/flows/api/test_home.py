"""The Python API: its names, its results beside those of the command line, and its errors."""

import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest

import daypart
from daypart import errors
from daypart.flows.home import Home as JobHome
from tests.flows.conftest import World


def test_the_public_names_and_signatures_stay() -> None:
    assert sorted(daypart.__all__) == ["Home", "__version__", "errors", "open", "score", "simulate"]
    methods = {
        name: list(inspect.signature(method).parameters)[1:]
        for name, method in vars(daypart.Home).items()
        if not name.startswith("_") and callable(method)
    }
    assert methods == {
        "ingest": ["table", "data", "mapping", "options"],
        "table": ["name", "version", "at"],
        "versions": ["table"],
        "features": ["origin", "target", "stores", "weather"],
        "train": ["targets", "units", "as_of", "weather", "role", "reason"],
        "forecast": ["origin", "level", "stores", "refresh"],
        "backtest": [
            "start",
            "end",
            "targets",
            "every_days",
            "retrain_every_days",
            "horizon_days",
            "weather",
            "report",
        ],
        "accuracy": ["by", "days"],
        "explain": ["store", "date", "daypart", "hour", "target", "origin"],
        "monitor": [],
        "status": [],
    }
    assert list(inspect.signature(daypart.score).parameters) == ["frame", "by", "actual", "forecast"]
    assert list(inspect.signature(daypart.simulate).parameters) == ["stores", "years", "seed", "weather_days"]


def test_a_published_forecast_is_read_as_the_command_line_reads_it(
    shared_world: World, daypart: Callable[..., object]
) -> None:
    import daypart as package

    home = package.open(shared_world.home)
    assert isinstance(home, JobHome)
    rows = home.forecast(level="day", stores="S0001")
    printed = daypart(shared_world.home, "forecast", "--level", "day", "--store", "S0001", "--json").json  # type: ignore[attr-defined]
    assert rows["forecast"].to_list() == [row["forecast"] for row in printed["forecasts"]]
    assert home.table("demand", 0).collect().height == home.table("demand").collect().height
    assert home.table("demand", at=datetime(2200, 1, 1)).collect().height > 0
    why = home.explain("S0001", rows["business_date"][0])
    assert why.incumbent + sum(reason.amount for reason in why.reasons) == pytest.approx(why.forecast)
    assert "reasons" in repr(why)
    assert "<table" in why._repr_html_()
    assert "tables" in repr(home.status())


def test_features_are_the_rows_that_forecasts_are_made_from(shared_world: World) -> None:
    home = daypart.open(shared_world.home)
    features = home.features(stores=["S0002", "S0001"])
    published = home.forecast(stores=["S0001", "S0002"]).filter(pl.col("target") == "orders", pl.col("forecast") > 0)
    keys = ["store_id", "origin_date", "hour_utc"]
    assert features.select(keys).is_duplicated().sum() == 0
    assert published.join(features, on=keys, how="anti").is_empty()
    assert features["origin_date"].unique().to_list() == [shared_world.origin]


def test_frames_are_ingested_as_files_are(untrained: World) -> None:
    home = daypart.open(untrained.home)
    stores = home.table("stores").collect()
    assert home.ingest("stores", stores.to_pandas()).rows_unchanged == stores.height
    demand = pl.read_parquet(untrained.files / "later.parquet")
    with ThreadPoolExecutor(2) as pool:
        parts = [demand.filter(pl.col("store_id") == "S0001"), demand.filter(pl.col("store_id") != "S0001")]
        reports = list(pool.map(lambda part: home.ingest("demand", part), parts))
    assert sum(report.rows_taken for report in reports) == demand.height
    assert home.ingest("demand", demand.lazy()).rows_unchanged == demand.height


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda home: daypart.open(home.path, engin="dask"), errors.InputError),
        (lambda home: daypart.open(Path(__file__)), errors.InputError),
        (lambda home: daypart.open(home.path / "none").status(), errors.NotKnownError),
        (lambda home: home.ingest("demand", pl.DataFrame({"store": ["S0001"]})), errors.SchemaError),
        (lambda home: home.ingest("demand", 5), errors.InputError),
        (lambda home: home.ingest("stores", pl.DataFrame(), skip_bod=True), errors.InputError),
        (lambda home: home.features("1999-01-01"), errors.NotKnownError),
        (lambda home: home.features(date(2199, 1, 1)), errors.NotKnownError),
        (lambda home: home.forecast(stores="S9999"), errors.NotKnownError),
        (lambda home: home.forecast(level="minute"), errors.InputError),
        (lambda home: home.train("order"), errors.InputError),
        (lambda home: home.accuracy("weekday"), errors.InputError),
        (lambda home: home.table("demand", 99), errors.NotKnownError),
    ],
)
def test_bad_input_is_an_error_that_says_what_to_do(
    shared_world: World, call: Callable[[daypart.Home], object], kind: type[errors.DaypartError]
) -> None:
    with pytest.raises(kind) as raised:
        call(daypart.open(shared_world.home))
    assert "\n" not in str(raised.value)
    assert raised.value.remedy


def test_scores_equal_a_plain_loop() -> None:
    frame = pl.DataFrame({
        "store": ["A", "A", "B"], "actual": [10.0, 0.0, 4.0], "forecast": [8.0, 1.0, 4.0],
        "incumbent": [14.0, 0.0, 5.0], "q10": [6.0, 0.0, 5.0], "q90": [12.0, 0.0, 6.0],
    })  # fmt: skip
    scores = {row["store"]: row for row in daypart.score(frame.to_pandas(), by="store").to_dicts()}
    assert scores["A"]["accuracy_bps"] == pytest.approx(10_000 * (1 - 3 / 10))
    assert scores["A"]["bias_bps"] == pytest.approx(10_000 * -1 / 10)
    assert scores["A"]["gain_bps"] == pytest.approx(10_000 * (4 - 3) / 10)
    assert (scores["A"]["coverage"], scores["B"]["coverage"]) == (1.0, 0.0)
    with pytest.raises(errors.SchemaError, match="no column actual"):
        daypart.score(frame.drop("actual"))
    with pytest.raises(errors.InputError, match="no forecast"):
        daypart.score(frame.with_columns(forecast=None).cast({"forecast": pl.Float64}))
