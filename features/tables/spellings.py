"""Spellings: values that come from a list, brought to the one spelling that tables keep, or refused by name."""

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from functools import cache
from zoneinfo import available_timezones

import polars as pl

from daypart.features import places
from daypart.features.tables.schemas import EVENT_KINDS, EVENTS, HOURS, STORES, Table

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MEANINGFUL_KINDS = (*EVENT_KINDS, "price")
"""Kinds of events that forecasts tell apart; others may have any name."""
PLACE = ["country", "subdivision"]
CODE_LENGTH = 3
"""Letters and digits at most of a subdivision's code in ISO 3166-2."""


def normalize_spellings(cells: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Return the cells of a table, as text, in the spelling that it keeps; a value on no list stays as it is.

    Countries, subdivisions and currencies become ISO codes, zones and kinds of events take the case of their list, and
    names of weekdays become their numbers. A country such as US-CA or England gives the subdivision too.
    """
    if table is STORES:
        return _with_place_codes(
            _with_spelling(_with_spelling(cells, "timezone", zone_name), "currency", places.currency_code)
        )
    if table is HOURS:
        return _with_spelling(cells, "weekday", _weekday)
    return _with_spelling(cells, "kind", _kind) if table is EVENTS else cells


def refused_places(stores: pl.DataFrame) -> Iterator[tuple[str, pl.Expr, str]]:
    """Yield column, rows and reason for each country, subdivision and currency of normalized stores on no list."""
    for country in stores["country"].drop_nulls().unique().sort():
        if places.country_code(country) is None:
            near = _suggestion(places.near_countries(country))
            yield "country", pl.col("country") == country, f"is no country: {near or 'expected a code such as US'}"
    if "subdivision" in stores.columns:
        pairs = stores.select(PLACE).drop_nulls().unique().sort(PLACE)
        for country, part in pairs.iter_rows():
            if places.country_code(country) == country and not _is_part(country, part):
                rows = (pl.col("country") == country) & (pl.col("subdivision") == part)
                near_parts = _suggestion(places.near_subdivisions(country, part))
                yield "subdivision", rows, f"is no part of {country}: {near_parts or 'give its ISO 3166-2 code'}"
    if "currency" in stores.columns:
        for text in stores["currency"].drop_nulls().unique().sort():
            if places.currency_code(text) is None:
                near = _suggestion(places.near_currencies(text))
                reason = f"is no ISO 4217 currency: {near or 'expected a code such as USD'}"
                yield "currency", pl.col("currency") == text, reason


def zone_hint(zone: str) -> str:
    """Return a hint with zones that are spelled much like an unknown text; empty where there is none."""
    return _suggestion(get_close_matches(zone.strip().lower().replace(" ", "_"), _zones(), n=3, cutoff=0.7), _zones())


@cache
def zone_name(text: str) -> str | None:
    """Return the IANA name of a time zone, in any case and with spaces for underscores; null where it is none."""
    return _zones().get(text.strip().lower().replace(" ", "_"))


@cache
def _zones() -> dict[str, str]:
    return {name.lower(): name for name in sorted(available_timezones())}


def _with_place_codes(stores: pl.DataFrame) -> pl.DataFrame:
    if stores.schema.get("country") != pl.String:
        return stores
    has_subdivision = stores.schema.get("subdivision") == pl.String
    parts = pl.col("subdivision") if has_subdivision else pl.lit(None, pl.String).alias("subdivision")
    pairs = stores.select("country", parts).unique()
    codes = {pair: _codes(*pair) for pair in pairs.iter_rows() if pair[0] is not None}
    corrections = [(*pair, *code_pair) for pair, code_pair in codes.items() if code_pair != pair]
    if not corrections:
        return stores
    schema = dict.fromkeys((*PLACE, "country_code", "subdivision_code"), pl.String)
    coded = pl.DataFrame(corrections, schema, orient="row").with_columns(changed=pl.lit(value=True))
    joined = stores.with_columns(parts).join(coded, on=PLACE, how="left", nulls_equal=True, maintain_order="left")
    changes = [pl.when(pl.col("changed")).then(f"{name}_code").otherwise(name).alias(name) for name in PLACE]
    placed = joined.with_columns(changes)
    keeps = has_subdivision or placed["subdivision"].is_not_null().any()
    return placed.select(*stores.columns, *([] if has_subdivision or not keeps else ["subdivision"]))


def _codes(country: str, part: str | None) -> tuple[str, str | None]:
    """Return country and subdivision as the table keeps them; an unknown one stays as it is."""
    code, subdivision = places.place_codes(country, part)
    compound = places.country_code(country) is None
    if code is None or (compound and subdivision is None):
        return country, part
    if subdivision is None and part is not None:
        bare = part.upper().removeprefix(f"{code}-")
        return code, bare if _is_code(bare) else part
    return code, subdivision


def _is_part(country: str, part: str) -> bool:
    """Return whether the library knows the part, or it may be a part without holidays of its own."""
    return places.subdivision_code(country, part) is not None or _is_code(part)


def _is_code(part: str) -> bool:
    return part.isascii() and part.isalnum() and part.isupper() | part.isdigit() and len(part) <= CODE_LENGTH


def _weekday(text: str) -> str | None:
    name = text.strip().lower().rstrip(".")
    numbers = [number for number, day in enumerate(WEEKDAYS, 1) if len(name) > 1 and day.startswith(name)]
    return str(numbers[0]) if len(numbers) == 1 and len(name) > 1 else None


def _kind(text: str) -> str | None:
    plain = " ".join(text.lower().replace("_", " ").replace("-", " ").split())
    return next((kind for kind in MEANINGFUL_KINDS if plain in (kind, f"{kind}s")), None)


def _with_spelling(cells: pl.DataFrame, name: str, read: Callable[[str], str | None]) -> pl.DataFrame:
    """Return the cells with a column's texts in their one spelling, where `read` knows them."""
    if cells.schema.get(name) != pl.String:
        return cells
    codes = {text: code for text in cells[name].drop_nulls().unique() if (code := read(text)) not in (None, text)}
    return cells.with_columns(pl.col(name).replace(codes)) if codes else cells


def _suggestion(near: list[str], labels: dict[str, str] | None = None) -> str:
    listed = [(labels or {}).get(name, name) for name in near]
    return f"did you mean {' or '.join(listed)}?" if listed else ""


def notices(stores: pl.DataFrame) -> list[str]:
    """Return a line for each default that conformed stores rely on: holidays of the country or none, currencies."""
    lines = []
    countries = stores["country"].drop_nulls().unique().sort()
    if bare := [code for code in countries if not places.has_holidays(code)]:
        lines.append(f"no public holidays are known of {', '.join(bare)}: enter them as events or closures")
    pairs = stores.select(PLACE).drop_nulls().unique().sort(PLACE)
    if plain := [f"{code}-{part}" for code, part in pairs.iter_rows() if not places.subdivision_code(code, part)]:
        lines.append(f"no public holidays of its own are known of {_some(plain)}: its country's count")
    lacking = stores.filter(pl.col("currency").is_null())["country"].unique().sort()
    if derived := [f"{code} {currency}" for code in lacking if (currency := places.currency_of(code))]:
        lines.append(f"stores without a currency have their country's: {_some(derived)}")
    return lines


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
