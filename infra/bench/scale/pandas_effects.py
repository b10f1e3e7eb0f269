"""Effects of holidays in pandas, store-day by store-day: slow and plain, with the same values as the project's."""

import numpy as np
import pandas as pd


def past_holidays(demand: pd.DataFrame, stores: pd.DataFrame, target: str, marked: pd.DataFrame) -> pd.DataFrame:
    """Return region, holiday, date and log ratio to the usual day, for every holiday on which a store traded."""
    sold = demand[demand[target] > 0]
    totals = sold.groupby([sold["store_id"], sold["hour_local"].dt.normalize()])[target].sum().to_dict()
    holidays = set(zip(marked["store_id"], marked["date"], strict=True))
    regions = dict(zip(stores["store_id"], stores["region"].fillna("nowhere"), strict=True))
    effect_rows = []
    for store, day, holiday in zip(marked["store_id"], marked["date"], marked["holiday"], strict=True):
        weeks = [(store, day - pd.Timedelta(days=7 * week)) for week in (1, 2, 3, 4)]
        usual = [totals[key] for key in weeks if key in totals and key not in holidays]
        if (store, day) in totals and usual:
            departed = np.clip(totals[store, day] / np.median(usual), 0.2, 3.0)
            # The project's sums are of whole millionths.
            effect_rows.append((regions[store], holiday, day, np.round(np.log(departed), 6)))
    return pd.DataFrame(effect_rows, columns=["region", "holiday", "date", "log"])


def effects(holiday_rows: pd.DataFrame, ratios: pd.DataFrame, stores: pd.DataFrame) -> pd.Series:
    """Return the factor for rows of store_id, origin_date, holiday and holiday_ratio."""
    regions = dict(zip(stores["store_id"], stores["region"].fillna("nowhere"), strict=True))
    log_by_key: dict[tuple[object, ...], float] = {}
    factors = []
    for row in holiday_rows.itertuples():
        key = (row.origin_date, row.holiday, regions[row.store_id])
        if key not in log_by_key:
            log_by_key[key] = _pooled_log(ratios, *key)
        log = log_by_key[key]
        if row.holiday_ratio == row.holiday_ratio:
            log = (np.log(np.clip(row.holiday_ratio, 0.2, 3.0)) + 2 * log) / 3
        factors.append(np.exp(log))
    return pd.Series(factors, index=holiday_rows.index, dtype=float)


def _pooled_log(ratios: pd.DataFrame, origin: pd.Timestamp, holiday: str, region: str) -> float:
    """Return the log ratio pooled over the region, the chain and all holidays of the year before the origin."""
    age = (origin - ratios["date"]).dt.days
    year = ratios[(age > 0) & (age <= 400)]
    like = year[year["holiday"] == holiday]
    log = 0.0
    for rows, trust in ((year, 10), (like, 6), (like[like["region"] == region], 4)):
        log = (rows["log"].sum() + trust * log) / (len(rows) + trust)
    return log
