"""Places: countries and their parts by the usual spellings, as ISO 3166 codes, and the currency of a country.

Names and codes are those of the `holidays` library, whose rules read them.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache

COLLOQUIAL = {
    "UK": "GB", "GREAT BRITAIN": "GB", "BRITAIN": "GB", "UNITED STATES OF AMERICA": "US", "AMERICA": "US",
    "HOLLAND": "NL", "CZECHIA": "CZ", "CZECH REPUBLIC": "CZ", "KOREA": "KR", "SOUTH KOREA": "KR", "UAE": "AE",
    "TURKEY": "TR", "TURKIYE": "TR", "IVORY COAST": "CI", "RUSSIAN FEDERATION": "RU", "VIET NAM": "VN", "MACAO": "MO",
    "HONG KONG SAR": "HK", "MACEDONIA": "MK", "SWAZILAND": "SZ", "CAPE VERDE": "CV", "BURMA": "MM", "TIMOR LESTE": "TL",
    "COTE D IVOIRE": "CI", "DEMOCRATIC REPUBLIC OF CONGO": "CD", "DR CONGO": "CD", "EIRE": "IE", "BRASIL": "BR",
    "DEUTSCHLAND": "DE", "ESPANA": "ES", "OSTERREICH": "AT", "SCHWEIZ": "CH", "SUISSE": "CH", "ITALIA": "IT",
    "BELGIE": "BE", "BELGIQUE": "BE", "DANMARK": "DK", "SVERIGE": "SE", "NORGE": "NO", "POLSKA": "PL", "NIPPON": "JP",
}  # fmt: skip
"""Common names that the library does not have."""
CURRENCY_COUNTRIES = """
AED AE; AFN AF; ALL AL; AMD AM; AOA AO; ARS AR; AUD AU CC CX HM KI NF NR TV; AWG AW; AZN AZ; BAM BA; BBD BB; BDT BD;
BHD BH; BIF BI; BMD BM; BND BN; BOB BO; BRL BR; BSD BS; BTN BT; BWP BW; BYN BY; BZD BZ; CAD CA; CDF CD; CHF CH LI;
CLP CL; CNY CN; COP CO; CRC CR; CUP CU; CVE CV; CZK CZ; DJF DJ; DKK DK FO GL; DOP DO; DZD DZ; EGP EG; ERN ER; ETB
ET; EUR AD AT AX BE BL CY DE EE ES FI FR GF GP GR HR IE IT LT LU LV MC ME MF MQ MT NL PM PT RE SI SK SM TF VA XK YT
BG; FJD FJ; FKP FK; GBP GB GG GS IM JE; GEL GE; GHS GH; GIP GI; GMD GM; GNF GN; GTQ GT; GYD GY; HKD HK; HNL HN; HTG
HT; HUF HU; IDR ID; ILS IL PS; INR IN; IQD IQ; IRR IR; ISK IS; JMD JM; JOD JO; JPY JP; KES KE; KGS KG; KHR KH; KMF
KM; KPW KP; KRW KR; KWD KW; KYD KY; KZT KZ; LAK LA; LBP LB; LKR LK; LRD LR; LSL LS; LYD LY; MAD EH MA; MDL MD; MGA
MG; MKD MK; MMK MM; MNT MN; MOP MO; MRU MR; MUR MU; MVR MV; MWK MW; MXN MX; MYR MY; MZN MZ; NAD NA; NGN NG; NIO NI;
NOK BV NO SJ; NPR NP; NZD CK NU NZ PN TK; OMR OM; PAB PA; PEN PE; PGK PG; PHP PH; PKR PK; PLN PL; PYG PY; QAR QA;
RON RO; RSD RS; RUB RU; RWF RW; SAR SA; SBD SB; SCR SC; SDG SD; SEK SE; SGD SG; SHP SH; SLE SL; SOS SO; SRD SR; SSP
SS; STN ST; SYP SY; SZL SZ; THB TH; TJS TJ; TMT TM; TND TN; TOP TO; TRY TR; TTD TT; TWD TW; TZS TZ; UAH UA; UGX UG;
USD AS BQ EC FM GU IO MH MP PR PW SV TC TL UM US VG VI ZW; UYU UY; UZS UZ; VES VE; VND VN; VUV VU; WST WS; XAF CF CG
CM GA GQ TD; XCD AG AI DM GD KN LC MS VC; XCG CW SX; XOF BF BJ CI GW ML NE SN TG; XPF NC PF WF; YER YE; ZAR ZA; ZMW
ZM
"""
"""Countries (ISO 3166-1) by the ISO 4217 code of their currency; Antarctica has none."""
CURRENCIES = {entry[:3]: entry[3:].split() for entry in " ".join(CURRENCY_COUNTRIES.split()).split("; ")}
NO_COUNTRY = {"ZWG", "BGN", "ANG", "SLL", "HRK"}
"""Other codes that are or recently were a country's."""
CURRENCY_OF = {country: currency for currency, countries in CURRENCIES.items() for country in countries}


@cache
def _countries() -> Mapping[str, str]:
    """Return the ISO 3166-1 alpha-2 code by every known spelling, as `_plain` returns it."""
    from holidays.registry import COUNTRIES

    codes: dict[str, str] = {}
    for name, (entity, alpha_2, alpha_3, *_) in COUNTRIES.items():
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", entity)
        codes |= {_plain(text): alpha_2 for text in (name, entity, words, alpha_3, alpha_2)}
    return codes | {_plain(text): code for text, code in COLLOQUIAL.items()}


@cache
def country_code(text: str) -> str | None:
    """Return the ISO 3166-1 alpha-2 code of a country by its code (alpha-2 or alpha-3) or English name, in any case.

    A few names in a country's own language count too. None where the text names no country. A part of a country
    counts only where ISO lists it as a country too.
    """
    return _countries().get(_plain(text))


@cache
def subdivisions(country: str) -> Mapping[str, str]:
    """Return by spelling, in capitals, the code of each part of a country that the library has holidays for."""
    import holidays

    try:
        rules = holidays.country_holidays(country)
    except NotImplementedError:
        return {}
    aliases = rules.get_subdivision_aliases()
    codes = {_plain(name): code for code, names in aliases.items() for name in names}
    return codes | {_plain(code): code for code in rules.subdivisions}


@cache
def subdivision_code(country: str, text: str) -> str | None:
    """Return the code of a part of a country (by alpha-2 code), from a name or a code with or without the country's.

    None where the library knows no such part.
    """
    codes, plain = subdivisions(country), _plain(text)
    bare = plain.removeprefix(f"{country} ")
    return codes.get(plain) or codes.get(bare)


def place_codes(country: str, subdivision: str | None) -> tuple[str | None, str | None]:
    """Return country and subdivision as ISO codes, from the spellings of a stores table; None where it names none.

    `US-CA` as a country is both; so is England, a part of the United Kingdom.
    """
    code = country_code(country)
    if code is not None:
        return code, None if subdivision is None else subdivision_code(code, subdivision)
    parent, part = _country_and_part(country)
    if subdivision is None or parent is None:
        return parent, part
    return parent, part if subdivision_code(parent, subdivision) == part else None


def _country_and_part(text: str) -> tuple[str | None, str | None]:
    first, mark, rest = text.strip().partition("-")
    code = country_code(first) if mark else None
    part = subdivision_code(code, rest) if code else None
    if code and part:
        return code, part
    home_nation = subdivision_code("GB", text)
    return ("GB", home_nation) if home_nation else (None, None)


def has_holidays(country: str) -> bool:
    """Return whether the library has public holidays of the country of that code."""
    import holidays

    try:
        return bool(holidays.country_holidays(country, years=range(2020, 2026)))
    except NotImplementedError:
        return False


def near_countries(text: str) -> list[str]:
    """Return codes and names that are spelled much like the text, such as `DE (Germany)`; at most three."""
    return [f"{_countries()[name]} ({name.title()})" for name in _near(text, _countries())]


def near_subdivisions(country: str, text: str) -> list[str]:
    """Return codes of the country's parts that are spelled much like the text, else any of them; at most three."""
    codes = subdivisions(country)
    near = dict.fromkeys(codes[name] for name in _near(text, codes))
    return list(near or dict.fromkeys(codes.values()))[:3]


def currency_code(text: str) -> str | None:
    """Return the ISO 4217 code of a text in any case; None where there is no such currency."""
    code = text.strip().upper()
    return code if code in CURRENCIES or code in NO_COUNTRY else None


def currency_of(country: str) -> str | None:
    """Return the ISO 4217 code of a country's currency, from any spelling of the country; None without one."""
    code, _ = place_codes(country, None)
    return None if code is None else CURRENCY_OF.get(code)


def near_currencies(text: str) -> list[str]:
    """Return codes that are spelled much like the text; at most three."""
    return get_close_matches(text.strip().upper(), sorted(CURRENCIES), n=3)


def _near(text: str, spellings: Iterable[str]) -> list[str]:
    names = [name for name in spellings if len(name) > 3]
    return get_close_matches(_plain(text), names, n=3, cutoff=0.7)


def _plain(text: str) -> str:
    """Return the text in capitals without accents, marks and articles, words separated by one space."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    words = re.sub(r"[^\w]+|_", " ", bare.upper()).split()
    return " ".join(word for word in words if word not in ("THE", "AND"))
