from datetime import date

import pytest

from daypart.features.simulator import Chain, ChainSpec, simulate


@pytest.fixture(scope="session")
def small_spec() -> ChainSpec:
    """Six stores, one of every format, over both changes of the clocks, two public holidays and 60 issues."""
    return ChainSpec(stores=6, start=date(2024, 2, 1), days=330, seed=3, issues_days=60)


@pytest.fixture(scope="session")
def small(small_spec: ChainSpec) -> Chain:
    return simulate(small_spec)
