"""States of stores and hours in plain pandas: slow, with the same values as the project's."""

import holidays as rules
import pandas as pd

HOUR_OF_WEEK_KEY, WEEKDAY_KEY = ["store_id", "weekday", "hour"], ["store_id", "weekday"]


def hourly_cells(demand: pd.DataFrame, target: str) -> pd.DataFrame:
    """Return store, date, hour and y: the mean where a clock shows an hour twice."""
    target_demand = demand.dropna(subset=[target])
    local = target_demand["hour_local"]
    target_demand = target_demand.assign(date=local.dt.normalize(), hour=local.dt.hour, y=target_demand[target])
    return target_demand.groupby(["store_id", "date", "hour"], as_index=False)["y"].mean()


def public_holidays(stores: pd.DataFrame, first: pd.Timestamp, last: pd.Timestamp) -> pd.DataFrame:
    """Return one row per store, date and holiday, from first to last."""
    holiday_rows = []
    for (country, subdivision), place_stores in stores.groupby(["country", "subdivision"], dropna=False):
        place = None if pd.isna(subdivision) else subdivision
        names = rules.country_holidays(country, subdiv=place, years=range(first.year, last.year + 1), language="en_US")
        for day, name in names.items():
            plain = name.split(";")[0].removesuffix(" (observed)").strip()
            holiday_rows += [(store, pd.Timestamp(day), plain) for store in place_stores["store_id"]]
    table = pd.DataFrame(holiday_rows, columns=["store_id", "date", "holiday"]).astype({"date": "datetime64[ns]"})
    return table[table["date"].between(first, last)]


def with_plain(state: pd.DataFrame, key: list[str], value: str, marked: pd.DataFrame) -> pd.DataFrame:
    """Add means of the last same weekdays without a holiday, to rows sorted by key and date."""
    state = state.merge(marked[["store_id", "date"]].drop_duplicates().assign(plain=False), "left")
    state["plain"] = state["plain"].isna()
    plain = state[state["plain"]]
    for name, weeks in (("plain_base", 4), ("plain_12", 12), ("plain_26", 26)):
        state[name] = rolling(plain, key, value, weeks, "mean")
    latest = ["plain_base", "plain_12", "plain_26"]
    state[latest] = state.groupby(key)[latest].ffill()
    state["plain_before"] = state.groupby(key)["plain_base"].shift()
    return state


def rolling(rows: pd.DataFrame, key: list[str], value: str, window: int, statistic: str) -> pd.Series:
    """Return a rolling sum or mean within a key; the first rows use fewer rows."""
    grouped = rows.groupby(key)[value].rolling(window, min_periods=1)
    return getattr(grouped, statistic)().droplevel(list(range(len(key))))


def day_totals(cells: pd.DataFrame, marked: pd.DataFrame) -> pd.DataFrame:
    """Return one row per store and open date: total, usual total and recent levels."""
    hours = cells.assign(total=cells["y"], hours_traded=cells["y"] > 0)
    days = hours.groupby(["store_id", "date"], as_index=False)[["total", "hours_traded"]].sum()
    days = days[days["total"] > 0].assign(weekday=lambda rows: rows["date"].dt.weekday + 1)
    days = days.sort_values([*WEEKDAY_KEY, "date"], ignore_index=True)
    days["base"] = rolling(days, WEEKDAY_KEY, "total", 4, "mean")
    days["base_before"] = days.groupby(WEEKDAY_KEY)["base"].shift()
    days = with_plain(days, WEEKDAY_KEY, "total", marked).sort_values(["store_id", "date"], ignore_index=True)
    days["usual"] = days["plain_before"].fillna(days["base_before"])
    counts = days["plain"] & (days["usual"] > 0)
    days["comparable"], days["expected"] = days["total"].where(counts, 0.0), days["usual"].where(counts, 0.0)
    store = ["store_id"]
    for window in (3, 7, 14, 28):
        days[f"day_level_{window}"] = level(days, store, window)
    days["day_trend"] = rolling(days, store, "total", 28, "mean") / rolling(days, store, "total", 84, "mean")
    traded = rolling(days, store, "hours_traded", 28, "sum")
    days["scale"] = rolling(days, store, "total", 28, "sum") / traded
    days["open_days_known"] = days.groupby("store_id").cumcount() + 1
    return days


def level(rows: pd.DataFrame, key: list[str], window: int) -> pd.Series:
    """Return the sum of actual over expected demand in the last rows of a key."""
    expected = rolling(rows, key, "expected", window, "sum")
    return rolling(rows, key, "comparable", window, "sum") / expected.where(expected > 0)


def hourly_states(cells: pd.DataFrame, totals: pd.DataFrame, marked: pd.DataFrame) -> pd.DataFrame:
    """Return one row per store, weekday, hour and open date: means of the same hours of the week, this one included."""
    hours = cells.loc[cells["y"] > 0, ["store_id", "hour"]].drop_duplicates()
    grid = totals[["store_id", "date", "weekday"]].merge(hours, on="store_id")
    grid = grid.merge(cells, "left", on=["store_id", "date", "hour"]).fillna({"y": 0.0})
    grid = grid.sort_values([*HOUR_OF_WEEK_KEY, "date"], ignore_index=True)
    grid = with_plain(grid, HOUR_OF_WEEK_KEY, "y", marked)
    for name, weeks in (("base", 4), ("last_2", 2), ("last_8", 8)):
        grid[name] = rolling(grid, HOUR_OF_WEEK_KEY, "y", weeks, "mean")
    return grid.assign(last=grid["y"])


def hour_levels(hourly: pd.DataFrame) -> pd.DataFrame:
    """Return one row per store, hour and open date: recent levels and mean of the hour."""
    is_comparable = hourly["plain"] & hourly["plain_before"].notna()
    rows = hourly[["store_id", "hour", "date", "y"]].assign(
        comparable=hourly["y"].where(is_comparable, 0.0), expected=hourly["plain_before"].where(is_comparable, 0.0)
    )
    rows = rows.sort_values(["store_id", "hour", "date"], ignore_index=True)
    by = ["store_id", "hour"]
    rows["hour_level_7"], rows["hour_level_28"] = level(rows, by, 7), level(rows, by, 28)
    rows["hour_mean_28"] = rolling(rows, by, "y", 28, "mean")
    return rows.drop(columns=["y", "comparable", "expected"])


def weekday_states(totals: pd.DataFrame, marked: pd.DataFrame) -> pd.DataFrame:
    """Return one row per store, weekday and open date: last ratio, holidays in the incumbent's days, open days so far."""
    rows = totals.merge(marked, "left", on=["store_id", "date"]).sort_values([*WEEKDAY_KEY, "date"], ignore_index=True)
    rows["marked"] = rows["holiday"].notna().astype(float)
    rows["weekday_last"] = rows["total"] / rows["usual"].where(rows["usual"] > 0)
    rows["holidays_in_base"] = rolling(rows, WEEKDAY_KEY, "marked", 4, "sum")
    rows = rows.rename(columns={"open_days_known": "weekday_index"})
    return rows[[*WEEKDAY_KEY, "date", "weekday_index", "weekday_last", "holidays_in_base"]]


def year_ago(totals: pd.DataFrame) -> pd.DataFrame:
    """Return one row per store and date: means of the week around it and of the four weeks up to it."""
    year_means = []
    for store, rows in totals.groupby("store_id"):
        daily = rows.set_index("date")["total"].asfreq("D")
        week, month = daily.rolling(7, 4, center=True).mean(), daily.rolling(28, 14).mean()
        year_means.append(pd.DataFrame({"week_mean": week, "month_mean": month}).reset_index().assign(store_id=store))
    return pd.concat(year_means, ignore_index=True)


def holiday_ratios(totals: pd.DataFrame, marked: pd.DataFrame) -> pd.DataFrame:
    """Return one row per store and past holiday: its ratio to the usual day, whether closed, and the date when known."""
    span = totals.groupby("store_id")["date"].agg(["min", "max"]).reset_index()
    past = marked.merge(span, on="store_id")
    past = past[past["date"].between(past["min"], past["max"])].sort_values("date")
    past["weekday"] = past["date"].dt.weekday + 1
    days = totals[["store_id", "weekday", "date"]].sort_values("date")
    past = pd.merge_asof(past, days.assign(usual_on=days["date"]), on="date", by=WEEKDAY_KEY,
                         allow_exact_matches=False, tolerance=pd.Timedelta(days=28))  # fmt: skip
    past = past.merge(totals[["store_id", "date", "total", "usual"]], "left", on=["store_id", "date"])
    opened = days.assign(open_on=days["date"])[["store_id", "date", "open_on"]]
    past = pd.merge_asof(past.sort_values("date"), opened, on="date", by="store_id", direction="forward")
    return pd.DataFrame({
        "store_id": past["store_id"], "holiday": past["holiday"], "date": past["open_on"],
        "holiday_ratio": past["total"] / past["usual"].where(past["usual"] > 0),
        "holiday_closed": past["total"].isna() & past["usual_on"].notna(),
    }).dropna(subset=["date"]).sort_values("date", ignore_index=True)  # fmt: skip
