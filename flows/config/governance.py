"""Governance: who may do what with the models of a tier, and who must approve, in a file that people commit."""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from daypart.features.errors import InputError
from daypart.flows.config import portfolio, toml_files
from daypart.flows.config.toml_files import Name

Activity = Literal[
    "retrain", "promote", "rollback", "override_policy", "change_tier", "change_settings", "repair_audit"
]
ACTIVITIES: tuple[str, ...] = get_args(Activity)
DEFAULT = "default"
"""The table for all tiers without a table of their own."""
AUTOMATION = "automation"
"""The role of scheduled jobs, which is always declared."""
GOVERNANCE_TABLES = "tables such as [raci.default.promote]"


class Rule(BaseModel):
    """The RACI of one activity: who may do it, who is accountable, who is consulted before and informed after.

    With `approval` the activity waits until the accountable role approves. With `separate` the role that requested it
    cannot approve it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    responsible: tuple[Name, ...] = Field(min_length=1)
    accountable: Name
    consulted: tuple[Name, ...] = ()
    informed: tuple[Name, ...] = ()
    approval: bool = False
    separate: bool = True

    @property
    def may(self) -> tuple[str, ...]:
        """Return the roles that may do it, or request it."""
        return tuple(dict.fromkeys((*self.responsible, self.accountable)))

    @property
    def may_alone(self) -> tuple[str, ...]:
        """Return the roles that may do it without approval of another: with `approval` only the accountable one."""
        return (self.accountable,) if self.approval else self.may

    def awaits(self, asker: str, agreed: Collection[str] = ()) -> bool:
        """Return whether the accountable role must still approve.

        A role that requests the activity approves it by that, unless the two must be `separate`.
        """
        agreed_roles = {*agreed} if self.separate else {*agreed, asker}
        return self.approval and self.accountable not in agreed_roles

    def assignments(self) -> Iterator[tuple[str, str]]:
        """Yield every assignment: the field of the rule, and the role in it."""
        yield from (("responsible", role) for role in self.responsible)
        yield "accountable", self.accountable
        yield from (("consulted", role) for role in self.consulted)
        yield from (("informed", role) for role in self.informed)


ROLES = {
    AUTOMATION: "the scheduled jobs",
    "planner": "plans what stores prepare and whom they schedule",
    "analyst": "watches accuracy and its causes",
    "engineer": "runs daypart",
    "lead": "answers for the forecasts",
}


def _rule(*responsible: str, consulted: tuple[str, ...] = (), approval: bool = False) -> Rule:
    return Rule(
        responsible=responsible, accountable="lead", consulted=consulted, informed=("planner",), approval=approval
    )


RACI: dict[str, dict[Activity, Rule]] = {
    DEFAULT: {
        "retrain": _rule(AUTOMATION, "analyst", "engineer"),
        "promote": _rule(AUTOMATION, "analyst", "engineer"),
        "rollback": _rule("analyst", "engineer"),
        "override_policy": _rule("analyst", consulted=("engineer",)),
        "change_tier": _rule("analyst", consulted=("engineer",)),
        "change_settings": _rule("engineer", consulted=("analyst",)),
    },
    "top": {"promote": _rule(AUTOMATION, "analyst", "engineer", approval=True)},
}
"""The rules that apply without a file. `Governance.rule` derives `repair_audit` from `change_settings`."""


class Governance(BaseModel):
    """The roles, each with what it does, and the rules by tier and activity.

    In the file these are `[roles]` and `[raci.TIER.ACTIVITY]`; TIER `default` applies to all tiers without a table of
    their own for that activity. A table inherits nothing. The built-in rule applies where the file has no table.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    roles: dict[Name, str] = Field(default_factory=lambda: dict(ROLES))
    raci: dict[Name, dict[Activity, Rule]] = {}

    @field_validator("roles", mode="after")
    @classmethod
    def _with_automation(cls, roles: dict[str, str]) -> dict[str, str]:
        return {AUTOMATION: ROLES[AUTOMATION], **roles}

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the governance of the file; the built-in one where there is no file.

        If the folder has a portfolio.toml, a tier must be built in or declared by the home. Without one, model versions
        record their tiers. Raises InputError that names the line, what the file says, and what is expected.
        """
        loaded = toml_files.load(path, GOVERNANCE_TABLES)
        if loaded is None:
            return cls()
        text, _ = loaded
        governance = cls.from_text(path, text)
        if (path.parent / "portfolio.toml").exists():
            allowed_tiers = list(dict.fromkeys((*RACI, *portfolio.tiers(path.parent))))
            unknown = next((tier for tier in governance.raci if tier not in allowed_tiers), None)
            if unknown is not None:
                where = toml_files.line_of(text, ("raci", unknown))
                raise InputError(f"{path}{where}: {portfolio.no_such_tier(unknown, allowed_tiers)}")
        return governance

    @classmethod
    def from_text(cls, path: Path, text: str) -> Self:
        """Return the governance of a text of the file. Raises as `read`."""
        document = toml_files.parse(path, text, GOVERNANCE_TABLES)
        try:
            governance = cls.model_validate_json(json.dumps(document, default=str))
        except ValidationError as wrong:
            # A misspelt name is also reported as missing; the misspelt name is the better message.
            error = min(wrong.errors(), key=lambda detail: detail["type"] != "extra_forbidden")
            raise InputError(f"{path}{toml_files.line_of(text, error['loc'])}: {_error_message(error)}") from None
        except RecursionError:
            raise InputError(f"{path} cannot be read: {toml_files.NESTED}; expected {GOVERNANCE_TABLES}") from None
        except ValueError as wrong:
            raise InputError(f"{path} cannot be read: {wrong}; expected {GOVERNANCE_TABLES}") from None
        for key_path, fault in governance._undeclared_roles():
            raise InputError(f"{path}{toml_files.line_of(text, key_path)}: {fault}")
        return governance

    def rule(self, activity: Activity, tier: str) -> Rule:
        """Return the rule for an activity with a tier's models: of the tier's table, of the default one, or built in.

        Without a table for `repair_audit`, only the role that is accountable for `change_settings` may do it.
        """
        tables = [raci.get(name, {}) for name in (tier, DEFAULT) for raci in (self.raci, RACI)]
        rule = next((table[activity] for table in tables if activity in table), None)
        if rule is not None:
            return rule
        accountable = self.rule("change_settings", tier).accountable
        return Rule(responsible=(accountable,), accountable=accountable)

    def check(self, activity: Activity, tier: str, unit: str, role: str) -> Rule:
        """Return the rule if the role may do that. Raises InputError that names the role, the activity and who may."""
        rule = self.rule(activity, tier)
        if role not in self.roles:
            raise InputError(
                f"unknown role {role!r}: expected one of {', '.join(self.roles)}, as governance.toml has them"
            )
        if role not in rule.may:
            raise InputError(
                f"{role} may not {activity_verb(activity)} {unit} (tier {tier}): that is for {', '.join(rule.may)}"
            )
        return rule

    def _undeclared_roles(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Yield each place where a rule names a role that is not declared, and the message with the remedy."""
        message = f"is no role; expected one of {', '.join(self.roles)}, or declare it in [roles]"
        declared = {(tier, activity): rule for tier, rules in self.raci.items() for activity, rule in rules.items()}
        for (tier, activity), rule in declared.items():
            for field, role in rule.assignments():
                if role not in self.roles:
                    yield ("raci", tier, activity, field), f"{field} {role!r} {message}"
        for tier, rules in RACI.items():
            for activity, rule in rules.items():
                absent = dict.fromkeys(role for _, role in rule.assignments() if role not in self.roles)
                if absent and (tier, activity) not in declared:
                    flaw = f"is not given, and as built in it names {', '.join(absent)}"
                    yield ("roles",), f"[raci.{tier}.{activity}] {flaw}, which [roles] does not declare; add that table"


def activity_verb(activity: str) -> str:
    """Return the activity as a verb."""
    verbs = {"rollback": "roll back", "override_policy": "override the policy for", "repair_audit": "repair"}
    return verbs.get(activity, activity.replace("_", " "))


def _error_message(error: ErrorDetails) -> str:
    """Return what the file says and what is expected."""
    loc = [str(part) for part in error["loc"] if part != "[key]"]
    name = next((part for part in reversed(loc) if not part.isdecimal()), "")
    if error["type"] == "missing":
        return f"[{'.'.join(loc[:-1])}] has no {loc[-1]}; expected {_expected_value(loc[-1])}"
    if error["type"] == "extra_forbidden":
        expected = list(Rule.model_fields) if len(loc) > 1 else ["[roles]", "tables such as [raci.default.promote]"]
        return f"{name!r} is not known here; expected {', '.join(expected)}"
    if error["type"] == "literal_error":
        return f"unknown activity {error['input']!r}; expected {', '.join(ACTIVITIES)}"
    if error["type"] in ("model_type", "dict_type"):
        return f"{name} is {error['input']!r}; expected a table such as [raci.default.promote]"
    return f"{name} is {error['input']!r}: {error['msg']}"


def _expected_value(field: str) -> str:
    return 'a role, such as accountable = "lead"' if field == "accountable" else 'roles, such as ["automation"]'
