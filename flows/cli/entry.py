"""Where the command line begins and ends: it runs a command and turns what goes wrong into a status and a line."""

import errno
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer
from typer.exceptions import TyperException

# Each of them adds its commands.
from flows.cli import data, deploy, explanations, forecasts, governance, models, portfolio, replay, watch  # noqa: F401
from flows.cli.options import app

FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


def _stop(status: int, message: str) -> NoReturn:
    print("daypart: " + " ".join(message.split()), file=sys.stderr)
    raise SystemExit(status)


def _refuse_empty(arguments: Sequence[str]) -> None:
    """Stops where an argument is empty, as of a variable that was never set: nothing means anything by that."""
    for before, argument in zip(["", *arguments], arguments, strict=False):
        name, mark, value = argument.partition("=") if argument.startswith("-") else ("", "=", argument)
        if mark and not value.strip():
            what = name or (before if before.startswith("-") else "an argument")
            _stop(2, f"{what} is empty: give a value, or leave it out.")


def main() -> None:
    """Runs a command: exit status 0 done, 2 wrong input or arguments, 1 anything else."""
    # LightGBM's threads spin while they wait unless told so before it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "1")  # Prefect's.
    _refuse_empty(sys.argv[1:])
    stopped = "stopped; nothing was half-written"
    try:
        # Typer turns an interrupt into a status that it returns.
        if app(sys.argv[1:] or ["--help"], standalone_mode=False):
            _stop(1, stopped)
    except TyperException as wrong:
        _stop(2, f"{wrong.format_message()} See `daypart --help`.")
    except (KeyboardInterrupt, typer.Abort):
        _stop(1, stopped)
    except Exception as failed:
        from features.errors import DaypartError, InputError

        if os.environ.get("DAYPART_DEBUG"):
            raise
        if isinstance(failed, DaypartError):
            _stop(2 if isinstance(failed, InputError) else 1, str(failed))
        if isinstance(failed, OSError) and failed.errno in FULL:
            _stop(1, f"the disk is full ({failed}): free some of it and run again; nothing was half-written")
        _stop(1, f"{type(failed).__name__}: {failed} (set DAYPART_DEBUG=1 for the traceback)")
