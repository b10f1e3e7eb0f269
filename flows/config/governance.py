"""Governance: who may do what with which tier's models, and who must agree, in a file that people read and commit."""

import json
import tomllib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from daypart.features.errors import InputError
from daypart.flows.config import portfolio, toml_files

Activity = Literal[
    "retrain", "promote", "rollback", "override_policy", "change_tier", "change_settings", "repair_audit"
]
ACTIVITIES: tuple[str, ...] = get_args(Activity)
DEFAULT = "default"
"""The table for all tiers that have none of their own."""
AUTOMATION = "automation"
"""The role of scheduled jobs, which needs no declaring."""
EXPECTED = "expected tables such as [raci.default.promote]"

NAME = Annotated[str, Field(pattern="^[A-Za-z0-9_-]+$")]


class Rule(BaseModel):
    """The RACI of one activity: who may do it, who answers for it, who is asked before and who is told after.

    With `approval` it waits until the accountable role agrees, which with `separate` may not be the one who asked.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    responsible: tuple[NAME, ...] = Field(min_length=1)
    accountable: NAME
    consulted: tuple[NAME, ...] = ()
    informed: tuple[NAME, ...] = ()
    approval: bool = False
    separate: bool = True

    @property
    def may(self) -> tuple[str, ...]:
        """The roles that may do it, or ask for it."""
        return tuple(dict.fromkeys((*self.responsible, self.accountable)))

    @property
    def may_alone(self) -> tuple[str, ...]:
        """The roles that may do it without anybody else: with `approval` the accountable one only."""
        return (self.accountable,) if self.approval else self.may

    def awaits(self, asker: str, agreed: Collection[str] = ()) -> bool:
        """Whether the accountable role must yet agree. Who asks agrees by that, unless the two are to be `separate`."""
        agreed_roles = {*agreed} if self.separate else {*agreed, asker}
        return self.approval and self.accountable not in agreed_roles

    def named(self) -> Iterator[tuple[str, str]]:
        """Every role that it names, and as what."""
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
"""What holds without a file. That for `repair_audit` follows from the one for `change_settings`: `Governance.rule`."""


class Governance(BaseModel):
    """The roles, by name what they do, and the rules by tier and activity.

    In the file `[roles]` and `[raci.TIER.ACTIVITY]`, TIER `default` for all tiers without a table of their own for
    that activity. A table stands for itself: it inherits nothing. What the file has no table for is as built in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    roles: dict[NAME, str] = Field(default_factory=lambda: dict(ROLES))
    raci: dict[NAME, dict[Activity, Rule]] = {}

    @field_validator("roles", mode="after")
    @classmethod
    def _with_automation(cls, roles: dict[str, str]) -> dict[str, str]:
        return {AUTOMATION: ROLES[AUTOMATION], **roles}

    @classmethod
    def read(cls, path: Path) -> Self:
        """What the file says; as built in where there is none. InputError names line, found, expected.

        Beside a portfolio.toml a tier must be built in or one that the home declares. Without one, versions know
        their tiers by themselves.
        """
        loaded = toml_files.load(path, EXPECTED.removeprefix("expected "))
        if loaded is None:
            return cls()
        text, _ = loaded
        governance = cls.of(path, text)
        if (path.parent / "portfolio.toml").exists():
            allowed_tiers = list(dict.fromkeys((*RACI, *portfolio.tiers(path.parent))))
            unknown = next((tier for tier in governance.raci if tier not in allowed_tiers), None)
            if unknown is not None:
                where = toml_files.line_of(text, ("raci", unknown))
                raise InputError(f"{path}{where}: {portfolio.no_such_tier(unknown, allowed_tiers)}")
        return governance

    @classmethod
    def of(cls, path: Path, text: str) -> Self:
        """What a text of the file says. Raises as `read`."""
        try:
            governance = cls.model_validate_json(json.dumps(tomllib.loads(text), default=str))
        except ValidationError as wrong:
            # A name that is misspelt is missed as well: it is what to tell.
            error = min(wrong.errors(), key=lambda detail: detail["type"] != "extra_forbidden")
            raise InputError(f"{path}{toml_files.line_of(text, error['loc'])}: {_worded(error)}") from None
        except RecursionError:
            raise InputError(f"{path} cannot be read: {toml_files.NESTED}; {EXPECTED}") from None
        except ValueError as wrong:
            raise InputError(f"{path} cannot be read: {wrong}; {EXPECTED}") from None
        for place, fault in governance._strangers():
            raise InputError(f"{path}{toml_files.line_of(text, place)}: {fault}")
        return governance

    def rule(self, activity: Activity, tier: str) -> Rule:
        """The rule for an activity with a tier's models: the tier's own table, or the one for all, or as built in.

        Where no table says who may `repair_audit`, only the role may that is accountable for `change_settings`.
        """
        tables = [of.get(name, {}) for name in (tier, DEFAULT) for of in (self.raci, RACI)]
        rule = next((table[activity] for table in tables if activity in table), None)
        if rule is not None:
            return rule
        accountable = self.rule("change_settings", tier).accountable
        return Rule(responsible=(accountable,), accountable=accountable)

    def check(self, activity: Activity, tier: str, unit: str, role: str) -> Rule:
        """The rule, if the role may do that. Raises InputError that names the role, the activity and who may."""
        rule = self.rule(activity, tier)
        if role not in self.roles:
            raise InputError(
                f"unknown role {role!r}: expected one of {', '.join(self.roles)}, as governance.toml has them"
            )
        if role not in rule.may:
            raise InputError(
                f"{role} may not {worded(activity)} {unit} (tier {tier}): that is for {', '.join(rule.may)}"
            )
        return rule

    def _strangers(self) -> Iterator[tuple[tuple[str, ...], str]]:
        """Where a rule names a role that is not declared, and what to do about it."""
        message = f"is no role; expected one of {', '.join(self.roles)}, or declare it in [roles]"
        declared = {(tier, activity): rule for tier, rules in self.raci.items() for activity, rule in rules.items()}
        for (tier, activity), rule in declared.items():
            for field, role in rule.named():
                if role not in self.roles:
                    yield ("raci", tier, activity, field), f"{field} {role!r} {message}"
        for tier, rules in RACI.items():
            for activity, rule in rules.items():
                absent = dict.fromkeys(role for _, role in rule.named() if role not in self.roles)
                if absent and (tier, activity) not in declared:
                    flaw = f"is not given, and as built in it names {', '.join(absent)}"
                    yield ("roles",), f"[raci.{tier}.{activity}] {flaw}, which [roles] does not declare; add that table"


def worded(activity: str) -> str:
    """The activity as a verb."""
    verbs = {"rollback": "roll back", "override_policy": "override the policy for", "repair_audit": "repair"}
    return verbs.get(activity, activity.replace("_", " "))


def _worded(error: ErrorDetails) -> str:
    """What was found and expected."""
    loc = [str(part) for part in error["loc"] if part != "[key]"]
    name = next((part for part in reversed(loc) if not part.isdecimal()), "")
    if error["type"] == "missing":
        return f"[{'.'.join(loc[:-1])}] has no {loc[-1]}; expected {_expected(loc[-1])}"
    if error["type"] == "extra_forbidden":
        expected = list(Rule.model_fields) if len(loc) > 1 else ["[roles]", "tables such as [raci.default.promote]"]
        return f"{name!r} is not known here; expected {', '.join(expected)}"
    if error["type"] == "literal_error":
        return f"unknown activity {error['input']!r}; expected {', '.join(ACTIVITIES)}"
    if error["type"] in ("model_type", "dict_type"):
        return f"{name} is {error['input']!r}; expected a table such as [raci.default.promote]"
    return f"{name} is {error['input']!r}: {error['msg']}"


def _expected(field: str) -> str:
    return 'a role, such as accountable = "lead"' if field == "accountable" else 'roles, such as ["automation"]'
