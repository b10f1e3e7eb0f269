from typing import Any

import polars as pl
import pytest

from daypart.flows.monitoring.retrain_event import RetrainEvent, announce
from daypart.forecasting.lifecycle.retrain import Decision

YES, NO = Decision(True, "retrain: slipped by 700 bps"), Decision(False, "no retrain: slip of 3 bps")


def test_one_announcement_tells_of_every_unit_to_be_retrained(world: Any) -> None:
    queue: list[RetrainEvent] = []
    announcement = announce(world.as_home, {"sales": YES, "orders": YES, "orders.west": NO}, queue.append)
    assert queue == [announcement]
    assert announcement is not None
    assert announcement.payload == {
        "home": str(world.home),
        "units": ["orders", "sales"],
        "reason": f"orders: {YES.reason}; sales: {YES.reason}",
    }
    assert announcement.resource["daypart.home"] == str(world.home)
    names = [resource["prefect.resource.id"] for resource in announcement.related]
    assert names == ["daypart.unit.orders", "daypart.unit.sales"]


def test_nothing_to_retrain_is_not_announced(world: Any) -> None:
    assert announce(world.as_home, {"orders": NO, "sales": NO}, pytest.fail) is None
    assert not world.lake.exists("announced")


def test_of_many_units_a_few_reasons_are_told_and_all_names(world: Any) -> None:
    decisions = {f"orders.s{k:03}": YES for k in range(160)}
    announcement = announce(world.as_home, decisions, lambda event: None)
    assert announcement is not None
    assert announcement.units == tuple(decisions)
    assert announcement.reason.endswith("and 157 more units")
    assert announcement.reason.count("slipped") == 3


def test_a_decision_is_announced_again_only_when_later_demand_came(world: Any) -> None:
    queue: list[RetrainEvent] = []

    def decided(**decisions: Decision) -> tuple[str, ...]:
        announcement = announce(world.as_home, decisions, queue.append)
        return announcement.units if announcement else ()

    assert decided(orders=YES) == ("orders",)
    before = world.versions()
    assert decided(orders=YES) == ()
    assert world.versions() == before
    assert decided(orders=YES, sales=YES) == ("sales",)
    world.lake.upsert("demand", pl.read_parquet(world.files / "later.parquet"))
    assert decided(orders=YES, sales=YES) == ("orders", "sales")
    assert len({event.id for event in queue}) == 3


def test_what_could_not_be_sent_is_sent_by_the_next_run_under_the_same_id(world: Any) -> None:
    unsent: list[RetrainEvent] = []

    def away(announcement: RetrainEvent) -> None:
        unsent.append(announcement)
        raise OSError("the server was away")

    with pytest.raises(OSError, match="away"):
        announce(world.as_home, {"orders": YES}, away)
    assert announce(world.as_home, {"orders": YES}, lambda event: None) == unsent[0]
