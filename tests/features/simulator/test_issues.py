from datetime import timedelta

import polars as pl
import pytest

from daypart.features.simulator import HORIZON_DAYS, Chain, ChainSpec


@pytest.fixture(scope="module")
def compared(small: Chain) -> pl.DataFrame:
    """Issued rows beside what was observed, with the lead in days."""
    weather = small.tables["weather"]
    observations = weather.filter(pl.col("issued_utc").is_null()).drop("issued_utc", "valid_local")
    issued = weather.filter(pl.col("issued_utc").is_not_null())
    lead = (pl.col("valid_utc") - pl.col("issued_utc")).dt.total_hours() / 24
    return issued.join(observations, on=["store_id", "valid_utc"], suffix="_seen").with_columns(lead=lead.floor())


def test_errors_grow_with_the_lead_from_small_to_the_climate(compared: pl.DataFrame) -> None:
    error = pl.col("temperature_c") - pl.col("temperature_c_seen")
    by_lead = compared.group_by("lead").agg((error**2).mean().sqrt().alias("rmse"), pl.len()).sort("lead")
    rmse = by_lead["rmse"].to_list()
    assert by_lead["lead"].to_list() == list(range(1, 15))
    assert rmse[0] < 1.5
    assert all(later > earlier for earlier, later in zip(rmse[:8], rmse[1:9], strict=True))
    assert 3.0 < rmse[13] < 6.5


def test_far_rain_tends_to_the_mean_and_near_rain_to_the_truth(compared: pl.DataFrame) -> None:
    rain = pl.col("precipitation_mm"), pl.col("precipitation_mm_seen")
    near, far = compared.filter(pl.col("lead") <= 1), compared.filter(pl.col("lead") >= 11)
    assert near.select(pl.corr(*rain)).item() > 0.9
    assert far.select(pl.corr(*rain)).item() < 0.5
    assert far.select(rain[0].std() < 0.5 * rain[1].std()).item()
    means = compared.select(told=rain[0].mean(), seen=rain[1].mean()).row(0, named=True)
    assert means["told"] == pytest.approx(means["seen"], rel=0.25)


def test_a_forecast_is_issued_once_a_day_at_five_for_the_fourteen_days_after(small: Chain) -> None:
    zones = small.tables["stores"].select("store_id", "timezone")
    issued = small.tables["weather"].filter(pl.col("issued_utc").is_not_null()).join(zones, on="store_id")
    for (zone,), rows in issued.partition_by("timezone", as_dict=True).items():
        local = rows["issued_utc"].dt.replace_time_zone("UTC").dt.convert_time_zone(str(zone))
        assert set(local.dt.hour()) == {5}
        ahead = rows["valid_local"].dt.date() - local.dt.date()
        assert (ahead.min(), ahead.max()) == (timedelta(days=1), timedelta(days=HORIZON_DAYS))
        assert set(rows["valid_local"].dt.hour()) == set(range(5, 24))


def test_every_late_origin_has_an_issue_for_its_whole_horizon(small: Chain, small_spec: ChainSpec) -> None:
    issued = small.tables["weather"].filter(pl.col("issued_utc").is_not_null())
    sizes = issued.group_by("store_id", "issued_utc").len()
    assert set(sizes["len"]) == {HORIZON_DAYS * 19}
    assert sizes.height == small_spec.stores * small_spec.issues_days
    assert issued["valid_local"].dt.date().max() == small_spec.end + timedelta(days=HORIZON_DAYS - 1)


def test_observations_have_every_hour_of_the_span(small: Chain, small_spec: ChainSpec) -> None:
    observations = small.tables["weather"].filter(pl.col("issued_utc").is_null())
    # One day of 23 hours and one of 25, save in the zone without summer time: the sum is the same.
    assert set(observations.group_by("store_id").len()["len"]) == {small_spec.days * 24}
