"""Both sides of the comparison with pandas compute the same values."""

from datetime import date, timedelta

import pytest

from daypart.features.chain_data import ChainData, days
from infra.bench.scale import pandas_matrix
from infra.bench.scale.pandas_comparison import DEMAND_VIEW, assert_same, project_matrix
from tests.infra.bench.conftest import CHAIN_SPEC


@pytest.mark.parametrize(
    "origins", [[CHAIN_SPEC.end], days(CHAIN_SPEC.end - timedelta(days=70), CHAIN_SPEC.end, 14)], ids=len
)
def test_the_matrix_is_the_one_of_pandas(demand_records: ChainData, origins: list[date]) -> None:
    past_records = demand_records.until(max(origins) - timedelta(days=1))
    theirs = pandas_matrix.build(*pandas_matrix.frames(past_records), DEMAND_VIEW.target, origins)
    assert_same(project_matrix(past_records, origins), theirs)


def test_a_difference_in_one_value_is_seen(demand_records: ChainData) -> None:
    theirs = pandas_matrix.build(*pandas_matrix.frames(demand_records), DEMAND_VIEW.target, [CHAIN_SPEC.end])
    theirs.loc[5, "history_day_level_7"] *= 1.000001
    with pytest.raises(AssertionError, match="history_day_level_7"):
        assert_same(project_matrix(demand_records, [CHAIN_SPEC.end]), theirs)
