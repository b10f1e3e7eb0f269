"""Orphans: the server and worker that a killed `daypart deploy --local` left running."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from daypart.features.errors import DaypartError

if TYPE_CHECKING:
    import psutil

PROCESS_MODULES = ("daypart.flows.deployment.prefect_app", "worker")
"""Arguments that identify a server and a worker by their command lines; runs of a worker end with it."""


def check_none_runs(store: Path) -> None:
    """Raise DaypartError, with process ids and how to end them, if a server or worker of the store runs."""
    import psutil

    processes = _running(store)
    if not processes:
        return
    parents = {process.ppid() for process in processes} - {process.pid for process in processes}
    starters = [process for pid in sorted(parents) if (process := _starter(pid)) is not None]
    if starters:
        raise DaypartError(
            f"the server of {store} runs already, started by process {starters[0].pid}: end that with "
            f"`kill {starters[0].pid}` first, or use what it serves"
        )
    listing = ", ".join(f"{_kind(process)} {process.pid}" for process in processes)
    runs: list[int] = []
    for process in processes:
        with suppress(psutil.Error):
            runs += [child.pid for child in process.children(recursive=True)]
    pids = " ".join(str(pid) for pid in dict.fromkeys([*(process.pid for process in reversed(processes)), *runs]))
    raise DaypartError(
        f"a `daypart deploy --local` of {store} was killed and left running: {listing}; end them with `kill {pids}`, "
        "then run again"
    )


def _running(store: Path) -> "list[psutil.Process]":
    """Return the servers of the store, then its workers."""
    import psutil

    processes = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if set(PROCESS_MODULES) & set(process.cmdline()) and process.environ().get("PREFECT_HOME") == str(store):
                processes.append(process)
    return sorted(processes, key=lambda process: (_kind(process), process.pid))


def _kind(process: "psutil.Process") -> str:
    return "server" if PROCESS_MODULES[0] in process.cmdline() else "worker"


def _starter(pid: int) -> "psutil.Process | None":
    """Return the `daypart deploy --local` with that id; null for another process that has adopted the orphans."""
    import psutil

    with suppress(psutil.Error):
        process = psutil.Process(pid)
        if {"deploy", "--local"} <= set(process.cmdline()):
            return process
    return None
