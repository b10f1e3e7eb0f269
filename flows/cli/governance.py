"""Commands that say who serves, and show who said so: promote, rollback, approve, reject, declare, audit."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from daypart.flows.cli import options
from daypart.flows.cli.help import GOVERNANCE
from daypart.flows.cli.options import Json, app, open_home

Unit = Annotated[str, typer.Argument(metavar="UNIT", help="The unit: orders, or orders.west for a segment's model.")]
Request = Annotated[str, typer.Argument(metavar="UNIT|ID", help="The request, by its unit or its number.")]
Role = Annotated[
    str,
    typer.Option(envvar="DAYPART_ROLE", metavar="ROLE", help="The role that asks, such as lead; see governance.toml."),
]
Version = Annotated[
    int | None, typer.Option(min=1, max=options.MOST, metavar="N", help="The version; default the challenger.")
]
Earlier = Annotated[
    int | None,
    typer.Option(
        min=1, max=options.MOST, metavar="N", help="A version that has served; default the one before the champion."
    ),
]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="The reason, for the audit.")]


@app.command(rich_help_panel=GOVERNANCE)
def promote(unit: Unit, role: Role, version: Version = None, reason: Reason = "", json: Json = False) -> None:
    """Let a version serve from the next forecast on, or request it where somebody else must agree."""
    from daypart.flows.display import governance as display
    from daypart.flows.governance import promotion as promotions
    from daypart.flows.governance.signoff import Signoff

    home = open_home().must_exist().must_be_writable()
    outcome = promotions.promote(home, unit, version, Signoff(role, datetime.now(UTC), reason))
    display.show_outcome(outcome, as_json=json)


@app.command(rich_help_panel=GOVERNANCE)
def rollback(unit: Unit, role: Role, version: Earlier = None, reason: Reason = "", json: Json = False) -> None:
    """Let the version that served before serve again from the next forecast on."""
    from daypart.flows.display import governance as display
    from daypart.flows.governance import promotion as promotions
    from daypart.flows.governance.signoff import Signoff

    home = open_home().must_exist().must_be_writable()
    outcome = promotions.rollback(home, unit, Signoff(role, datetime.now(UTC), reason), version)
    display.show_outcome(outcome, as_json=json)


@app.command(rich_help_panel=GOVERNANCE)
def approve(request: Request, role: Role, reason: Reason = "", json: Json = False) -> None:
    """Agree to what a request asks for, which is then done."""
    from daypart.flows.display import governance as display
    from daypart.flows.governance import approval as approvals
    from daypart.flows.governance.signoff import Signoff

    home = open_home().must_exist().must_be_writable()
    outcome = approvals.approve(home, request, Signoff(role, datetime.now(UTC), reason))
    display.show_outcome(outcome, as_json=json)


@app.command(rich_help_panel=GOVERNANCE)
def reject(request: Request, role: Role, reason: Reason = "", json: Json = False) -> None:
    """Refuse what a request asks for."""
    from daypart.flows.display import governance as display
    from daypart.flows.governance import approval as approvals
    from daypart.flows.governance.signoff import Signoff

    home = open_home().must_exist().must_be_writable()
    outcome = approvals.reject(home, request, Signoff(role, datetime.now(UTC), reason))
    display.show_outcome(outcome, as_json=json)


@app.command(rich_help_panel=GOVERNANCE)
def declare(
    role: Role,
    files: Annotated[
        list[str] | None, typer.Argument(metavar="FILE", help="Files such as policy.toml; default all that differ.")
    ] = None,
    reason: Reason = "",
    json: Json = False,
) -> None:
    """Record in the audit what the home's settings files say now, and show what is new in them."""
    from daypart.flows.display import governance as display
    from daypart.flows.governance import settings_audit
    from daypart.flows.governance.signoff import Signoff

    home = open_home().must_exist().must_be_writable()
    changes = settings_audit.declare(home, Signoff(role, datetime.now(UTC), reason), files or ())
    display.show_declared(changes, role, as_json=json)


@app.command(rich_help_panel=GOVERNANCE)
def audit(
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Recompute every hash; the exit status is 1 if one, or a champion, differs."),
    ] = False,
    head: Annotated[
        str | None, typer.Option(metavar="HASH", help="With --verify: the head that it printed before, kept elsewhere.")
    ] = None,
    unit: Annotated[str | None, typer.Option(metavar="UNIT", help="Only records of this unit.")] = None,
    since: Annotated[str | None, typer.Option(metavar="DATE", help="Only records of this date (UTC) or later.")] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Record what is missing or changed, with --role and --reason.")
    ] = False,
    role: Annotated[
        str, typer.Option(envvar="DAYPART_ROLE", metavar="ROLE", help="With --repair: the role that records it.")
    ] = "",
    reason: Annotated[str, typer.Option(metavar="TEXT", help="With --repair: what happened, for the audit.")] = "",
    json: Json = False,
) -> None:
    """Show the audit records, check that none was changed, removed, added or moved, or record what is missing."""
    from daypart.features.errors import DaypartError
    from daypart.flows.display import governance as display
    from daypart.flows.governance.alias_reconciliation import verify_audit

    home = open_home(tolerant=not repair).must_exist()
    day = options.optional_day(since, "--since")
    if repair:
        from daypart.flows.governance import audit_repair as repairs
        from daypart.flows.governance.signoff import Signoff

        home.must_be_writable()
        record = repairs.repair(home, Signoff(role, datetime.now(UTC), reason))
        display.show_repaired(record, home.path, as_json=json)
        return
    if not (verify or head is not None):
        display.show_records(home.audit.records(), unit, day, home.path, as_json=json)
        return
    verification, champions = verify_audit(home, head)
    display.show_verified(verification, champions, home.path, as_json=json)
    if verification.faults:
        raise DaypartError(
            "the audit is not as it was written: restore it from a copy and ask who could write to it, or record what "
            "is missing with `daypart audit --repair --role ROLE --reason TEXT`"
        )
    if champions:
        raise DaypartError(
            "the records are as they were written, but champions are not what they say: ask who can write to the "
            "registry, then promote or roll back"
        )
