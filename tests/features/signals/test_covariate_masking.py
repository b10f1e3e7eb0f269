"""Training rows without some of their covariates: a fixed share, whole days, each family by itself."""

from datetime import date, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from daypart.features.signals.covariate_masking import ONE_IN, mask_covariates

FAMILIES = {"weather": ["weather_temperature_c", "weather_temperature_c_departure"], "labor": ["labor_day_change"]}
PAIR = ["origin_date", "lead_days"]


def rows() -> pl.DataFrame:
    origins = [date(2023, 1, 1) + timedelta(days=k) for k in range(400)]
    pairs = pl.DataFrame({"origin_date": origins}).join(pl.DataFrame({"lead_days": range(14)}), how="cross")
    hours = pl.DataFrame({"store_id": ["A", "A", "B"], "hour": [8, 9, 8]})
    values = [pl.lit(1.5).alias(name) for names in FAMILIES.values() for name in names]
    return pairs.cast({"lead_days": pl.Int16}).join(hours, how="cross").with_columns(*values, history_last=1.0)


def test_a_day_is_masked_in_all_its_hours_and_nothing_else_changes() -> None:
    before, after = rows(), mask_covariates(rows())
    unmasked_columns = [name for name in before.columns if not name.startswith(tuple(FAMILIES))]
    assert_frame_equal(after.select(unmasked_columns), before.select(unmasked_columns))
    for names in FAMILIES.values():
        absent = after.group_by("store_id", *PAIR).agg(pl.col(names).is_null().mean()).select(names)
        assert set(absent.rows()) == {(0.0,) * len(names), (1.0,) * len(names)}


def test_the_share_is_the_same_at_every_lead_and_independent_between_families() -> None:
    pairs = mask_covariates(rows()).unique(["store_id", *PAIR], keep="first")
    absent = pairs.select("lead_days", weather=pl.col("weather_temperature_c").is_null(),
                          labor=pl.col("labor_day_change").is_null())  # fmt: skip
    shares = absent.group_by("lead_days").mean()
    expected = {family: 1 / one_in for family, one_in in ONE_IN.items()}
    for name, share in expected.items():
        assert shares[name].is_between(0.7 * share, 1.3 * share).all()
    alike = pairs.group_by(PAIR).agg(both=pl.col("labor_day_change").is_null().all())["both"].mean()
    assert alike == pytest.approx(expected["labor"] ** 2, rel=0.15)
    both = absent.select((pl.col("weather") & pl.col("labor")).mean()).item()
    assert both == pytest.approx(expected["weather"] * expected["labor"], rel=0.15)


def test_rows_without_those_families_stay_as_they_are() -> None:
    plain = rows().select("store_id", *PAIR, "history_last")
    assert_frame_equal(mask_covariates(plain), plain)
