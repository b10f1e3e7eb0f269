"""Who is asked, by the portfolio as it is declared, and of a version that the gate refused."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from daypart.features.errors import InputError
from daypart.flows.audit.audit_history import UnitHistory
from daypart.flows.audit.audit_log import Entry
from daypart.flows.governance.approval import approve, pending
from daypart.flows.governance.promotion import promote
from daypart.flows.governance.signoff import Signoff
from daypart.flows.jobs.status import status
from tests.flows.conftest import House

NOW = datetime(2025, 3, 1, 4)
HOUR = timedelta(hours=1)
TOP = "[segments]\nby = 'region'\n[tiers.top]\n[[assign]]\ntarget = 'orders'\nsegment = 'West'\ntier = 'top'\n"
RULE = "[raci.default.{}]\nresponsible = ['analyst']\naccountable = '{}'\napproval = {}\n"


def record_verdict(house: House, version: int, promotes: bool, reason: str) -> None:
    details = {"version": version, "promote": promotes, "reason": reason}
    house.audit.append(NOW, "automation", Entry("retrain", "orders", details))


def switch_details(house: House, unit: str = "orders") -> list[dict[str, Any]]:
    """Details of the records of moves."""
    rows = house.audit.records().to_dicts()
    return [json.loads(row["details"]) for row in rows if (row["unit"], row["activity"] == "retrain") == (unit, False)]


def test_a_unit_that_was_moved_to_the_top_waits_for_its_approver(house: House) -> None:
    house.add("orders.West")
    house.add("orders.East", tier="top")
    (house.home / "portfolio.toml").write_text(TOP)
    outcome = promote(house.as_home, "orders.West", 1, Signoff("automation", NOW))
    assert (outcome.state, "waits for lead" in outcome.told) == ("pending", True)
    assert promote(house.as_home, "orders.East", 1, Signoff("automation", NOW)).state == "serves"
    (house.home / "portfolio.toml").write_text("[[assign]]\ntier = 'tpo'\n")
    with pytest.raises(InputError, match="portfolio.toml line 2: tier is 'tpo'"):
        promote(house.as_home, "orders.East", 1, Signoff("automation", NOW))


def test_what_the_gate_refused_takes_who_may_override_it(house: House) -> None:
    house.add(count=2)
    record_verdict(house, 1, True, "the first")
    record_verdict(house, 2, False, "worse by 40 bps")
    record_verdict(house, 3, True, "better")
    text = "engineer may not override the policy for v2 of orders, which the gate refused .*: that is for analyst, lead"
    with pytest.raises(InputError, match=text):
        promote(house.as_home, "orders", 2, Signoff("engineer", NOW))
    assert switch_details(house) == []
    assert promote(house.as_home, "orders", 1, Signoff("engineer", NOW)).state == "serves"
    assert promote(house.as_home, "orders", 2, Signoff("analyst", NOW, "the sale is over")).state == "serves"
    begun = switch_details(house)[2]
    assert (begun["override"], begun["gate"], begun["reason"]) == (True, "worse by 40 bps", "the sale is over")
    assert all("override" not in details for details in switch_details(house)[:2])
    promote(house.as_home, "orders", 1, Signoff("engineer", NOW))
    record_verdict(house, 2, True, "better by 40 bps")
    assert promote(house.as_home, "orders", 2, Signoff("engineer", NOW)).state == "serves"
    assert "override" not in switch_details(house)[-2]


def test_the_stricter_of_the_two_rules_holds(house: House) -> None:
    house.add(count=2)
    record_verdict(house, 2, False, "too little to judge on")
    (house.home / "governance.toml").write_text(RULE.format("override_policy", "engineer", "true"))
    assert promote(house.as_home, "orders", 1, Signoff("lead", NOW)).state == "serves"
    with pytest.raises(InputError, match="engineer must approve .* may not ask for it too: let analyst ask"):
        promote(house.as_home, "orders", 2, Signoff("engineer", NOW))
    outcome = promote(house.as_home, "orders", 2, Signoff("analyst", NOW))
    assert outcome.told.startswith("v2 of orders is asked for (request 4) and waits for engineer; v1")
    with pytest.raises(InputError, match="lead may not approve request 4"):
        approve(house.as_home, "orders", Signoff("lead", NOW))
    assert approve(house.as_home, "orders", Signoff("engineer", NOW)).state == "serves"
    assert [details["gate"] for details in switch_details(house)[2:4]] == ["too little to judge on"] * 2


def test_where_both_rules_want_an_approval_both_who_are_accountable_agree(house: House) -> None:
    house.add(count=2)
    record_verdict(house, 2, False, "worse")
    both = RULE.format("override_policy", "engineer", "true") + RULE.format("promote", "lead", "true")
    (house.home / "governance.toml").write_text(both)
    outcome = promote(house.as_home, "orders", 2, Signoff("analyst", NOW))
    assert "waits for lead and engineer; nothing serves" in outcome.told
    first = approve(house.as_home, "orders", Signoff("lead", NOW + HOUR))
    assert first.told == "lead agrees to request 2, which waits for engineer; nothing serves until then"
    (waits,) = status(house.as_home, NOW + HOUR).pending
    assert waits["waits_for"] == "engineer"
    with pytest.raises(InputError, match="lead may not approve request 2 .*: that is for engineer"):
        approve(house.as_home, "orders", Signoff("lead", NOW + HOUR))
    assert (house.champion(), promote(house.as_home, "orders", 2, Signoff("analyst", NOW)).changed) == (None, False)
    assert approve(house.as_home, "orders", Signoff("engineer", NOW + 2 * HOUR)).state == "serves"
    assert pending(house.audit.records()) == []
    (spell,) = UnitHistory.from_records(house.audit.records(), "orders").spells
    assert (spell.agreed, spell.since) == ("lead, engineer, asked by analyst", NOW + 2 * HOUR)
