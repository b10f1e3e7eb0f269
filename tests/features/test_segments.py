from datetime import date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daypart.features.errors import InputError
from daypart.features.segments import NO_VOLUMES, VOLUME_DAYS, WAYS, Rule, mean_daily, segments

TEXT = st.one_of(st.none(), st.sampled_from(["West", "New York", "café", "", "a"]))


def stores(*rows: tuple[str, str | None, str | None, str | None]) -> pl.DataFrame:
    names = ["store_id", "region", "format", "subdivision"]
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")


@st.composite
def chains(draw: st.DrawFn) -> tuple[pl.DataFrame, pl.DataFrame]:
    ids = draw(st.lists(st.sampled_from([f"S{n}" for n in range(12)]), unique=True))
    table = stores(*((name, draw(TEXT), draw(TEXT), draw(TEXT)) for name in ids))
    sold = [name for name in ids if draw(st.booleans())]
    volumes = [draw(st.floats(0.1, 1e6)) for _ in sold]
    return table, pl.DataFrame({"store_id": sold, "volume": volumes}, schema=NO_VOLUMES.schema)


@given(chains(), st.sampled_from(WAYS), st.integers(2, 9), st.booleans())
def test_every_store_has_exactly_one_segment(
    chain: tuple[pl.DataFrame, pl.DataFrame], by: str, classes: int, cut: bool
) -> None:
    table, volumes = chain
    rule = Rule(by, classes, (10.0, 500.0) if cut else ())  # type: ignore[arg-type]
    segment_rows = segments(table, rule, volumes)
    assert segment_rows["store_id"].to_list() == sorted(table["store_id"])
    assert segment_rows["segment"].null_count() == (segment_rows.height if by == "chain" else 0)
    again = segments(table.reverse(), rule, volumes.reverse())
    assert again.equals(segment_rows)
    if by == "volume":
        ranked = segment_rows.join(volumes, on="store_id").sort("volume")["segment"].to_list()
        assert ranked == sorted(ranked), "a store that sells more is in no lower class"


def test_classes_hold_about_as_many_stores_each() -> None:
    table = stores(*((f"S{n:02d}", None, None, None) for n in range(12)))
    volumes = table.select("store_id", volume=pl.int_range(12).cast(pl.Float64) + 1)
    assert segments(table, Rule("volume", 3), volumes)["segment"].value_counts()["count"].to_list() == [4, 4, 4]
    assert segments(table, Rule("volume", 12), volumes)["segment"].to_list()[0] == "volume-01"


def test_a_store_that_sold_nothing_is_placed_by_its_like() -> None:
    table = stores(
        ("A", "West", "mall", None), ("B", "West", "mall", None), ("C", "East", "mall", None),
        ("D", "West", "mall", None), ("E", "North", "mall", None), ("F", "North", "kiosk", None),
    )  # fmt: skip
    volumes = pl.DataFrame({"store_id": ["A", "B", "C"], "volume": [300.0, 300.0, 20.0]})
    segment_by_store = dict(segments(table, Rule("volume", cuts=(10.0, 100.0)), volumes).iter_rows())
    assert segment_by_store == {
        "A": "volume-3", "B": "volume-3", "C": "volume-2",
        "D": "volume-3", "E": "volume-3", "F": "volume-1",
    }  # fmt: skip


def test_names_that_would_be_the_same_are_refused() -> None:
    table = stores(("A", "New York", None, None), ("B", "New/York", None, None))
    with pytest.raises(InputError, match="'New York' and 'New/York' would both be the segment New-York: rename"):
        segments(table, Rule("region"), NO_VOLUMES)


def test_volume_is_by_day_of_trade_of_the_days_before() -> None:
    last = date(2025, 6, 1)

    def row(store: str, days_before: int, hour: int, orders: float) -> tuple[str, datetime, datetime, float]:
        local = datetime(last.year, last.month, last.day, hour) - timedelta(days=days_before)
        return store, local, local + timedelta(hours=6), orders

    rows = [
        row("A", 1, 23, 5), row("A", 1, 9, 4), row("A", VOLUME_DAYS, 9, 3), row("A", VOLUME_DAYS + 1, 9, 99),
        row("A", 0, 9, 99), row("A", 2, 9, 0), row("B", VOLUME_DAYS + 1, 9, 7),
    ]  # fmt: skip
    demand = pl.DataFrame(rows, schema=["store_id", "hour_local", "hour_utc", "orders"], orient="row")
    assert mean_daily(demand.lazy(), pl.DataFrame({"store_id": ["A"]}), "orders", last).rows() == [("A", 6.0)]
