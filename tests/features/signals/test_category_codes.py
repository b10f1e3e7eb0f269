"""What a model's vocabulary has no name for is unknown; what it has keeps its code and its column."""

from datetime import date, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from daypart.features.signals import macro
from daypart.features.signals.category_codes import Vocabulary, encode_categories
from daypart.features.tables.schemas import TABLES

AS_OF = date(2024, 7, 1)
VOCABULARY = Vocabulary(("fair", "10% off", "parade"), ("CPI", "UNRATE"), ("A", "B"))
texts = st.text(st.sampled_from('aAbB1_ ":,[{é'), max_size=6)


def table(name: str, *rows: dict[str, object]) -> pl.DataFrame:
    schema = TABLES[name].schema
    return pl.DataFrame([{column: row.get(column) for column in schema} for row in rows], schema=schema)


def event(name: str, known_on: date | None, kind: str = "promotion") -> dict[str, object]:
    starts = datetime(2024, 5, 1)
    return {"name": name, "kind": kind, "starts_local": starts, "ends_local": starts, "known_on": known_on}


def release(series: str, released_on: date, value: float = 1.0) -> dict[str, object]:
    before = released_on - timedelta(days=1)
    return {"series": series, "observation_date": before, "released_on": released_on, "value": value}


def rows(active: list[list[str] | None]) -> pl.DataFrame:
    schema = {"active_events": pl.List(pl.String), "event_other": pl.Float64, "event_code": pl.Int32,
              "history_last": pl.Float64}  # fmt: skip
    count = [float(len(names or ())) for names in active]
    codes = [77] * len(active)
    return pl.DataFrame([active, count, codes, count], schema=schema)


def test_a_vocabulary_has_the_names_that_were_known_before_its_date_in_order_of_being_known() -> None:
    day = timedelta(days=1)
    events = [event("b", AS_OF - 9 * day), event("a", AS_OF - day), event("z", None), event("b", AS_OF + day),
             event("later", AS_OF), event("dearer", None, "price")]  # fmt: skip
    series = [release("UNRATE", AS_OF - day), release("CPI", AS_OF - day), release("LATER", AS_OF)]
    stores = table("stores", {"store_id": "S2"}, {"store_id": "S1"})
    vocabulary = Vocabulary.known_at(AS_OF, stores, table("events", *events), table("macro", *series))
    assert vocabulary == Vocabulary(("z", "b", "a"), ("CPI", "UNRATE"), ("S1", "S2"))
    assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary


def test_an_unknown_event_has_no_code_and_takes_none_from_a_known_one() -> None:
    active = [None, ["fair"], ["!new"], ["10% off", "fair"], ["!new", "fair", "zoo"], []]
    encoded_rows = VOCABULARY.encode(rows(active))
    assert encoded_rows["event_code"].to_list() == [None, 0, None, 1, 0, None]
    unchanged = rows(active)
    assert encoded_rows.columns == unchanged.columns
    assert_frame_equal(encoded_rows.drop("event_code"), unchanged.drop("event_code"))


def test_without_a_vocabulary_codes_are_as_the_rows_have_them() -> None:
    assert encode_categories(rows([["fair"], None]), None)["event_code"].to_list() == [77, 77]
    assert encode_categories(rows([["fair"], None]), VOCABULARY)["event_code"].to_list() == [0, None]


def test_an_empty_vocabulary_knows_no_name() -> None:
    frame = rows([["fair"], None]).with_columns(macro_CPI_change=pl.lit(1.0))
    encoded_rows = Vocabulary((), (), ()).encode(frame)
    assert encoded_rows["event_code"].to_list() == [None, None]
    assert "macro_CPI_change" not in encoded_rows.columns


def test_a_series_keeps_its_column_when_another_of_almost_the_same_name_comes() -> None:
    released = [release(name, AS_OF - timedelta(days=back), value)
                for name, factor in (("CPI", 2.5), ("cpi", 5.0), ("UNRATE", 1.0))
                for back, value in ((100, 10.0), (3, 10.0 + factor))]  # fmt: skip
    features = macro.macro_features(table("macro", *released), [AS_OF])
    assert features.select("macro_CPI_change", "macro_cpi_change").row(0) == (0.25, 0.5)
    encoded_rows = VOCABULARY.encode(features)
    assert encoded_rows.columns == ["origin_date", "macro_cpi_change", "macro_unrate_change"]
    assert encoded_rows["macro_cpi_change"].to_list() == [0.25]


@given(st.sets(texts, min_size=1, max_size=6))
def test_every_series_has_a_column_of_its_own_that_lightgbm_takes(series: set[str]) -> None:
    columns = macro.feature_columns(sorted(series))
    assert list(columns) == [f"macro_{name}_change" for name in sorted(series)]
    assert len(set(columns.values())) == len(series)
    assert not set("".join(columns.values())) & set('",:[]{}')
    assert all(name.startswith("macro_") and name == name.lower() for name in columns.values())
