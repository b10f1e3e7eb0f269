"""A cut audit: what jobs do then, and who may put it on record."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from daypart.features.errors import DamagedError, InputError
from daypart.flows.audit.audit_history import UnitHistory
from daypart.flows.deployment.tasks import in_passing
from daypart.flows.governance.approval import approve, reject
from daypart.flows.governance.audit_repair import repair
from daypart.flows.governance.promotion import promote, rollback
from daypart.flows.governance.settings_audit import declare
from daypart.flows.governance.signoff import Signoff
from daypart.flows.ingest.ingest import ingest_table
from daypart.flows.jobs.forecast import publish
from daypart.flows.jobs.status import status
from daypart.flows.jobs.train import train
from daypart.flows.monitoring.monitor import monitor
from daypart.flows.registry.registry import Registry
from daypart.forecasting.models.recipe import Recipe
from tests.flows.audit.test_verification import cut_end, log, lose_file
from tests.flows.conftest import SMALL, House, World

NOW = datetime(2025, 3, 1, 4)
CUT = "the audit is not as it was written, so nothing more is recorded: records 3 to 4 are gone from the end"


@pytest.fixture
def cut(house: House) -> House:
    house.add(count=3)
    for version in (1, 2):
        promote(house.as_home, "orders", version, Signoff("engineer", NOW))
    cut_end(house.home / "lake", 2)
    return house


def test_nothing_is_promoted_rolled_back_or_declared_and_the_champion_serves(cut: House) -> None:
    (cut.home / "policy.toml").write_text("[policy]\n")
    works: list[Callable[[], object]] = [
        lambda: promote(cut.as_home, "orders", 3, Signoff("lead", NOW)),
        lambda: rollback(cut.as_home, "orders", Signoff("lead", NOW)),
        lambda: approve(cut.as_home, "orders", Signoff("lead", NOW)),
        lambda: reject(cut.as_home, "orders", Signoff("lead", NOW)),
        lambda: declare(cut.as_home, Signoff("lead", NOW)),
    ]
    for work in works:
        with pytest.raises(DamagedError, match=CUT):
            work()
        assert cut.champion() == 2
        assert cut.audit.verify().faults == ["records 3 to 4 are gone from the end: the registry knows of 4"]
    assert status(cut.as_home, NOW).notices[0].startswith(CUT)


def test_the_command_says_what_is_cut_until_who_is_accountable_records_it(cut: House, daypart: Any) -> None:
    home = cut.home
    result = daypart(home, "promote", "orders", "--version", 3, "--role", "lead")
    assert (result.status, result.err.count("\n")) == (1, 1)
    assert CUT in result.err
    for _ in range(2):
        verified = daypart(home, "audit", "--verify")
        assert (verified.status, verified.out.splitlines()[1]) == (
            1, "records 3 to 4 are gone from the end: the registry knows of 4",
        )  # fmt: skip
    reason = ("--reason", "the disk broke")
    for role, message in (
        ((), "unknown role ''"),
        (("--role", "boss"), "unknown role 'boss'"),
        (("--role", "engineer"), "engineer may not repair the audit (tier default): that is for lead"),
    ):
        refused = daypart(home, "audit", "--repair", *role, *reason)
        assert (refused.status, message in refused.err) == (2, True), refused.err
    blank = daypart(home, "audit", "--repair", "--role", "lead", "--reason", " ")
    assert (blank.status, "--reason is empty" in blank.err) == (2, True)
    assert daypart(home, "audit", "--verify").status == 1
    repaired = daypart(home, "audit", "--repair", "--role", "lead", *reason)
    assert (repaired.status, repaired.out.splitlines()[1]) == (
        0, "records 3 to 4 are gone from the end: the registry knows of 4",
    )  # fmt: skip
    assert "record 5 acknowledges this, by lead" in repaired.out
    verified = daypart(home, "audit", "--verify")
    assert verified.status == 0
    _, first, second, head = verified.out.splitlines()
    assert first.startswith("records 3 to 4 are missing; repaired by record 5 by lead on ")
    assert first.endswith(": the disk broke")
    assert second == "the other 3 records are as they were written; the registry knows of 5"
    assert head.startswith("head 5:")
    again = daypart(home, "audit", "--repair", "--role", "lead", *reason, "--json").json
    assert again == {"home": str(home), "repair": None}
    assert daypart(home, "promote", "orders", "--version", 3, "--role", "lead").status == 0
    assert cut.audit.verify().records == 5


def test_a_head_that_is_none_is_wrong_input(cut: House, daypart: Any) -> None:
    for head, reason in (("", "--head is empty"), ("nonsense", "expected NUMBER:HASH")):
        result = daypart(cut.home, "audit", "--verify", "--head", head)
        assert (result.status, reason in result.err) == (2, True), result.err


def test_who_repairs_is_who_is_accountable_for_settings_or_as_a_table_has_it(cut: House) -> None:
    rule = "[raci.default.{}]\nresponsible = ['analyst']\naccountable = '{}'\napproval = {}\n"
    file = cut.home / "governance.toml"
    for text, allowed in (
        (rule.format("change_settings", "engineer", "false"), "engineer"),
        (rule.format("repair_audit", "planner", "true"), "analyst, planner"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=f"that is for {allowed}"):
            repair(cut.as_home, Signoff("lead", NOW, "why"))
    with pytest.raises(InputError, match="analyst may not repair the audit alone: that is for planner"):
        repair(cut.as_home, Signoff("analyst", NOW, "why"))
    assert repair(cut.as_home, Signoff("planner", NOW, "why")) is not None


def test_a_log_that_cannot_be_read_is_told_by_status_and_moved_away_for_a_repair(cut: House, daypart: Any) -> None:
    log(cut.home / "lake", 0).write_text("{")
    assert daypart(cut.home, "audit", "--verify").status == 1
    for command in (("status",), ("status", "--json")):
        result = daypart(cut.home, *command)
        assert (result.status, "table audit, version 0: " in result.out) == (0, True)
        assert "no audit record says" not in result.out
    refused = daypart(cut.home, "promote", "orders", "--version", 3, "--role", "lead")
    assert (refused.status, refused.err.count("\n")) == (1, 1)
    with pytest.raises(DamagedError, match="without a copy, move it out of the lake and repair again"):
        repair(cut.as_home, Signoff("lead", NOW, "why"))
    (cut.home / "lake" / "audit").rename(cut.home / "audit.damaged")
    repair_record = repair(cut.as_home, Signoff("lead", NOW, "why"))
    assert repair_record is not None
    assert repair_record.sequence == 5
    assert cut.audit.verify().faults == []


def test_a_move_of_which_the_beginning_is_missing_did_happen(cut: House) -> None:
    repair(cut.as_home, Signoff("lead", NOW, "why"))
    promote(cut.as_home, "orders", 3, Signoff("lead", NOW))
    lose_file(cut.home / "lake", 4)
    repair(cut.as_home, Signoff("lead", NOW, "why"))
    trail = UnitHistory.from_records(cut.audit.records(), "orders")
    assert [(move.version, move.state, move.reason) for move in trail.moves] == [
        (1, "done", ""), (3, "done", "the record of why is missing"),
    ]  # fmt: skip
    assert status(cut.as_home, NOW).notices == []


class State:
    """A task's state that failed with an error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def result(self) -> None:
        raise self._error


def test_jobs_do_not_try_again_what_a_person_must_look_at() -> None:
    assert in_passing(None, None, State(OSError("busy")))
    assert not in_passing(None, None, State(DamagedError("cut")))


def test_forecasts_and_scores_go_on_while_nothing_is_decided_or_trained(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_end(world.home / "lake", 2)
    fault = "records 5 to 6 are gone from the end"
    registered = world.versions()
    with monkeypatch.context() as patch:
        patch.setattr(Registry, "record", None)
        with pytest.raises(DamagedError, match=fault):
            train(world.as_home, Recipe(**SMALL))
    ingest_table(world.as_home, "demand", [world.files / "later.parquet"])
    with pytest.raises(DamagedError, match=fault):
        monitor(world.as_home)
    assert world.lake.exists("scores")
    assert not world.lake.exists("decisions")
    assert publish(world.as_home) == world.origin + timedelta(days=14)
    assert {name: world.versions()[name] for name in ("orders", "sales", "audit")} == {
        **{name: registered[name] for name in ("orders", "sales")}, "audit": registered["audit"],
    }  # fmt: skip
    repair(world.as_home, Signoff("lead", NOW, "why"))
    assert monitor(world.as_home).decisions
    assert world.lake.exists("decisions")
