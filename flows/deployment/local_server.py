"""The Prefect server that a home runs by itself, with a worker beside it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.request import urlopen

import daypart
from daypart.features.errors import DaypartError, InputError
from daypart.flows.deployment.login import ensure_login, private_folder, read_login
from daypart.flows.deployment.orphan_processes import check_none_runs
from daypart.flows.deployment.server import LOCK_FILE, LOGIN_FILE, connect, login_environment, store_environment
from daypart.flows.files.lock import file_lock

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

HOST = "127.0.0.1"
START_SECONDS, STOP_SECONDS = 180.0, 30.0
REMOVED_VARIABLES = (
    "PREFECT_API_KEY", "PREFECT_PROFILE", "PREFECT_SERVER_API_", "PREFECT_SERVER_CORS_", "PREFECT_SERVER_CSRF_",
    "PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL",
)  # fmt: skip
"""Prefixes of variables that would lead the home's own server or worker to other state or weaken its checks."""
CRASH_MESSAGE = "its worker was gone when the server started: the next run does it over"


@dataclass
class LocalServer:
    """The home's own server, and its worker once it is started; the logs of both are in `store`."""

    store: Path
    port: int
    children: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def ui(self) -> str:
        """Return the URL of the page."""
        return f"http://{HOST}:{self.port}"

    @property
    def api_url(self) -> str:
        """Return the URL of the API."""
        return f"{self.ui}/api"

    @property
    def login(self) -> Path:
        """Return the path of the file with the login."""
        return self.store / LOGIN_FILE

    def start_worker(self, pool: str) -> None:
        """Start a worker that runs the deployments of a pool, each in its own process with the code of this one.

        Runs that the server lists as running are marked as crashed first, because no worker runs them.
        """
        with connect(self.api_url, self.store) as client:
            _mark_runs_crashed(client)
        options = ("--pool", pool, "--type", "process", "--name", "local")
        self._start("worker", "prefect", "--no-prompt", "worker", "start", *options)

    def watch(self) -> None:
        """Wait until a child process ends or the store is gone with its home, and raise DaypartError then."""
        while True:
            if not self.login.exists():
                raise DaypartError(
                    f"{self.store} was moved or deleted, so its server is stopped: nothing is made again"
                )
            for name, child in self.children.items():
                if child.poll() is not None:
                    raise self._failure(name)
            time.sleep(0.5)

    def _serve(self, listener: socket.socket, lock: IO[str]) -> None:
        """Start the server on the socket, which it takes over, and wait until it answers."""
        ensure_login(self.login)
        lock.truncate(0)
        lock.write(self.api_url)
        lock.flush()
        number = listener.fileno()
        self._start("server", "daypart.flows.deployment.prefect_app", str(number), keep=(number, lock.fileno()))
        listener.close()
        give_up = time.monotonic() + START_SECONDS
        while time.monotonic() < give_up and self.children["server"].poll() is None:
            with suppress(OSError), urlopen(f"{self.api_url}/health", timeout=5) as answer:
                if answer.status == 200:
                    return
            time.sleep(0.2)
        raise self._failure("server")

    def _start(self, name: str, module: str, *arguments: str, keep: tuple[int, ...] = ()) -> None:
        with (self.store / f"{name}.log").open("ab") as log:
            # A separate session: an interrupt from the terminal must not reach the server before the worker.
            self.children[name] = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=self._environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, pass_fds=keep,
            )  # fmt: skip

    def _environment(self) -> dict[str, str]:
        inherited = {name: text for name, text in os.environ.items() if not name.startswith(REMOVED_VARIABLES)}
        package_root = str(Path(daypart.__file__).resolve().parents[1])
        path = os.pathsep.join(filter(None, (package_root, os.environ.get("PYTHONPATH"))))
        addresses = {
            "PREFECT_API_URL": self.api_url,
            "PREFECT_SERVER_UI_API_URL": self.api_url,
            "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": self.ui,
        }
        return {
            **inherited,
            **store_environment(self.store),
            **login_environment(read_login(self.login)),
            **addresses,
            "PYTHONPATH": path,
        }

    def _failure(self, name: str) -> DaypartError:
        log = self.store / f"{name}.log"
        if not log.exists():
            return DaypartError(f"{self.store} was moved or deleted, and its {name} ended: nothing is made again")
        lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
        return DaypartError(f"Prefect's {name} ended or did not start; {log} ends with: {lines[-1] if lines else '-'}")

    def _stop(self) -> None:
        """End the worker with its runs, then the server; ignore further signals until both have ended."""
        handlers = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        for child in reversed(self.children.values()):
            _end_process(child)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _end_process(child: "subprocess.Popen[bytes]") -> None:
    """Ask a child process to end; after STOP_SECONDS kill it and the processes that it started."""
    import psutil

    descendants = []
    with suppress(psutil.NoSuchProcess):
        descendants = psutil.Process(child.pid).children(recursive=True)
    child.terminate()
    with suppress(subprocess.TimeoutExpired):
        child.wait(STOP_SECONDS)
    child.kill()
    child.wait()
    for descendant in descendants:
        with suppress(psutil.NoSuchProcess):
            descendant.kill()
    psutil.wait_procs(descendants, STOP_SECONDS)


@contextmanager
def run_local_server(store: Path, port: int) -> Iterator[LocalServer]:
    """Run a server with its state in `store`, at `port` of this machine only, until the block ends.

    Clients need the login in the store. Raises InputError if the port is taken, and DaypartError if the server does
    not start, if the store's server runs already, or if a killed process left it running.
    """
    check_none_runs(store)
    # The server inherits both: no other program can answer in its place, and the lock is held while one of them runs.
    with _listen(port) as listener, file_lock(private_folder(store) / LOCK_FILE, wait=False) as lock:
        local_server = LocalServer(store, port)
        try:
            local_server._serve(listener, lock)
            yield local_server
        finally:
            local_server._stop()


def _listen(port: int) -> socket.socket:
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise InputError(
            f"port {port} cannot be had ({error.strerror}): if a Prefect server answers there leave --local out, "
            "else give another --port"
        ) from None
    return listener


def _mark_runs_crashed(client: "SyncPrefectClient") -> None:
    """Mark runs that the server lists as running as crashed, which releases their concurrency slots."""
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
    from prefect.client.schemas.objects import StateType
    from prefect.states import Crashed

    under_way = FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING, StateType.CANCELLING])
    for run in client.read_flow_runs(flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=under_way))):
        client.set_flow_run_state(run.id, Crashed(message=CRASH_MESSAGE))
