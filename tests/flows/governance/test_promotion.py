import random
import shutil
import signal
import subprocess
import sys
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from daypart.features.errors import DaypartError, InputError, NotKnownError
from daypart.flows.audit.audit_history import UnitHistory
from daypart.flows.audit.audit_log import Entry
from daypart.flows.files.process import identity
from daypart.flows.governance.approval import approve, pending, reject
from daypart.flows.governance.champion_switch import LONGEST, end_interrupted_switch_of
from daypart.flows.governance.promotion import promote, rollback
from daypart.flows.governance.signoff import Signoff
from daypart.flows.jobs.status import on, spells, status
from daypart.flows.registry.registry import Registry
from tests.flows.conftest import House

ROOT = Path(__file__).resolve().parents[3]
NOW = datetime(2025, 3, 1, 4)
HOUR = timedelta(hours=1)


def test_a_promotion_moves_the_champion_between_two_records_and_again_adds_nothing(house: House) -> None:
    house.add(count=2)
    outcome = promote(house.as_home, "orders", None, Signoff("engineer", NOW, "better on rainy days"))
    assert (outcome.state, outcome.changed, outcome.told) == ("serves", True, "v2 of orders serves")
    assert house.champion() == 2
    assert house.states() == [("engineer", "promote", "begun"), ("engineer", "promote", "done")]
    again = promote(house.as_home, "orders", 2, Signoff("lead", NOW))
    assert (again.state, again.changed, again.told) == ("serves", False, "v2 of orders serves already")
    assert house.audit.records().height == 2
    assert promote(house.as_home, "orders", 1, Signoff("lead", NOW)).told == "v1 of orders serves, after v2"
    assert house.audit.verify().faults == []
    assert house.audit.verify().anchored == 4


def test_who_may_not_is_refused_and_nothing_is_recorded(house: House) -> None:
    house.add()
    for role, message in (("planner", "planner may not promote orders"), ("boss", "unknown role 'boss'")):
        with pytest.raises(InputError, match=message):
            promote(house.as_home, "orders", 1, Signoff(role, NOW))
    with pytest.raises(NotKnownError, match="no challenger for sales"):
        promote(house.as_home, "sales", None, Signoff("lead", NOW))
    with pytest.raises(NotKnownError, match="no version 7 of orders: it has 1"):
        promote(house.as_home, "orders", 7, Signoff("lead", NOW))
    (house.home / "governance.toml").write_text("[raci.default.promot]\n")
    with pytest.raises(InputError, match="governance.toml line 1: unknown activity 'promot'"):
        promote(house.as_home, "orders", 1, Signoff("lead", NOW))
    assert house.champion() is None
    assert house.audit.records().is_empty()


def test_a_top_tiers_promotion_waits_for_who_is_accountable(house: House) -> None:
    house.add(tier="top", count=2)
    house.registry.set_alias("orders", "champion", 1)
    outcome = promote(house.as_home, "orders", 2, Signoff("automation", NOW, "gate: 40 bps better"))
    assert (outcome.state, outcome.changed, outcome.request) == ("pending", True, 1)
    assert outcome.told == "v2 of orders is asked for (request 1) and waits for lead; v1 keeps serving"
    assert house.champion() == 1
    again = promote(house.as_home, "orders", 2, Signoff("engineer", NOW))
    assert (again.state, again.changed, again.request) == ("pending", False, 1)
    (waits,) = status(house.as_home, NOW + 30 * HOUR).pending
    assert (waits["request"], waits["waits_for"], waits["waits_hours"]) == (1, "lead", 30.0)
    for role in ("automation", "engineer", "planner"):
        with pytest.raises(InputError, match=f"{role} may not approve request 1 .* for lead, who is accountable"):
            approve(house.as_home, "orders", Signoff(role, NOW))
    assert house.champion() == 1
    agreed = approve(house.as_home, "1", Signoff("lead", NOW + HOUR, "seen"))
    assert (agreed.state, agreed.told) == ("serves", "v2 of orders serves, after v1")
    assert house.champion() == 2
    assert pending(house.audit.records()) == []
    with pytest.raises(NotKnownError, match="no request orders waits for an approval; waiting: none"):
        approve(house.as_home, "orders", Signoff("lead", NOW))
    spell = UnitHistory.from_records(house.audit.records(), "orders").spells[-1]
    assert (spell.by, spell.agreed, spell.since) == ("automation", "lead, asked by automation", NOW + HOUR)
    assert spell.why == "promote: gate: 40 bps better; seen"


def test_a_rejected_request_and_one_that_a_later_took_the_place_of_are_over(house: House) -> None:
    house.add(tier="top", count=3)
    promote(house.as_home, "orders", 1, Signoff("automation", NOW))
    promote(house.as_home, "orders", 2, Signoff("automation", NOW))
    assert [(request.number, request.version) for request in pending(house.audit.records())] == [(2, 2)]
    with pytest.raises(NotKnownError, match="no request 1 waits"):
        approve(house.as_home, "1", Signoff("lead", NOW))
    with pytest.raises(InputError, match="engineer may not reject request 2"):
        reject(house.as_home, "orders", Signoff("engineer", NOW))
    outcome = reject(house.as_home, "orders", Signoff("lead", NOW, "not in the sale"))
    assert (outcome.state, outcome.told) == ("rejected", "request 2 is rejected: nothing serves until then")
    assert pending(house.audit.records()) == []
    assert house.champion() is None
    assert promote(house.as_home, "orders", 2, Signoff("automation", NOW)).request == 4


def test_who_asked_may_not_agree_with_himself_unless_the_raci_lets_him(house: House) -> None:
    house.add(tier="gold", count=2)
    file = house.home / "governance.toml"
    rule = "[raci.gold.promote]\nresponsible = ['engineer', 'analyst']\naccountable = '{}'\napproval = true\nseparate = {}\n"
    file.write_text(rule.format("lead", "true"))
    with pytest.raises(InputError, match="lead must approve .* may not ask for it too: let engineer or analyst ask"):
        promote(house.as_home, "orders", 1, Signoff("lead", NOW))
    promote(house.as_home, "orders", 1, Signoff("engineer", NOW))
    file.write_text(rule.format("engineer", "true"))
    with pytest.raises(InputError, match="engineer asked for request 1 and may not approve it too"):
        approve(house.as_home, "orders", Signoff("engineer", NOW))
    assert house.champion() is None
    file.write_text(rule.format("engineer", "false"))
    assert approve(house.as_home, "orders", Signoff("engineer", NOW)).state == "serves"
    assert promote(house.as_home, "orders", 2, Signoff("engineer", NOW)).state == "serves"
    assert house.champion() == 2


def test_rollback_goes_back_further_each_time_and_never_to_what_was_rolled_back(house: House) -> None:
    house.add(count=4)
    with pytest.raises(NotKnownError, match="no champion for orders"):
        rollback(house.as_home, "orders", Signoff("lead", NOW))
    for version in (1, 2, 3):
        promote(house.as_home, "orders", version, Signoff("lead", NOW))
    assert (
        rollback(house.as_home, "orders", Signoff("analyst", NOW, "too high at lunch")).told
        == "v2 of orders serves, after v3"
    )
    promote(house.as_home, "orders", 4, Signoff("lead", NOW))
    assert [rollback(house.as_home, "orders", Signoff("lead", NOW)).version for _ in range(2)] == [2, 1]
    with pytest.raises(NotKnownError, match="orders was only ever served by v1"):
        rollback(house.as_home, "orders", Signoff("lead", NOW))
    assert rollback(house.as_home, "orders", Signoff("lead", NOW), version=3).told == "v3 of orders serves, after v1"
    assert rollback(house.as_home, "orders", Signoff("lead", NOW), version=3).changed is False
    with pytest.raises(InputError, match="automation may not roll back orders"):
        rollback(house.as_home, "orders", Signoff("automation", NOW))
    house.add()
    with pytest.raises(InputError, match="v5 of orders never served: `daypart promote orders --version 5`"):
        rollback(house.as_home, "orders", Signoff("lead", NOW), version=5)
    assert house.champion() == 3


@pytest.mark.parametrize("harm", ["gone", "changed"])
def test_a_version_whose_files_are_damaged_does_not_come_to_serve(house: House, harm: str) -> None:
    house.add(count=2)
    promote(house.as_home, "orders", 1, Signoff("lead", NOW))
    promote(house.as_home, "orders", 2, Signoff("lead", NOW))
    file = house.registry._folder(house.registry.describe("orders", 1)["run_id"]) / "model.json"
    shutil.rmtree(file.parent) if harm == "gone" else file.write_bytes(b"[]")
    before = house.audit.records()
    with pytest.raises(DaypartError, match="version 1 of orders is damaged"):
        rollback(house.as_home, "orders", Signoff("lead", NOW))
    with pytest.raises(DaypartError, match="version 1 of orders is damaged"):
        promote(house.as_home, "orders", 1, Signoff("lead", NOW))
    assert house.champion() == 2
    assert house.audit.records().equals(before)


def test_a_champion_that_was_moved_by_hand_is_told_and_put_right(house: House) -> None:
    house.add(count=3)
    promote(house.as_home, "orders", 1, Signoff("lead", NOW))
    house.registry.set_alias("orders", "champion", 3)
    (notice,) = status(house.as_home, NOW).notices
    assert "v3 serves, but the last that the audit records have is v1: it was moved outside of daypart" in notice
    promote(house.as_home, "orders", 2, Signoff("lead", NOW + HOUR))
    assert status(house.as_home, NOW).notices == []
    assert [(s.version, s.since) for s in UnitHistory.from_records(house.audit.records(), "orders").spells] == [
        (1, NOW), (3, None), (2, NOW + HOUR),
    ]  # fmt: skip
    assert rollback(house.as_home, "orders", Signoff("lead", NOW)).version == 3


def test_a_champion_moved_by_hand_is_a_fault_of_the_audit_until_it_is_put_right(house: House, daypart: Any) -> None:
    house.add(count=3)
    for version in (1, 2):
        promote(house.as_home, "orders", version, Signoff("lead", NOW))
    assert daypart(house.home, "audit", "--verify").status == 0
    house.registry.set_alias("orders", "champion", 3)
    verified = daypart(house.home, "audit", "--verify")
    assert (verified.status, verified.err.count("\n")) == (1, 1)
    fault = "orders: v3 serves, but the last that the audit records have is v2: it was moved outside of daypart"
    assert fault in verified.out
    assert "4 records are as they were written" in verified.out
    day = daypart(house.home, "status", "--at", "2025-03-02", "--json").json
    assert [(row["version"], row["ended"], row["why"][:20]) for row in day["served"]] == [
        (2, True, "promote: no reason g"), (3, False, "moved outside of day"),
    ]  # fmt: skip
    assert [fault in notice for notice in day["notices"]] == [True]
    assert fault in daypart(house.home, "status", "--at", "2025-03-02").out
    assert on(date(2025, 2, 28), spells(house.as_home)) == []
    outcome = promote(house.as_home, "orders", 3, Signoff("lead", NOW + HOUR, "it may stay"))
    assert (outcome.changed, outcome.told) == (True, "v3 of orders serves")
    assert daypart(house.home, "audit", "--verify").status == 0
    house.registry.set_alias("orders", "champion", 1)
    assert rollback(house.as_home, "orders", Signoff("lead", NOW + HOUR)).version == 3
    assert daypart(house.home, "audit", "--verify").status == 0


def test_a_champion_that_was_never_promoted_is_a_fault_of_the_audit(house: House, daypart: Any) -> None:
    house.add()
    house.registry.set_alias("orders", "champion", 1)
    verified = daypart(house.home, "audit", "--verify")
    assert (verified.status, "no audit record says since when" in verified.out) == (1, True)
    assert daypart(house.home, "promote", "orders", "--version", 1, "--role", "lead").status == 0
    assert daypart(house.home, "audit", "--verify").status == 0


def test_records_of_an_unknown_unit_are_refused(house: House, daypart: Any) -> None:
    assert daypart(house.home, "audit", "--unit", "nope").status == 0
    house.add()
    promote(house.as_home, "orders", 1, Signoff("lead", NOW))
    result = daypart(house.home, "audit", "--unit", "nope")
    assert (result.status, result.err) == (2, "daypart: no record is of unit 'nope': expected one of orders\n")
    assert len(daypart(house.home, "audit", "--unit", "orders", "--json").json["records"]) == 2


def begun(house: House, version: int, process: dict[str, str]) -> None:
    details = {
        "state": "begun",
        "does": "promote",
        "version": version,
        "was": house.champion(),
        "reason": "",
        "request": None,
    }
    house.audit.append(NOW, "engineer", Entry("promote", "orders", {**details, "process": process}))


def test_a_move_that_another_process_has_begun_is_waited_for_unless_it_died(house: House) -> None:
    house.add(count=2)
    promote(house.as_home, "orders", 1, Signoff("lead", NOW))
    begun(house, 2, {**identity(), "host": "elsewhere", "pid": "1"})
    with pytest.raises(DaypartError, match="process 1 on elsewhere is just moving orders to v2 .record 3."):
        promote(house.as_home, "orders", 2, Signoff("lead", NOW))
    assert house.champion() == 1
    (notice,) = status(house.as_home, NOW).notices
    assert "to promote v2 was begun (record 3) and its end is not recorded; v1 serves" in notice
    assert promote(house.as_home, "orders", 2, Signoff("lead", NOW + HOUR)).changed
    assert [state for _, _, state in house.states()][2:] == ["begun", "undone", "begun", "done"]
    assert house.champion() == 2


def test_a_registry_that_fails_in_between_leaves_the_champion_and_says_so(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.add(count=2)
    promote(house.as_home, "orders", 1, Signoff("lead", NOW))
    with monkeypatch.context() as patch:
        patch.setattr(Registry, "set_alias", lambda *_: (_ for _ in ()).throw(DaypartError("held")))
        with pytest.raises(DaypartError, match="held"):
            promote(house.as_home, "orders", 2, Signoff("lead", NOW))
    assert house.champion() == 1
    assert house.states()[-1] == ("lead", "promote", "undone")
    assert [spell.version for spell in UnitHistory.from_records(house.audit.records(), "orders").spells] == [1]
    assert promote(house.as_home, "orders", 2, Signoff("lead", NOW)).changed


KILL = """
import os, signal, sys
from datetime import datetime
from daypart.flows.registry.registry import Registry
from tests.flows.conftest import House
from tests.flows.governance.test_promotion import NOW, Path, Signoff, rollback
reached = Registry.set_alias
def struck(*given):
    reached(*given)
    os.kill(os.getpid(), signal.SIGKILL)
Registry.set_alias = struck
rollback(House(Path(sys.argv[1])).as_home, "orders", Signoff("lead", NOW))
"""


def test_a_rollback_killed_half_way_is_told_and_done_again_is_done_once(house: House) -> None:
    house.add(count=3)
    for version in (1, 2, 3):
        promote(house.as_home, "orders", version, Signoff("lead", NOW))
    killed = subprocess.run([sys.executable, "-c", KILL, str(house.home)], cwd=ROOT, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert house.champion() == 2
    assert house.audit.verify().faults == []
    assert spells(house.as_home)[-1].version == house.champion()
    assert "to rollback v2 was begun" in status(house.as_home, NOW).notices[0]
    outcome = rollback(house.as_home, "orders", Signoff("lead", NOW))
    assert (outcome.version, outcome.changed, house.champion()) == (2, True, 2)
    assert status(house.as_home, NOW).notices == []
    assert [spell.version for spell in UnitHistory.from_records(house.audit.records(), "orders").spells] == [1, 2, 3, 2]
    end_interrupted_switch_of(house.as_home, "orders", NOW)
    assert house.states()[-1] == ("lead", "rollback", "done")


def test_what_served_on_every_day_is_what_a_list_of_moves_says(house: House) -> None:
    """Promotions, rollbacks, refusals and approvals over two months, several a day at times."""
    rng, start = random.Random(5), date(2025, 1, 1)
    house.add(count=5)
    house.add("sales", "top", count=5)
    moves_by_unit: dict[str, list[tuple[datetime, int]]] = {"orders": [], "sales": []}
    stacks: dict[str, list[int]] = {"orders": [], "sales": []}
    moments = sorted(datetime.combine(start, time()) + timedelta(hours=rng.randrange(60 * 24)) for _ in range(16))
    for now in moments:
        unit, version = rng.choice(["orders", "sales"]), rng.randint(1, 5)
        stack = stacks[unit]
        if rng.random() < 0.3 and len(stack) > 1:
            rollback(house.as_home, unit, Signoff("lead", now))
            stack.pop()
        else:
            outcome = promote(house.as_home, unit, version, Signoff("engineer", now))
            if outcome.state == "pending":
                if rng.random() < 0.4:
                    continue
                approve(house.as_home, unit, Signoff("lead", now))
            if stack[-1:] == [version]:
                continue
            stack.append(version)
        moves_by_unit[unit].append((now, stack[-1]))
    assert min(map(len, moves_by_unit.values())) >= 3
    serving_spells = spells(house.as_home)
    for number in range(-1, 62):
        day = start + timedelta(days=number)
        first, last = datetime.combine(day, time()), datetime.combine(day + timedelta(days=1), time())
        expected = []
        for unit, moves in moves_by_unit.items():
            before = [version for at, version in moves if at <= first][-1:]
            expected += [(unit, version) for version in before]
            expected += [(unit, version) for at, version in moves if first < at < last]
        assert [(spell.unit, spell.version) for spell in on(day, serving_spells)] == expected, day
    assert house.audit.verify().faults == []


def test_the_longest_that_a_move_may_take_is_more_than_the_registry_waits() -> None:
    from daypart.flows.registry.mlflow_connection import BUSY_SECONDS

    assert timedelta(seconds=2 * BUSY_SECONDS) < LONGEST
