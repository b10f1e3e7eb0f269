import pickle
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from features.errors import DamagedError, NotKnownError, SchemaError, ValueRefused
from features.tables import TABLES
from flows.adapters import lake as module
from flows.adapters.lake import Lake, Upserted
from flows.adapters.lake_tables import LAKE
from flows.adapters.staging import Staging

DAY = date(2025, 1, 30)
START = datetime.fromisoformat("2025-01-30")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def demand(hours: Iterable[int], store: str = "A", **values: float | None) -> pl.DataFrame:
    """One row per hour after START; Delhi's clock, so that local and UTC months differ."""
    utc = [START + timedelta(hours=hour) for hour in hours]
    local = [moment + timedelta(hours=5, minutes=30) for moment in utc]
    frame = pl.DataFrame({"store_id": store, "hour_local": local, "hour_utc": utc})
    return frame.with_columns(pl.lit(v, pl.Float64).alias(n) for n, v in values.items())


def forecasts(target: str = "orders", day: date = DAY, hours: int = 3, value: float = 1.0) -> pl.DataFrame:
    midnight = datetime.fromisoformat(day.isoformat())
    utc = [midnight + timedelta(hours=hour) for hour in range(hours)]
    known: dict[str, object] = {"store_id": "A", "target": target, "origin_date": day, "lead_days": 0}
    frame = pl.DataFrame({**known, "hour_local": utc, "hour_utc": utc, "business_date": day})
    numbers = {name: pl.lit(value) for name in ("forecast", "q10", "q50", "q90", "incumbent")}
    return frame.with_columns(**numbers, model_version=pl.lit("v1"), tier=pl.lit("standard"))


def rows_of(lake: Lake, table: str, version: int | None = None) -> pl.DataFrame:
    return lake.scan(table, version).collect().sort(LAKE[table].key)


def one_of_each(table: str) -> pl.DataFrame:
    """One row with a value in every column."""
    values: dict[type[pl.DataType], object] = {
        pl.String: "é'\"x",
        pl.Float64: 0.1,
        pl.Date: date(2025, 3, 30),
        pl.Int8: 7,
        pl.Int16: -3,
        pl.Int64: 2**40,
        pl.Boolean: True,
        pl.Datetime: datetime.fromisoformat("2025-03-30 01:59:59.123457"),
    }
    schema = dict(LAKE[table].schema)
    return pl.DataFrame({n: [values[type(dtype)]] for n, dtype in schema.items()}, schema=schema)


@pytest.mark.parametrize("table", LAKE)
def test_every_column_of_every_table_comes_back_exactly(lake: Lake, table: str) -> None:
    rows = one_of_each(table)
    lake.upsert(table, rows)
    assert_frame_equal(lake.scan(table).collect(), rows)
    assert lake.upsert(table, rows) == Upserted(0, 0, 1, 0)


@pytest.mark.parametrize("table", LAKE)
def test_a_row_with_only_what_is_needed_is_found_again_by_its_nulls(lake: Lake, table: str) -> None:
    rows = one_of_each(table).drop(LAKE[table].optional)
    lake.upsert(table, rows)
    assert lake.upsert(table, rows) == Upserted(0, 0, 1, 0)
    found = lake.scan(table).collect()
    assert found.height == 1
    assert {name for name in found.columns if found[name].is_null().any()} == LAKE[table].optional


def test_the_canonical_tables_are_in_the_lake_as_they_are() -> None:
    for name, table in TABLES.items():
        assert (dict(LAKE[name].schema), LAKE[name].key) == (table.schema, table.key)
        assert "month" not in LAKE[name].schema


def test_an_upsert_counts_what_is_new_changed_and_the_same(lake: Lake) -> None:
    assert lake.upsert("demand", demand(range(10), orders=1.0)) == Upserted(10, 0, 0, 0)
    changed = pl.concat([demand(range(8, 10), orders=1.0), demand(range(5, 8), orders=2.0)])
    told = pl.concat([changed, demand(range(10, 14), orders=3.0)])
    assert lake.upsert("demand", told) == Upserted(4, 3, 2, 1)
    assert rows_of(lake, "demand")["orders"].to_list() == [1.0] * 5 + [2.0] * 3 + [1.0] * 2 + [3.0] * 4
    assert lake.upsert("demand", told) == Upserted(0, 0, 9, 1)
    assert lake.history("demand")["change"].to_list() == ["upsert", "upsert"]


def test_a_column_that_is_absent_keeps_what_is_stored_and_null_replaces_it(lake: Lake) -> None:
    lake.upsert("demand", demand(range(3), orders=5.0))
    assert lake.upsert("demand", demand(range(2), sales=9.5)).replaced == 2
    assert lake.upsert("demand", demand(range(1), orders=None, sales=8.0)) == Upserted(0, 1, 0, 2)
    assert rows_of(lake, "demand").select("orders", "sales").rows() == [(None, 8.0), (5.0, 9.5), (5.0, None)]
    assert lake.upsert("demand", demand(range(1), orders=None)) == Upserted(0, 0, 1, 2)


def test_null_keys_match_null_keys_and_nothing_else(lake: Lake) -> None:
    observed = one_of_each("weather").with_columns(issued_utc=pl.lit(None, pl.Datetime("us")))
    issued = one_of_each("weather")
    lake.upsert("weather", pl.concat([observed, issued]))
    done = lake.upsert("weather", observed.with_columns(temperature_c=pl.lit(20.0)))
    assert done == Upserted(0, 1, 0, 1)
    found = lake.scan("weather").collect().sort("issued_utc", nulls_last=True)
    assert found["temperature_c"].to_list() == [0.1, 20.0]


def test_only_the_partitions_that_change_are_rewritten(lake: Lake) -> None:
    lake.upsert("demand", demand(range(0, 24 * 60, 6), orders=1.0))
    months = {path.name for path in (lake.root / "demand").glob("month=*")}
    assert months == {"month=2025-01", "month=2025-02", "month=2025-03"}
    files = set((lake.root / "demand").rglob("*.parquet"))
    lake.upsert("demand", pl.concat([demand([0], orders=1.0), demand([24 * 10], orders=2.0)]))
    fresh = set((lake.root / "demand").rglob("month=*/*.parquet")) - files
    assert [path.parent.name for path in fresh] == ["month=2025-02"]
    assert lake.scan("demand").collect().height == 240


def test_many_small_upserts_are_gathered_into_few_files(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CROWDED_FILES", 3)
    for hour in range(4):
        lake.upsert("demand", demand([hour], orders=float(hour)))
    delta = lake.open("demand")
    assert delta is not None
    assert len(delta.file_uris()) == 1
    assert rows_of(lake, "demand")["orders"].to_list() == [0.0, 1.0, 2.0, 3.0]


def test_every_earlier_version_stays_readable(lake: Lake) -> None:
    for number in range(4):
        lake.upsert("demand", demand(range(3), orders=float(number)))
    for number in range(4):
        assert rows_of(lake, "demand", number)["orders"].unique().to_list() == [float(number)]
    history = lake.history("demand")
    assert history["version"].to_list() == [3, 2, 1, 0]
    assert history.schema["written_utc"] == pl.Datetime("us")
    with pytest.raises(NotKnownError, match="no version 9: choose one from 0 to 3"):
        lake.scan("demand", 9)


def test_a_table_is_opened_once_until_somebody_writes_it(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others' commits are seen at once, earlier versions move nothing, and a damaged log is not hidden."""
    other, opened = Lake(lake.root), 0
    open_anew = Lake.open_anew

    def counted(self: Lake, table: str) -> object:
        nonlocal opened
        opened += self is lake
        return open_anew(self, table)

    other.upsert("demand", demand([0], orders=1.0))
    monkeypatch.setattr(Lake, "open_anew", counted)
    for _ in range(3):
        assert rows_of(lake, "demand").height == 1
    assert opened == 1
    other.upsert("demand", demand([1], orders=2.0))
    assert [rows_of(lake, "demand", version).height for version in (None, 0, 1, None)] == [2, 1, 2, 2]
    assert lake.version("demand") == 1
    copy = pickle.loads(pickle.dumps(lake))
    assert rows_of(copy, "demand").height == 2
    entry = lake.root / "demand" / "_delta_log" / f"{1:020}.json"
    entry.write_bytes(b"")
    with pytest.raises(DamagedError, match="version 1"):
        lake.version("demand")


@pytest.mark.parametrize("staged", [False, True])
def test_replace_puts_one_publication_in_the_place_of_another(lake: Lake, staged: bool) -> None:
    next_day = DAY + timedelta(days=1)

    def put(*parts: pl.DataFrame, day: date = DAY) -> int:
        if not staged:
            return lake.replace("forecasts", pl.concat(parts), day)
        with Staging("forecasts", lake.root.parent) as waiting:
            for part in parts:
                waiting.add(part)
            return lake.replace("forecasts", waiting, day)

    def store(name: str, value: float = 1.0, hours: int = 3) -> pl.DataFrame:
        return forecasts(hours=hours, value=value).with_columns(store_id=pl.lit(name))

    assert put(store("A"), store("B")) == 0
    assert put(forecasts(day=next_day), day=next_day) == 1
    assert put(store("A"), store("B")) == 1
    for other in (
        [store("A")],
        [store("A"), store("C")],
        [store("A"), store("B", 9.0)],
        [store("A", hours=2), store("B")],
    ):
        before = lake.version("forecasts")
        assert put(*other) == before + 1
        found = lake.scan("forecasts").filter(pl.col("origin_date") == DAY).collect()
        wanted = pl.concat(other)
        assert_frame_equal(found.sort("store_id", "hour_utc").select(wanted.columns), wanted, check_dtypes=False)
        assert put(*other) == before + 1
    assert put(store("A").clear()) == 6
    assert lake.scan("forecasts").collect()["origin_date"].to_list() == [next_day] * 3


def test_a_table_takes_a_column_that_came_after_it(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    table = LAKE["forecasts"]
    old = replace(table, schema={name: kind for name, kind in table.schema.items() if name != "scale"})
    with monkeypatch.context() as before:
        before.setitem(LAKE, "forecasts", old)
        lake.replace("forecasts", forecasts(), DAY)
    assert rows_of(lake, "forecasts")["scale"].to_list() == [None] * 3
    assert lake.replace("forecasts", forecasts(), DAY) == 0, "nothing new is told"
    assert lake.replace("forecasts", forecasts().with_columns(scale=pl.lit(2.0)), DAY) == 2
    assert lake.history("forecasts")["change"].to_list() == ["replace", "columns", "replace"]
    assert rows_of(lake, "forecasts")["scale"].to_list() == [2.0] * 3
    assert rows_of(lake, "forecasts", 0)["scale"].to_list() == [None] * 3


def test_an_upsert_fills_a_column_that_came_after_the_table(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    table = LAKE["forecasts"]
    old = replace(table, schema={name: kind for name, kind in table.schema.items() if name != "scale"})
    with monkeypatch.context() as before:
        before.setitem(LAKE, "forecasts", old)
        lake.upsert("forecasts", forecasts())
    assert lake.upsert("forecasts", forecasts(hours=1).with_columns(scale=pl.lit(2.0))) == Upserted(0, 1, 0, 2)
    assert rows_of(lake, "forecasts")["scale"].to_list() == [2.0, None, None]


def test_an_upsert_changes_rows_of_a_publication_and_leaves_the_rest(lake: Lake) -> None:
    lake.upsert("forecasts", pl.concat([forecasts(), forecasts(day=DAY + timedelta(days=1))]))
    assert lake.upsert("forecasts", forecasts(hours=1, value=7.0)) == Upserted(0, 1, 0, 1)
    assert rows_of(lake, "forecasts")["forecast"].to_list() == [7.0, 1.0, 1.0, 1.0, 1.0, 1.0]


def test_rows_beside_many_partitions_are_not_taken_for_a_crowd(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CROWDED_FILES", 2)
    lake.upsert("demand", demand(range(0, 24 * 60, 6), orders=1.0))
    lake.upsert("demand", demand(range(0, 24 * 60, 6), store="B", orders=1.0))
    assert len(list((lake.root / "demand").rglob("month=*/*.parquet"))) == 6
    assert len(lake.at_version("demand").file_uris()) == 6


def test_replace_refuses_rows_outside(lake: Lake) -> None:
    with pytest.raises(ValueRefused, match="3 rows lie outside origin_date"):
        lake.replace("forecasts", forecasts(), DAY + timedelta(days=1))
    assert not lake.exists("forecasts")


def test_append_adds(lake: Lake) -> None:
    run = one_of_each("runs")
    assert lake.append("runs", run) == 0
    assert lake.append("runs", run.with_columns(run_id=pl.lit("b"))) == 1
    assert rows_of(lake, "runs")["run_id"].to_list() == ["b", "é'\"x"]


def test_what_is_not_there_is_told_with_what_to_do(lake: Lake) -> None:
    with pytest.raises(NotKnownError, match="no table labor in .*: run `daypart ingest labor FILE` first"):
        lake.scan("labor")
    with pytest.raises(NotKnownError, match="run `daypart forecast` first"):
        lake.history("forecasts")
    with pytest.raises(NotKnownError, match="unknown table 'labour': expected one of stores, demand"):
        lake.exists("labour")
    assert lake.version("labor") is None
    assert lake.versions() == {}
    assert lake.scan_or_empty("labor").collect().schema == LAKE["labor"].schema
    assert not lake.root.exists()


@pytest.mark.parametrize("written", [False, True])
def test_rows_that_do_not_fit_are_refused_and_nothing_is_written(lake: Lake, written: bool) -> None:
    good = demand(range(3), orders=1.0)
    if written:
        lake.upsert("demand", good)
    with pytest.raises(ValueRefused, match="2 rows share a key, such as A, ") as refused:
        lake.upsert("demand", pl.concat([good, good.tail(1)]))
    assert isinstance(refused.value.refused, pl.DataFrame)
    assert refused.value.refused.height == 2
    with pytest.raises(ValueRefused, match="3 rows lack store_id or hour_utc"):
        lake.upsert("demand", good.with_columns(hour_utc=pl.lit(None, pl.Datetime("us"))))
    with pytest.raises(SchemaError, match="unknown column guests"):
        lake.upsert("demand", good.with_columns(guests=1))
    with pytest.raises(SchemaError, match="missing column hour_local"):
        lake.upsert("demand", good.drop("hour_local"))
    with pytest.raises(SchemaError, match="of another type"):
        lake.upsert("demand", good.with_columns(orders=pl.lit("many")))
    assert lake.version("demand") == (0 if written else None)


KEYS = st.tuples(st.sampled_from("AB"), st.integers(0, 5), st.sampled_from([None, 0, 3]))
VALUES = st.fixed_dictionaries({"to_hour": st.sampled_from([None, 3, 9]), "reason": st.sampled_from([None, "x"])})
BATCHES = st.lists(
    st.tuples(st.dictionaries(KEYS, VALUES, min_size=1, max_size=6), st.sampled_from([(), ("reason",)])),
    min_size=1,
    max_size=5,
)


@given(BATCHES)
@settings(max_examples=25)
def test_a_series_of_upserts_equals_a_dictionary(batches: list[tuple[dict, tuple[str, ...]]]) -> None:
    table = LAKE["closures"]
    with TemporaryDirectory() as folder:
        lake, expected, past = Lake(folder), {}, []
        for batch, dropped in batches:
            before, counts = dict(expected), [0, 0, 0]
            for key, values in batch.items():
                old = expected.get(key, {"to_hour": None, "reason": None})
                new = {n: old[n] if n in dropped else v for n, v in values.items()}
                counts[0 if key not in before else 2 if new == old else 1] += 1
                expected[key] = new
            told = _closures(batch).drop(dropped)
            done = lake.upsert("closures", told.sample(fraction=1.0, shuffle=True, seed=1))
            changed = not past or counts[0] + counts[1] > 0
            past = [*past, dict(expected)] if changed else past
            assert done == Upserted(*counts, len(past) - 1)
        for version, rows in enumerate(past):
            found = lake.scan("closures", version).collect().sort(table.key)
            assert_frame_equal(found, _closures(rows).sort(table.key))


def _closures(rows: dict) -> pl.DataFrame:
    listed = [{"store_id": s, "date": DAY + timedelta(days=d), "from_hour": h, **v} for (s, d, h), v in rows.items()]
    return pl.DataFrame(listed, schema=dict(LAKE["closures"].schema))


def test_the_edges_of_a_column_are_of_all_files_and_of_a_version(lake: Lake) -> None:
    with pytest.raises(NotKnownError, match="no table demand"):
        lake.edge("demand", "hour_utc", "min")
    versions = [
        lake.upsert("demand", demand(hours, orders=1.0)).version for hours in ([30, 40], [2_000, 3_000], [5, 900])
    ]
    edges = [tuple(lake.edge("demand", "hour_utc", end, version) for end in ("min", "max")) for version in versions]
    hours = [(30, 40), (30, 3_000), (5, 3_000)]
    assert edges == [tuple(START + timedelta(hours=hour) for hour in pair) for pair in hours]
    assert lake.edge("demand", "hour_utc", "max") == START + timedelta(hours=3_000)


def test_a_table_whose_rows_are_gone_has_no_edge(lake: Lake) -> None:
    rows = forecasts()
    lake.replace("forecasts", rows, DAY)
    assert lake.edge("forecasts", "hour_utc", "max") == START + timedelta(hours=2)
    lake.replace("forecasts", rows.clear(), DAY)
    with pytest.raises(NotKnownError, match="no rows in table forecasts"):
        lake.edge("forecasts", "hour_utc", "max")
