"""Explain: a published forecast taken apart, on the data and by the model that it was made with."""

from dataclasses import dataclass, replace
from datetime import date

import polars as pl

from daypart.features.dayparts import DAYPARTS
from daypart.features.errors import InputError, NotKnownError
from daypart.features.history import read_window
from daypart.features.money import with_currency
from daypart.flows.governance.model_versions import ModelStore
from daypart.flows.home import Home
from daypart.flows.jobs.forecast import check_stores, published
from daypart.flows.jobs.lineage import reads_of
from daypart.flows.jobs.rebuild import are_readable
from daypart.flows.jobs.snapshot import Chain
from daypart.flows.result import Result
from daypart.forecasting.explain import explanation
from daypart.forecasting.explain.explanation import Explanation
from daypart.forecasting.explain.sentences import Reason, reasons, sentences
from daypart.forecasting.models.model import Model
from daypart.forecasting.serving.night import NightInputs

UNEXPLAINED_FAMILY = "unexplained"
"""What the published forecast has beyond the one made anew; there is none where data and model are the same."""
REMOVED = "`daypart maintain` removed the data that this was published from: it is explained by the data as it is now"
UNRECORDED = "nothing says from which data this was published: it is explained by the data as it is now"
SAME = ("hour_utc", "forecast", "incumbent")


@dataclass(frozen=True)
class ExplainQuery:
    """A store's business date, or an hour or a daypart of it; by default of orders, by the latest origin."""

    store: str
    day: date
    hour: int | None = None
    daypart: str | None = None
    target: str | None = None
    origin: date | None = None

    @property
    def label(self) -> str:
        """Such as lunch or 12:00; empty for the whole day."""
        return self.daypart or ("" if self.hour is None else f"{self.hour}:00")

    @property
    def within(self) -> pl.Expr:
        """Whether a published row is asked for."""
        on_day = pl.col("business_date") == self.day
        if self.hour is not None:
            return on_day & (pl.col("hour_local").dt.hour() == self.hour)
        return on_day & (pl.col("daypart") == self.daypart) if self.daypart else on_day


@dataclass(frozen=True, repr=False)
class ForecastExplanation(Result):
    """The published forecast: `incumbent` and the amounts of `reasons` sum to it. `unit` is orders or a currency."""

    asked: ExplainQuery
    target: str
    unit: str
    origin: date
    model_version: str
    forecast: float
    incumbent: float
    reasons: list[Reason]
    sentences: list[str]
    notices: list[str]


def explain(home: Home, query: ExplainQuery) -> ForecastExplanation:
    """Takes apart what was published. Raises InputError and NotKnownError where nothing was, or not of that hour.

    The forecast is made anew from the versions of the tables that its publication read, by the model of its rows. What
    is not as it was is said: missing versions in a notice, another forecast as a reason of its own.
    """
    rows = _published(home, query)
    first_row, version = rows.row(0, named=True), rows["model_version"][0]
    unit, _, number = version.rpartition("-v")
    reads = reads_of(home, [first_row["target"]], first_row["origin_date"])
    unread = UNRECORDED if reads is None else "" if are_readable(home.lake, reads) else REMOVED
    reads = None if unread else reads
    chain = Chain.newest(home.lake) if reads is None else Chain.at(home.lake, reads)
    model = Model.from_files(ModelStore(home).load(unit, int(number)))
    rebuilt = _made_anew(chain, model, query, first_row["origin_date"])
    all_reasons, notices = reasons(rebuilt), [unread] if unread else []
    forecast, incumbent = (float(rows[name].sum()) for name in ("forecast", "incumbent"))
    if not rebuilt.hours.select(SAME).equals(rows.select(SAME)):
        anew = float(rebuilt.hours["forecast"].sum())
        gap = forecast - incumbent - sum(reason.amount for reason in all_reasons)
        all_reasons.append(Reason(UNEXPLAINED_FAMILY, f"made anew the forecast is {anew:,.3f}", gap))
        notices.append(f"the published {forecast:,.3f} cannot be made anew: data, model or code are others than then")
    currency = with_currency(chain.stores.filter(pl.col("store_id") == query.store))["currency"][0]
    money = "orders" if first_row["target"] == "orders" else currency or "sales"
    shown = replace(rebuilt, hours=rebuilt.hours.update(rows.select(SAME), on="hour_utc"))
    return ForecastExplanation(
        query, first_row["target"], money, first_row["origin_date"], version, forecast, incumbent, all_reasons,
        sentences(shown, all_reasons, query.label, money), notices,
    )  # fmt: skip


def _published(home: Home, query: ExplainQuery) -> pl.DataFrame:
    """The rows that are asked for, sorted."""
    if query.hour is not None and query.daypart:
        raise InputError("--hour and --daypart both say which hours: give one of them")
    if query.daypart and query.daypart not in DAYPARTS:
        raise InputError(f"--daypart is {query.daypart!r}: expected {', '.join(DAYPARTS)}")
    check_stores(home, [query.store])
    rows = published(home, query.origin, [query.store])
    if rows is None:
        by = f"of origin {query.origin}" if query.origin else "yet"
        raise NotKnownError(f"no forecast of {query.store} was published {by}: run `daypart forecast` first")
    names: list[str] = rows["target"].unique().sort().to_list()
    target = query.target or names[0]
    target_rows = rows.filter(query.within, pl.col("target") == target)
    if target not in names:
        raise NotKnownError(f"{target} of {query.store} was not published; {', '.join(names)} was: choose one of them")
    if target_rows.is_empty():
        first, last = rows.select(pl.col("origin_date").first(), pl.col("business_date").last()).row(0)
        raise NotKnownError(
            f"no forecast of {query.store} on {query.day}{' at ' * bool(query.label)}{query.label}: the one of origin "
            f"{first} runs to {last}; choose a date in it, or another --origin"
        )
    return target_rows


def _made_anew(chain: Chain, model: Model, query: ExplainQuery, origin: date) -> Explanation:
    window = chain.block([query.store], read_window.window_starts(origin))
    night = NightInputs(window, chain.block, chain, origin)
    rebuilt = explanation.explain(night, model, query.day).filter(query.within)
    if rebuilt.hours.is_empty():
        raise NotKnownError(
            f"{query.store} has no forecast by the data as it is now, and nothing says what it was then"
        )
    return rebuilt
