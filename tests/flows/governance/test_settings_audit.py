"""Files of settings that are on record, by whom and what they said, and what is known of those that are not."""

import hashlib
import json
from datetime import datetime
from typing import Any

import pytest

from daypart.features.errors import DaypartError, InputError
from daypart.flows.audit.audit_log import Audit
from daypart.flows.governance.settings_audit import declare, undeclared
from daypart.flows.governance.signoff import Signoff
from daypart.flows.jobs.status import status
from daypart.flows.monitoring.monitor import monitor
from tests.flows.conftest import House

NOW = datetime(2025, 3, 1, 4)
BEFORE, AFTER = '[policy]\nretrain = "never"\n', '[policy]\nretrain = "triggered"\n'
RULE = "[raci.default.change_settings]\nresponsible = ['planner']\naccountable = 'engineer'\napproval = {}\n"


def audit_rows(house: House) -> list[dict[str, Any]]:
    return [{**row, **json.loads(row["details"])} for row in house.audit.records().to_dicts()]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def differing(house: House) -> list[tuple[str, str]]:
    return [(change.file, change.kind) for change in undeclared(house.as_home)]


def test_who_may_not_is_refused_and_nothing_is_declared(house: House) -> None:
    (house.home / "policy.toml").write_text(BEFORE)
    (house.home / "portfolio.toml").write_text("[tiers.top]\n")
    for role, message in (
        ("planner", "planner may not change settings policy.toml .*: that is for engineer, lead"),
        ("engineer", "engineer may not change tier portfolio.toml .*: that is for analyst, lead"),
    ):
        with pytest.raises(InputError, match=message):
            declare(house.as_home, Signoff(role, NOW))
    with pytest.raises(InputError, match="'secrets.toml' is no file to declare: expected settings.toml, policy.toml"):
        declare(house.as_home, Signoff("lead", NOW), files=["secrets.toml"])
    (house.home / "recipes.toml").write_text("[recipe.standard]\nround = 3\n")
    with pytest.raises(InputError, match="recipes.toml line 2"):
        declare(house.as_home, Signoff("lead", NOW))
    assert house.audit.records().is_empty()
    assert differing(house) == [("policy.toml", "new"), ("portfolio.toml", "new"), ("recipes.toml", "new")]


def test_what_is_declared_is_on_record_with_what_it_was_before(house: House, daypart: Any) -> None:
    file = house.home / "policy.toml"
    file.write_text(BEFORE)
    declare(house.as_home, Signoff("engineer", NOW, "a quiet month"))
    (first,) = audit_rows(house)
    fields = first["role"], first["activity"], first["unit"], first["at_utc"]
    assert fields == ("engineer", "change_settings", "", NOW)
    assert (first["file"], first["text"], first["reason"]) == ("policy.toml", BEFORE, "a quiet month")
    assert (first["sha256"], first["before"]) == (digest(BEFORE), None)
    assert (declare(house.as_home, Signoff("engineer", NOW)), len(audit_rows(house))) == ([], 1)
    file.write_text(AFTER)
    assert differing(house) == [("policy.toml", "changed")]
    printed = daypart(house.home, "declare", "policy.toml", "--role", "engineer").out.splitlines()
    assert printed[0] == "policy.toml: changed, declared by engineer"
    assert printed[-3:] == [" [policy]", '-retrain = "never"', '+retrain = "triggered"']
    assert "nothing to declare" in daypart(house.home, "declare", "--role", "engineer").out
    assert [(row["sha256"], row["before"]) for row in audit_rows(house)[1:]] == [(digest(AFTER), digest(BEFORE))]
    file.unlink()
    assert differing(house) == [("policy.toml", "removed")]
    declare(house.as_home, Signoff("lead", NOW))
    assert (audit_rows(house)[-1]["text"], audit_rows(house)[-1]["before"]) == (None, digest(AFTER))
    assert differing(house) == []
    assert house.audit.verify().faults == []


def test_only_named_files_are_declared_and_all_in_one_commit(house: House) -> None:
    for name, text in (("policy.toml", BEFORE), ("portfolio.toml", "[tiers.top]\n"), ("settings.toml", "seed = 3\n")):
        (house.home / name).write_text(text)
    declare(house.as_home, Signoff("analyst", NOW), files=["portfolio.toml"])
    assert differing(house) == [("policy.toml", "new"), ("settings.toml", "new")]
    declare(house.as_home, Signoff("lead", NOW))
    assert differing(house) == []
    assert [row["activity"] for row in audit_rows(house)] == ["change_tier", "change_settings", "change_settings"]
    assert house.lake.version("audit") == 1


def test_no_text_of_the_rules_lets_itself_be_declared(house: House) -> None:
    file = house.home / "governance.toml"
    file.write_text(RULE.format("false"))
    declare(house.as_home, Signoff("engineer", NOW))
    file.write_text(RULE.format("false").replace("planner", "analyst"))
    with pytest.raises(InputError, match="analyst may not change settings governance.toml"):
        declare(house.as_home, Signoff("analyst", NOW))
    assert declare(house.as_home, Signoff("planner", NOW))
    assert declare(house.as_home, Signoff("analyst", NOW)) == []


def test_where_the_rule_wants_an_approval_only_who_is_accountable_declares(house: House) -> None:
    (house.home / "governance.toml").write_text(RULE.format("true"))
    with pytest.raises(InputError, match="planner may not declare governance.toml alone: that is for engineer"):
        declare(house.as_home, Signoff("planner", NOW))
    assert status(house.as_home, NOW).undeclared[0]["may_declare"] == "engineer"
    assert declare(house.as_home, Signoff("engineer", NOW))


def test_two_who_declare_at_once_do_not_both(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    (house.home / "policy.toml").write_text(BEFORE)
    extend = Audit.extend

    def after_another(*arguments: Any) -> Any:
        monkeypatch.setattr(Audit, "extend", extend)
        declare(house.as_home, Signoff("engineer", NOW))
        return extend(*arguments)

    monkeypatch.setattr(Audit, "extend", after_another)
    with pytest.raises(DaypartError, match="another has declared files just now"):
        declare(house.as_home, Signoff("lead", NOW))
    assert [row["role"] for row in audit_rows(house)] == ["engineer"]


def test_status_names_what_is_not_declared_and_who_may(house: House, daypart: Any) -> None:
    (house.home / "portfolio.toml").write_text("[tiers.top]\n")
    files = daypart(house.home, "status", "--json").json["undeclared"]
    assert files == [{"file": "portfolio.toml", "change": "new", "may_declare": "analyst or lead"}]
    assert "portfolio.toml  new     analyst or lead" in daypart(house.home, "status").out
    declare(house.as_home, Signoff("analyst", NOW))
    assert "portfolio.toml" not in daypart(house.home, "status").out


def test_jobs_go_on_and_their_records_name_what_is_not_declared(world: Any, daypart: Any) -> None:
    (world.home / "policy.toml").write_text(BEFORE)
    assert daypart(world.home, "train", "--targets", "orders", "--as-of", "2024-02-20").status == 0
    assert daypart(world.home, "ingest", "demand", world.files / "later.parquet").status == 0
    monitor(world.as_home)
    declare(world.as_home, Signoff("engineer", NOW))
    assert daypart(world.home, "train", "--targets", "orders", "--as-of", "2024-02-21").status == 0
    rows = Audit(world.lake).records().to_dicts()
    flags = [(row["activity"], json.loads(row["details"]).get("undeclared")) for row in rows]
    assert flags[-5:] == [
        ("retrain", ["policy.toml"]), *[("decide", ["policy.toml"])] * 2, ("change_settings", None), ("retrain", None),
    ]  # fmt: skip
