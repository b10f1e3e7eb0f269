from pathlib import Path

import polars as pl
import pytest

from daypart.features.errors import InputError
from daypart.features.segments import Rule
from daypart.flows.config.portfolio import Portfolio, Unit

TEXT = """# by whom and how
[segments]
by = "region"
[segments.sales]
by = "volume"
cuts = [50, 200.5]

[tiers.top]
trials = 60
retrain_days = 7
engine = "dask"
owner = "lead"

[[assign]]
target = "orders"
segment = "W*"
tier = "top"

[[assign]]
segment = "volume-3"
tier = "top"
owner = "ana"

[[assign]]
segment = "West"
tier = "standard"
owner = "never: an earlier row matches"
"""
STORES = pl.DataFrame({
    "store_id": ["B", "A", "C"], "region": ["West", "East", "West"], "format": ["mall"] * 3,
    "subdivision": [None] * 3,
})  # fmt: skip
VOLUMES = {"sales": pl.DataFrame({"store_id": ["A", "B"], "volume": [20.0, 300.0]})}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "portfolio.toml"
    path.write_text(TEXT)
    return path


def test_units_are_segments_in_the_tier_of_the_first_row_that_matches(file: Path) -> None:
    portfolio = Portfolio.read(file)
    assert portfolio.rule("sales") == Rule("volume", 4, (50.0, 200.5))
    assert portfolio.members(STORES, VOLUMES) == {
        Unit("orders.East", "orders", "East", "standard", ""): ("A",),
        Unit("orders.West", "orders", "West", "top", "lead"): ("B", "C"),
        Unit("sales.volume-1", "sales", "volume-1", "standard", ""): ("A",),
        Unit("sales.volume-3", "sales", "volume-3", "top", "ana"): ("B", "C"),
    }
    tier = portfolio.tier("top")
    assert (tier.trials, tier.retrain_days, tier.engine) == (60, 7, "dask")
    assert (portfolio.engines(), portfolio.tier("standard").retrain_days) == (["dask"], 28)


def test_a_row_that_no_unit_goes_by_is_told(file: Path) -> None:
    portfolio = Portfolio.read(file)
    assert portfolio.idle(portfolio.units(STORES, VOLUMES)) == [
        "row 3 of [[assign]] is idle: no unit of segment 'West' goes by it"
    ]


def test_without_a_file_there_is_a_unit_for_each_target(tmp_path: Path) -> None:
    portfolio = Portfolio.read(tmp_path / "portfolio.toml")
    assert portfolio.members(STORES, {}) == {
        Unit(target, target, None, "standard", ""): ("A", "B", "C") for target in ("orders", "sales")
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[segments]\n\nby = 'regoin'\n", "line 3: by is 'regoin': Input should be 'chain', 'region'"),
        ("[segments]\nclases = 3\n", "line 2: 'clases' is not known here; expected by, classes, cuts, orders, sales"),
        ("[segments.orders]\norders = 3\n", "line 2: 'orders' is not known here; expected by, classes, cuts"),
        ("[segments]\ncuts = [200, 50]\n", "line 2: cuts: expected cuts that rise, such as [50, 200]"),
        ("[segments]\nclasses = 1\n", "line 2: classes is 1: Input should be greater"),
        ("[tiers.top]\ntrials = 0\n", "line 2: trials is 0: Input should be greater"),
        ("[tiers.top]\nengine = 'gpu'\n", "line 2: engine is 'gpu': Input should be 'local' or 'dask'"),
        ("[tiers.top]\ncadence = 3\n", "line 2: 'cadence' is not known here; expected trials, retrain_days"),
        (
            "[[assign]]\ntier = 'standard'\n[[assign]]\n# top\ntier = 'top'\n",
            "line 5: tier is 'top'; expected standard",
        ),
        ("[[assign]]\ntier = 'standard'\n[[assign]]\ntarget = 'cups'\ntier = 'a'\n", "line 4: target is 'cups'"),
        ("[[assign]]\nsegment = 'West'\n", "line 1: tier is missing; expected target, segment, tier, owner"),
        ("assign = 3\n", "line 1: assign is 3; expected tables such as [segments]"),
        ("[tier.top]\n", "line 1: 'tier' is not known here; expected tables such as [segments]"),
        ("[tiers.'a b']\n", "line 1: a b is 'a b'"),
        ("[tiers\n", "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line_that_says_where(file: Path, text: str, expected: str) -> None:
    file.write_text(text)
    with pytest.raises(InputError) as refused:
        Portfolio.read(file)
    assert str(refused.value).startswith(str(file))
    assert expected in str(refused.value)
    assert "\n" not in str(refused.value)
