from pathlib import Path

import pytest

from daypart.features.errors import InputError
from daypart.flows.config.governance import ACTIVITIES, RACI, ROLES, Governance

TEXT = """
[roles]
owner = "owns the model"
validator = "checks it"
engineer = "runs daypart"

[raci.default.retrain]
responsible = ["automation"]
accountable = "owner"

[raci.default.promote]
responsible = ["engineer"]
accountable = "owner"

[raci.gold.promote]
responsible = ["engineer", "automation"]
accountable = "validator"
approval = true
separate = false

[raci.default.rollback]
responsible = ["engineer"]
accountable = "owner"

[raci.default.override_policy]
responsible = ["owner"]
accountable = "owner"

[raci.default.change_tier]
responsible = ["owner"]
accountable = "owner"

[raci.default.change_settings]
responsible = ["engineer"]
accountable = "owner"

[raci.top.promote]
responsible = ["engineer"]
accountable = "owner"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "governance.toml"
    path.write_text(TEXT)
    (tmp_path / "portfolio.toml").write_text("[tiers.gold]\n")
    return path


def test_without_a_file_every_activity_has_a_rule_and_the_top_tier_waits(tmp_path: Path) -> None:
    usual = Governance.read(tmp_path / "governance.toml")
    assert {usual.rule(activity, tier).accountable for activity in ACTIVITIES for tier in ("standard", "top")} == {
        "lead"
    }
    waiting = [(tier, a) for tier in ("standard", "top") for a in ACTIVITIES if usual.rule(a, tier).approval]
    assert waiting == [("top", "promote")]
    roles = {role for rules in RACI.values() for rule in rules.values() for _, role in rule.assignments()}
    assert roles == set(ROLES)


def test_a_tiers_own_table_wins_and_other_tiers_go_by_the_default(file: Path) -> None:
    governance = Governance.read(file)
    assert governance.check("promote", "gold", "orders", "automation").approval
    assert not governance.check("promote", "standard", "orders", "owner").approval
    assert not governance.rule("promote", "top").approval
    with pytest.raises(
        InputError, match="automation may not promote orders .tier standard.: that is for engineer, owner"
    ):
        governance.check("promote", "standard", "orders", "automation")
    with pytest.raises(InputError, match="unknown role 'lead': expected one of automation, owner, validator, engineer"):
        governance.check("promote", "standard", "orders", "lead")


def test_those_who_are_only_asked_or_told_may_not_act(tmp_path: Path) -> None:
    usual = Governance.read(tmp_path / "governance.toml")
    with pytest.raises(InputError, match="planner may not roll back sales .* that is for analyst, engineer, lead"):
        usual.check("rollback", "standard", "sales", "planner")
    with pytest.raises(InputError, match="engineer may not override the policy for sales"):
        usual.check("override_policy", "standard", "sales", "engineer")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\nx = 1\n", "line 2: 'x' is not known here; expected [roles], tables such as [raci.default.promote]"),
        ("[raci.top.promot]\nresponsible = ['lead']\n", "line 1: unknown activity 'promot'; expected retrain, promote"),
        ("# a\n[raci.top.promote]\nresponsible = ['lead']\n", "line 2: [raci.top.promote] has no accountable"),
        ("[raci.top.promote]\naccountable = 'lead'\n", "line 1: [raci.top.promote] has no responsible"),
        (
            "[raci.top.promote]\nresponsible = ['lead']\naccountable = 'boss'\n",
            "line 3: accountable 'boss' is no role; expected one of automation, planner, analyst, engineer, lead",
        ),
        (
            "[raci.a.promote]\nresponsible = ['lead']\naccountable = 'lead'\ninformed = ['x']\n",
            "line 4: informed 'x' is no role",
        ),
        ("[raci.a.promote]\nresponsible = []\naccountable = 'lead'\n", "line 2: responsible is []"),
        ("[raci.a.promote]\nresponsible = 'lead'\naccountable = 'lead'\n", "line 2: responsible is 'lead'"),
        ("[raci.a.promote]\nresponsible = ['lead']\naccountable = ['lead']\n", "line 3: accountable is ['lead']"),
        ("[raci.a.promote]\nresponsible = ['lead']\naccountable = 'lead'\napproval = 'yes'\n", "line 4: approval is"),
        ("[raci.a.promote]\nresponsibl = ['lead']\naccountable = 'lead'\n", "'responsibl' is not known here"),
        ("raci = 3\n", "line 1: raci is 3; expected a table such as [raci.default.promote]"),
        ("[raci]\ntop = 3\n", "line 2: top is 3"),
        ("[roles]\nlead = 3\n", "line 2: lead is 3"),
        (
            "[roles]\nboss = 'x'\n",
            "line 1: [raci.default.retrain] is not given, and as built in it names analyst, engineer, lead, planner",
        ),
        ("[raci.top\n", "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line_that_says_where(file: Path, text: str, expected: str) -> None:
    file.write_text(text)
    with pytest.raises(InputError) as refused:
        Governance.read(file)
    assert str(refused.value).startswith(str(file))
    assert expected in str(refused.value)
    assert "\n" not in str(refused.value)
