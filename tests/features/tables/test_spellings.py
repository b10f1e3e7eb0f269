"""Spellings of countries, subdivisions, currencies, zones, weekdays and kinds of events."""

from datetime import date

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daypart.features import places
from daypart.features.signals.calendar import public_holidays
from daypart.features.tables import spellings
from daypart.features.tables.conform import ConformedTable, conform
from daypart.features.tables.schemas import EVENTS, HOURS, STORES
from tests.features.tables.test_conform import one_reason

ZONES = pl.DataFrame({"store_id": ["S"], "timezone": ["UTC"]})


def store(**cells: str) -> ConformedTable:
    return conform(pl.DataFrame([{"store_id": "S", "timezone": "UTC", "country": "US", **cells}]), STORES)


def holidays_of(country: str, subdivision: str | None = None) -> set[str]:
    rows = {"store_id": ["S"], "country": [country], "subdivision": [subdivision]}
    stores = pl.DataFrame(rows, schema_overrides={"subdivision": pl.String})
    return set(public_holidays(stores, date(2025, 1, 1), date(2025, 12, 31))["holiday"])


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"country": "us"}, ("US", None)),
        ({"country": "USA"}, ("US", None)),
        ({"country": "United States"}, ("US", None)),
        ({"country": "the united states of america"}, ("US", None)),
        ({"country": "UK"}, ("GB", None)),
        ({"country": "England"}, ("GB", "ENG")),
        ({"country": "gb", "subdivision": "scotland"}, ("GB", "SCT")),
        ({"country": "US-CA"}, ("US", "CA")),
        ({"country": "US", "subdivision": "US-CA"}, ("US", "CA")),
        ({"country": "ca", "subdivision": "on"}, ("CA", "ON")),
        ({"country": "Canada", "subdivision": "Québec"}, ("CA", "QC")),
        ({"country": "Côte d'Ivoire"}, ("CI", None)),
        ({"country": "NA"}, ("NA", None)),
        ({"country": "FR", "subdivision": "FR-75"}, ("FR", "75")),
    ],
)
def test_the_usual_spellings_of_places_are_kept_as_iso_codes(
    cells: dict[str, str], expected: tuple[str, str | None]
) -> None:
    conformed = store(**cells)
    assert conformed.refused.is_empty()
    assert conformed.rows.select("country", "subdivision").row(0) == expected


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"country": "XX"}, "is no country: expected a code such as US"),
        ({"country": "Germny"}, "is no country: did you mean DE (Germany) or GG (Guernsey)?"),
        ({"country": "US-CA", "subdivision": "TX"}, "is no country: expected a code such as US"),
        ({"subdivision": "Californa"}, "is no part of US: did you mean CA?"),
        ({"currency": "Euro"}, "is no ISO 4217 currency: did you mean EUR?"),
        ({"timezone": "America/Chicgo"}, "is not an IANA time zone: did you mean America/Chicago?"),
    ],
)
def test_what_is_on_no_list_is_refused_with_what_is_near(cells: dict[str, str], reason: str) -> None:
    assert one_reason(store(**cells)).startswith(reason.removesuffix("?"))


@given(st.text(max_size=30))
def test_any_text_as_a_country_is_kept_as_a_code_or_refused(text: str) -> None:
    conformed = store(country=text)
    countries = conformed.rows["country"].to_list()
    assert countries == [] or (countries[0] in places.CURRENCY_OF or countries == ["AQ"])
    assert bool(countries) != bool(conformed.refused.height)


@given(st.sampled_from(sorted(places.CURRENCY_OF)), st.sampled_from([str.lower, str.upper, str.title, str]))
def test_every_country_s_code_is_read_in_any_case_and_pays_in_a_known_currency(code: str, write: type[str]) -> None:
    assert places.country_code(write(code)) == code
    assert places.currency_code(places.CURRENCY_OF[code].lower()) == places.CURRENCY_OF[code]


def test_conforming_again_changes_nothing() -> None:
    once = store(country="England", timezone="europe/london", currency="gbp").rows
    assert once.select("timezone", "currency").row(0) == ("Europe/London", "GBP")
    assert conform(once, STORES).rows.equals(once)


def test_stores_ingested_with_an_odd_spelling_have_their_holidays() -> None:
    assert holidays_of("us") == holidays_of("United States") == holidays_of("US")
    assert holidays_of("US-CA") == holidays_of("us", "california") == holidays_of("US", "CA")
    assert holidays_of("ca", "on") == holidays_of("CA", "ON") != holidays_of("CA")
    assert holidays_of("XX") == set()


def test_a_country_without_holidays_is_taken_and_named() -> None:
    assert "no public holidays are known of BV" in " ".join(spellings.notices(store(country="BV").rows))


def test_what_is_derived_is_said() -> None:
    rows = pl.concat([store(country="CA").rows, store(country="FR", subdivision="75", currency="EUR").rows])
    notices = spellings.notices(rows)
    assert notices == [
        "no public holidays of its own are known of FR-75: its country's count",
        "stores without a currency have their country's: CA CAD",
    ]


def test_weekdays_and_kinds_of_events_by_name() -> None:
    days = ["Monday", "tue", "WED", "Thurs", "5", "sat.", "7"]
    hours = pl.DataFrame({"store_id": "S", "weekday": days, "opens": "08:00", "closes": "17:00"})
    assert conform(hours, HOURS, ZONES).rows["weekday"].to_list() == [1, 2, 3, 4, 5, 6, 7]
    assert one_reason(conform(hours.head(1).with_columns(weekday=pl.lit("T")), HOURS, ZONES)) == "is not a whole number"
    kinds = ["Promotion", "LOCAL EVENT", "local_event", "Price", "My own"]
    events = pl.DataFrame({"name": list("abcde"), "kind": kinds, "starts_local": "2025-01-01 00:00:00",
                           "ends_local": "2025-01-02 00:00:00"})  # fmt: skip
    event_kinds = conform(events, EVENTS, ZONES).rows["kind"].to_list()
    assert event_kinds == ["promotion", "local event", "local event", "price", "My own"]
