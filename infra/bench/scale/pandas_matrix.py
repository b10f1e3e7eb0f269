"""The matrix of demand and the calendar in plain pandas: group, shift, roll and merge."""

from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd

from daypart.features.chain_data import ChainData
from infra.bench.scale import pandas_effects
from infra.bench.scale import pandas_states as states

ORIGIN_KEY, LEAD_KEY = ["store_id", "origin_date"], ["store_id", "origin_date", "lead_days"]


def build(demand: pd.DataFrame, stores: pd.DataFrame, target: str, origins: Sequence[date]) -> pd.DataFrame:
    """Return every column of `daypart.features.matrix.build` for a chain that records demand alone, in any order."""
    cells = states.hourly_cells(demand, target)
    origin_on = pd.Series(sorted(origins)).astype("datetime64[ns]")
    near = pd.Timedelta(days=10)
    marked = states.public_holidays(stores, cells["date"].min() - near, origin_on.max() + pd.Timedelta(days=13) + near)
    totals = states.day_totals(cells, marked)
    hourly = states.hourly_states(cells, totals, marked)
    latest = _latest_states(totals, stores, origin_on)
    past_holidays = pandas_effects.past_holidays(demand, stores, target, marked)
    dates = _with_calendar(_dates(latest, totals, marked, past_holidays, stores), totals, marked)
    hours = _hours(latest, dates, states.weekday_states(totals, marked), states.hour_levels(hourly), hourly)
    rows = _open_hours(dates, hours).merge(_grid(stores, origin_on), on=["store_id", "date", "hour"])
    return _features(rows.merge(latest.drop(columns=["last_on", "open_days_known"]), on=ORIGIN_KEY))


def frames(records: ChainData) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return demand and stores as pandas frames, with times in nanoseconds."""
    tables = (records.demand.to_pandas(), records.stores.to_pandas())
    moments = [frame.select_dtypes("datetime").columns for frame in tables]
    demand, stores = (
        frame.astype(dict.fromkeys(names, "datetime64[ns]")) for frame, names in zip(tables, moments, strict=True)
    )
    return demand, stores


def _latest_states(totals: pd.DataFrame, stores: pd.DataFrame, origins: pd.Series) -> pd.DataFrame:
    """Return one row per store and origin: the state of the last open day before it."""
    crossed = stores[["store_id", "closed_on"]].merge(origins.rename("origin_date"), "cross")
    levels = [f"day_level_{days}" for days in (3, 7, 14, 28)]
    day_states = totals[["store_id", "date", "scale", "day_trend", "open_days_known", *levels]]
    return pd.merge_asof(
        crossed.sort_values("origin_date"), day_states.assign(last_on=day_states["date"]).sort_values("date"),
        left_on="origin_date", right_on="date", by="store_id", allow_exact_matches=False,
    ).drop(columns="date").dropna(subset=["last_on"])  # fmt: skip


def _dates(
    latest: pd.DataFrame, totals: pd.DataFrame, marked: pd.DataFrame, past_holidays: pd.DataFrame, stores: pd.DataFrame
) -> pd.DataFrame:
    """Return one row per store, origin and date, with the last ratio and the effect of its holiday."""
    leads = pd.DataFrame({"lead_days": range(14)})
    dates = latest[[*ORIGIN_KEY, "closed_on"]].merge(leads, "cross")
    dates["date"] = dates["origin_date"] + pd.to_timedelta(dates["lead_days"], "D")
    dates = dates[dates["closed_on"].isna() | (dates["date"] < dates["closed_on"])].drop(columns="closed_on")
    dates["weekday"] = dates["date"].dt.weekday + 1
    here = dates.merge(marked, on=["store_id", "date"]).sort_values("origin_date")
    earlier = states.holiday_ratios(totals, marked).rename(columns={"date": "holiday_on"})
    here = pd.merge_asof(here, earlier, left_on="origin_date", right_on="holiday_on", by=["store_id", "holiday"],
                         allow_exact_matches=False, tolerance=pd.Timedelta(days=400))  # fmt: skip
    here["holiday_effect"] = pandas_effects.effects(here, past_holidays, stores)
    here = here[[*ORIGIN_KEY, "date", "holiday_ratio", "holiday_closed", "holiday_effect"]]
    return dates.merge(here, "left", on=[*ORIGIN_KEY, "date"])


def _with_calendar(dates: pd.DataFrame, totals: pd.DataFrame, marked: pd.DataFrame) -> pd.DataFrame:
    """Add columns of the calendar and of last year."""
    day, before = dates["date"], dates["date"] - pd.Timedelta(days=364)
    dates = dates.assign(
        calendar_weekday=day.dt.weekday + 1, calendar_day_of_year=day.dt.dayofyear, calendar_day_of_month=day.dt.day,
        calendar_days_to_month_end=day.dt.days_in_month - day.dt.day,
        week_on=before, year_on=day - pd.DateOffset(years=1),
        month_on=before - pd.to_timedelta(7 * (dates["lead_days"] // 7 + 1) - 3, "D"),
    ).sort_values("date")  # fmt: skip
    on = marked[["store_id", "date"]].assign(holiday_on=marked["date"]).sort_values("date")
    for direction in ("forward", "backward"):
        near = pd.merge_asof(dates[["store_id", "date"]], on, on="date", by="store_id", direction=direction,
                             tolerance=pd.Timedelta(days=10))  # fmt: skip
        days = (near["holiday_on"] - near["date"]).dt.days.abs().to_numpy()
        dates["calendar_days_to_holiday" if direction == "forward" else "calendar_days_since_holiday"] = days
    yearly = states.year_ago(totals)
    ratio = totals[["store_id", "date"]].assign(ratio=totals["total"] / totals["usual"].where(totals["usual"] > 0))
    for frame, name, column in (
        (yearly, "week_on", "week_mean"), (yearly, "month_on", "month_mean"),
        (ratio.rename(columns={"ratio": "history_last_year_day"}), "week_on", "history_last_year_day"),
        (ratio.rename(columns={"ratio": "history_last_year_date"}), "year_on", "history_last_year_date"),
    ):  # fmt: skip
        year_values = frame[["store_id", "date", column]].rename(columns={"date": name})
        dates = dates.merge(year_values, "left", on=["store_id", name])
    dates["history_last_year"] = dates["week_mean"] / dates["month_mean"].where(dates["month_mean"] > 0)
    return dates.drop(columns=["week_on", "year_on", "month_on", "week_mean", "month_mean"])


def _hours(
    latest: pd.DataFrame, dates: pd.DataFrame, weekdays: pd.DataFrame, levels: pd.DataFrame, hourly: pd.DataFrame
) -> pd.DataFrame:
    """Return one row per store, origin, weekday and hour: its state at the origin."""
    keys = dates[[*ORIGIN_KEY, "weekday"]].drop_duplicates()
    keys = keys.merge(latest[[*ORIGIN_KEY, "last_on", "open_days_known"]], on=ORIGIN_KEY).sort_values("origin_date")
    weekdays = weekdays.rename(columns={"date": "weekday_on"}).sort_values("weekday_on")
    keys = pd.merge_asof(keys, weekdays, left_on="origin_date", right_on="weekday_on",
                           by=["store_id", "weekday"], allow_exact_matches=False)  # fmt: skip
    hours = keys.merge(levels.rename(columns={"date": "last_on"}), on=["store_id", "last_on"])
    hourly = hourly.drop(columns=["y", "plain", "plain_before"]).rename(columns={"date": "weekday_on"})
    hours = hours.merge(hourly, "left", on=["store_id", "weekday", "hour", "weekday_on"])
    return hours.assign(incumbent=hours["base"].fillna(hours["hour_mean_28"]))


def _open_hours(dates: pd.DataFrame, hours: pd.DataFrame) -> pd.DataFrame:
    """Return one row per store, origin, date and hour in which the store may trade."""
    traded = hours["last_8"].fillna(hours["hour_mean_28"]) > 0
    is_lapsed = (hours["last_on"] - hours["weekday_on"]).dt.days >= 56
    is_lapsed &= hours["open_days_known"] - hours["weekday_index"] >= 28
    never = hours["weekday_on"].isna() & (hours["open_days_known"] >= 28)
    rows = dates.merge(hours[traded & ~is_lapsed & ~never], on=[*ORIGIN_KEY, "weekday"])
    rows = rows[rows["holiday_closed"].ne(other=True)]
    usual = hours.groupby([*ORIGIN_KEY, "hour"])["hour_mean_28"].first().unstack().reindex(columns=range(24))
    quiet = ~usual.gt(usual.sum(axis=1) / 1000, axis=0)
    starts = quiet.idxmax(axis=1).rename("day_start").reset_index()
    rows = rows.merge(starts, on=ORIGIN_KEY)
    early = pd.to_timedelta((rows["hour"] < rows["day_start"]).astype(int), "D")
    return rows.assign(business_date=rows["date"] - early).drop(columns="day_start")


def _grid(stores: pd.DataFrame, origins: pd.Series) -> pd.DataFrame:
    """Return one row per store and real hour, with its local date and hour."""
    day = pd.Timedelta(days=1)
    span = pd.date_range(origins.min() - day, origins.max() + 15 * day, freq="h", tz="UTC")
    zone_grids = []
    for zone, zone_stores in stores.groupby("timezone"):
        local = span.tz_convert(zone).tz_localize(None)
        hours = pd.DataFrame({"hour_utc": span.tz_localize(None), "hour_local": local, "date": local.normalize(),
                              "hour": local.hour})  # fmt: skip
        zone_grids.append(zone_stores[["store_id"]].merge(hours, "cross"))
    return pd.concat(zone_grids).astype({"date": "datetime64[ns]"})


def _features(rows: pd.DataFrame) -> pd.DataFrame:
    """Add the smooth base and all features relative to it."""
    plain = rows["plain_base"].fillna(rows["incumbent"])
    lately = np.log(rows[["day_level_7", "day_level_14"]].fillna(1.0).clip(0.5, 2.0)).mean(axis=1)
    recent = np.exp(0.5 * lately * (2.5 + rows["lead_days"] // 7) / 2.5)
    by = [rows[name] for name in LEAD_KEY]
    day_total = plain.groupby(by).transform("sum") * recent
    shapes = {}
    for name in ("base", 12, 26):
        filled = rows[f"plain_{name}"].fillna(rows["incumbent"]).fillna(0.0)
        day = filled.groupby(by).transform("sum")
        shapes[name] = filled / day.where(day > 0) * day_total
    effect = rows["holiday_effect"].fillna(1.0)
    smooth = ((shapes["base"] + shapes[12]) / 2).fillna(plain) * effect
    base = smooth.where(smooth > 0)
    same = {f"history_{name}": rows[name] / base for name in ("last", "last_2", "last_8", "hour_mean_28", "incumbent")}
    states_of = ["hour_level_7", "hour_level_28", "day_level_3", "day_level_7", "day_level_14", "day_level_28",
                 "day_trend", "weekday_last", "holidays_in_base", "holiday_ratio", "holiday_effect"]  # fmt: skip
    return rows.assign(
        smooth=smooth, youth=0.0, calendar_hour=rows["hour"], calendar_lead_days=rows["lead_days"], **same,
        **{f"history_{name}": rows[name] for name in states_of},
        history_half_year_shape=shapes[26] * effect / base, history_shape=smooth / rows["scale"].where(rows["scale"] > 0),
        history_open_days=rows["open_days_known"].clip(upper=56),
        history_silent_days=(rows["origin_date"] - rows["last_on"]).dt.days,
    )  # fmt: skip
