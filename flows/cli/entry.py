"""Where the command line begins and ends: it runs a command and turns what goes wrong into a status and a line."""

import io
import os
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

import typer
from typer.exceptions import TyperException

# Each of them adds its commands.
from daypart.flows.cli import data, deploy, explanations, forecasts, governance, models, portfolio, replay, watch  # noqa: F401
from daypart.flows.cli.error_lines import ErrorLine, usage_error
from daypart.flows.cli.native import quiet_panics
from daypart.flows.cli.options import app

STOPPED = ErrorLine("stopped", "stopped; nothing was half-written")
CLOSED_PIPE = 141
"""The status of a program that SIGPIPE ends (128 + 13): whoever read the output has seen enough of it."""


def _stop(status: int, error: ErrorLine) -> NoReturn:
    print(error.text(sys.argv[1:], os.environ), file=sys.stderr)
    raise SystemExit(status)


def _refuse_empty(arguments: Sequence[str]) -> None:
    """Stops where an argument is empty, as of a variable that was never set: nothing means anything by that."""
    for before, argument in zip(["", *arguments], arguments, strict=False):
        name, mark, value = argument.partition("=") if argument.startswith("-") else ("", "=", argument)
        if mark and not value.strip():
            what = name or (before if before.startswith("-") else "an argument")
            _stop(2, ErrorLine("usage", f"{what} is empty: give a value, or leave it out."))


def _refuse_bytes(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Stops where a name is bytes that are no text: no table, database or page could hold it."""
    variables = {name: text for name, text in environment.items() if name.startswith("DAYPART_")}
    texts = {**{f"argument {number}": text for number, text in enumerate(arguments, 1)}, **variables}
    for name, text in texts.items():
        try:
            text.encode()
        except UnicodeEncodeError:
            _stop(2, ErrorLine("usage", f"{name} is {text!r}: expected text in UTF-8; rename what it names"))


def main() -> None:
    """Runs a command: exit status 0 done, 2 wrong input or arguments, 141 a closed pipe, 1 anything else."""
    # LightGBM's threads spin while they wait unless told so before it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "1")  # Prefect's.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    _refuse_bytes(sys.argv[1:], os.environ)
    _refuse_empty(sys.argv[1:])
    with quiet_panics():
        _run()


def _run() -> None:
    try:
        # Typer turns an interrupt into a status that it returns.
        if app(sys.argv[1:] or ["--help"], prog_name="daypart", standalone_mode=False):
            _stop(1, STOPPED)
        sys.stdout.flush()
    except TyperException as wrong:
        _stop(2, usage_error(wrong))
    except (KeyboardInterrupt, typer.Abort):
        _stop(1, STOPPED)
    except (BrokenPipeError, SystemExit) as ended:
        # Typer makes a closed pipe a status of its own.
        if isinstance(ended, SystemExit) and not isinstance(ended.__context__, BrokenPipeError):
            raise
        _close_stdout()
        raise SystemExit(CLOSED_PIPE) from None
    except Exception as failed:
        from daypart.features.errors import DaypartError, InputError

        if os.environ.get("DAYPART_DEBUG"):
            raise
        if isinstance(failed, DaypartError):
            _stop(2 if isinstance(failed, InputError) else 1, ErrorLine.from_error(failed))
        if isinstance(failed, OSError) and failed.strerror:
            _close_stdout()
            remedy = "free some of the disk, or send it elsewhere"
            _stop(1, ErrorLine("output", f"the output cannot be written ({failed.strerror}): {remedy}"))
        defect = f"{type(failed).__name__}: {failed} (set DAYPART_DEBUG=1 for the traceback)"
        _stop(1, ErrorLine("defect", defect))


def _close_stdout() -> None:
    """What is left of the output goes nowhere: Python would try again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
