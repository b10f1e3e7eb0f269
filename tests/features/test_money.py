"""Currencies of stores, what their amounts count for, and what young stores borrow across them."""

from dataclasses import replace
from datetime import date

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daypart.features import matrix
from daypart.features.chain_data import ChainData
from daypart.features.money import Money, has_several_currencies, with_currency
from tests.features.cold_start.test_similar_stores import DAYS, NEW, OPENS, YOUNG, chain, day, same

SALES = matrix.View("sales")
YEN = 150.0


def in_yen(*ids: str, orders: bool = True) -> ChainData:
    """The chain whose young store opens in Japan, beside stores in dollars."""
    records, abroad = chain(1), pl.col("store_id").is_in(ids)
    currency = pl.when(abroad).then(pl.lit("JPY")).otherwise(pl.lit("USD"))
    sales = pl.when(abroad).then(pl.col("sales") * YEN).otherwise("sales")
    columns = [sales.alias("sales")] if orders else [sales.alias("sales"), pl.lit(None, pl.Float64).alias("orders")]
    return replace(
        records, stores=records.stores.with_columns(currency=currency), demand=records.demand.with_columns(columns)
    )


def rows(records: ChainData, origin: date, view: matrix.View = SALES) -> pl.DataFrame:
    return matrix.build(records, view, [origin])


def test_a_currency_is_the_declared_one_or_the_country_s() -> None:
    stores = pl.DataFrame({
        "store_id": list("abcde"), "country": ["US", "canada", "uk", "AQ", "FR"],
        "currency": [None, None, "usd", None, "EUR"],
    })  # fmt: skip
    assert with_currency(stores)["currency"].to_list() == ["USD", "CAD", "USD", None, "EUR"]
    assert has_several_currencies(stores)
    assert not has_several_currencies(stores.filter(pl.col("store_id").is_in(["a", "c"])))


@pytest.mark.parametrize("orders", [True, False])
def test_a_young_store_alone_in_its_currency_borrows_at_its_own_prices(orders: bool) -> None:
    records, origin = in_yen(YOUNG, orders=orders), day(OPENS + 9)
    is_young = pl.col("store_id") == YOUNG
    past_demand = records.demand.filter(is_young, pl.col("hour_local").dt.date() < origin)
    usual = past_demand.group_by(pl.col("hour_local").dt.date()).agg(pl.col("sales").sum())["sales"].mean()
    smooth_mean = rows(records, origin).filter(is_young).group_by("date").agg(pl.col("smooth").sum())["smooth"].mean()
    assert smooth_mean == pytest.approx(usual, rel=0.25)


@pytest.mark.parametrize("step", [OPENS - 5, OPENS, OPENS + 1, OPENS + 4, OPENS + 20])
def test_what_anyone_sold_later_changes_no_cell_in_two_currencies(step: int) -> None:
    records, origin = in_yen(YOUNG), day(step)
    later = pl.col("hour_local").dt.date() >= origin
    expected_rows = rows(records, origin)
    assert (YOUNG in set(expected_rows["store_id"])) == (step > OPENS)
    dearer = records.demand.with_columns(pl.when(later).then(pl.col("sales") * 7).otherwise("sales").alias("sales"))
    for demand in (records.demand.filter(~later), dearer):
        same(rows(replace(records, demand=demand), origin), expected_rows)


def test_a_store_in_a_currency_in_which_nothing_was_sold_yet_borrows_orders_alone() -> None:
    records, origin = in_yen(NEW), day(OPENS + 9)
    assert NEW not in set(rows(records, origin)["store_id"])
    assert NEW in set(rows(records, origin, matrix.View("orders"))["store_id"])


def test_rows_of_stores_in_the_lender_s_currency_are_as_they_were() -> None:
    origin, is_young = day(OPENS + 9), pl.col("store_id") == YOUNG
    like = set(rows(chain(1), origin).filter(is_young)["store_id"])
    assert like == {YOUNG}
    one_currency = chain(1).stores.with_columns(currency=pl.lit("USD"))
    undeclared = one_currency.with_columns(currency=pl.lit(None, pl.String), country=pl.lit("US"))
    expected_rows = rows(replace(chain(1), stores=one_currency.with_columns(country=pl.lit("US"))), origin)
    same(rows(replace(chain(1), stores=undeclared), origin), expected_rows)


@given(st.floats(0.01, 1e5), st.integers(2, DAYS))
def test_units_follow_what_is_written_and_know_nothing_of_later_days(factor: float, step: int) -> None:
    records = in_yen("S0002")
    abroad, later = pl.col("store_id") == "S0002", pl.col("hour_local").dt.date() >= day(step)
    usual = Money.from_demand(records, "sales").units(day(step))
    scaled = pl.when(abroad).then(pl.col("sales") * factor).otherwise("sales").alias("sales")
    scaled_units = Money.from_demand(replace(records, demand=records.demand.with_columns(scaled)), "sales").units(
        day(step)
    )
    assert scaled_units == pytest.approx(usual | {"JPY": usual["JPY"] * factor}, rel=1e-4)
    cut = Money.from_demand(replace(records, demand=records.demand.filter(~later)), "sales")
    assert cut.units(day(step)) == usual
    assert Money.from_demand(records, "orders").units(day(step)) == {}
