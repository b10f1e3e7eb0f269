from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import polars as pl

from daypart.features.simulator import Chain
from daypart.features.simulator.clocks import read_clocks
from daypart.features.simulator.places import ZONES


def test_every_local_time_is_what_the_zone_shows() -> None:
    clocks = read_clocks(date(2024, 10, 20), 30, ZONES)
    for row, zone in enumerate(ZONES):
        shown = [
            datetime.fromisoformat(str(moment)[:19]).replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
            for moment in clocks.utc
        ]
        assert clocks.local[row].tolist() == shown
        assert [moment.hour for moment in shown] == clocks.hour[row].tolist()
        assert [(moment.date() - clocks.start).days for moment in shown] == clocks.day[row].tolist()


def test_a_zone_with_summer_time_has_days_of_23_and_25_hours() -> None:
    clocks = read_clocks(date(2024, 3, 1), 260, ("America/New_York", "America/Phoenix"))
    for row, odd in ((0, {9: 23, 247: 25}), (1, {})):
        days, hours = pl.Series(clocks.day[row][clocks.inside[row]]).value_counts(sort=False).sort("").get_columns()
        assert days.to_list() == list(range(260))
        assert {day: count for day, count in zip(days, hours, strict=True) if count != 24} == odd
    assert clocks.at[0, 9, 2] == -1
    first_of_two = clocks.at[0, 247, 1]
    assert clocks.hour[0, first_of_two : first_of_two + 3].tolist() == [1, 1, 2]
    assert clocks.hour[0, first_of_two - 1] == 0


def test_a_24_hour_store_trades_every_hour_of_short_and_long_days(small: Chain) -> None:
    round_the_clock = small.tables["hours"].filter(pl.col("opens") == "00:00")["store_id"].unique()
    hours = small.truth.filter(pl.col("store_id").is_in(round_the_clock.implode()))
    counts = dict(hours.group_by(pl.col("hour_local").dt.date()).len().iter_rows())
    assert counts[date(2024, 3, 10)] == 23
    assert counts[date(2024, 11, 3)] == 25
    assert counts[date(2024, 7, 10)] == 24


def test_tables_agree_on_local_and_utc(small: Chain) -> None:
    zones = small.tables["stores"].select("store_id", "timezone")
    for frame, stem in (
        (small.truth, "hour"), (small.tables["demand"], "hour"), (small.tables["labor"], "hour"),
        (small.tables["weather"], "valid"),
    ):  # fmt: skip
        hours = frame.select("store_id", f"{stem}_local", f"{stem}_utc").unique().join(zones, on="store_id")
        for (zone,), rows in hours.partition_by("timezone", as_dict=True).items():
            utc = rows[f"{stem}_utc"].dt.replace_time_zone("UTC")
            assert utc.dt.convert_time_zone(str(zone)).dt.replace_time_zone(None).equals(rows[f"{stem}_local"])
