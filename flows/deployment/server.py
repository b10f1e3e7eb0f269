"""The Prefect server: the one that a user has, or one of the home's own with a worker beside it."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import urlopen
from uuid import UUID

import daypart
from daypart.features.errors import DaypartError, InputError
from daypart.flows.deployment.login import ensure_login, private_folder, read_login
from daypart.flows.deployment.orphan_processes import check_none_runs
from daypart.flows.files.lock import file_lock, is_held

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

HOST = "127.0.0.1"
LOGIN, LOCK = "login", "server.lock"
"""Files in the store: the login of the home's own server, and its API's URL, locked while it runs."""
START_SECONDS, STOP_SECONDS = 180.0, 30.0
ELSEWHERE = (
    "PREFECT_API_KEY", "PREFECT_PROFILE", "PREFECT_SERVER_API_", "PREFECT_SERVER_CORS_", "PREFECT_SERVER_CSRF_",
    "PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL",
)  # fmt: skip
"""Settings, by how their names begin, that lead the home's own server or worker to other state or weaken its checks."""
ENDED = "its worker was gone when the server started: the next run does it over"


def quiet(store: Path) -> dict[str, str]:
    """The environment in which Prefect keeps its own store there and sends nothing to anybody.

    No other user of the machine can enter the store.
    """
    store = private_folder(store)
    return {"PREFECT_HOME": str(store), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}


def protected(login: str) -> dict[str, str]:
    """The environment in which a Prefect server serves nobody without the login, and its clients have it."""
    return {
        "PREFECT_SERVER_API_AUTH_STRING": login,
        "PREFECT_API_AUTH_STRING": login,
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "true",
    }


def named_url(api_url: str | None) -> str:
    """Return `api_url`, by default what the environment or Prefect's profile names. Raises InputError where none is."""
    from prefect.settings import PREFECT_API_URL

    url = api_url or PREFECT_API_URL.value()
    if not url:
        raise InputError(
            "no Prefect server is named: set PREFECT_API_URL, give --api-url URL, or start one here with --local"
        )
    return url


def readable_on_the_way(url: str) -> bool:
    """Return whether what is sent there, credentials included, crosses a network without encryption."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    with suppress(ValueError):
        return parts.scheme == "http" and not ip_address(host).is_loopback
    return parts.scheme == "http" and host != "localhost"


@contextmanager
def connected(url: str, store: Path) -> Iterator["SyncPrefectClient"]:
    """A client of the server whose API is at the URL; of the home's own server, in `store`, with its login.

    Raises InputError where none answers or it does not let us in.
    """
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    login_settings = {PREFECT_API_AUTH_STRING: read_login(store / LOGIN)} if _serves(store, url) else {}
    with temporary_settings({PREFECT_API_URL: url, **login_settings}):
        try:
            with get_client(sync_client=True) as client:
                client.read_work_pools(limit=1)
                yield client
        except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol) as failed:
            message = f"no Prefect server answers at {url} ({str(failed) or type(failed).__name__})"
            raise InputError(f"{message}: start it, correct --api-url, or start one here with --local") from None
        except PrefectHTTPStatusError as refused:
            message = f"{url} answers {refused.response.status_code}"
            raise InputError(
                f"{message}: expected a Prefect API that lets us in; "
                "see --api-url, PREFECT_API_KEY and PREFECT_API_AUTH_STRING"
            ) from None


def _serves(store: Path, url: str) -> bool:
    """Whether the store's own server runs, and at that URL: nobody else's is to get its login."""
    lock = store / LOCK
    return lock.is_file() and lock.read_text("utf-8") == url.rstrip("/") and is_held(lock)


def emit(
    name: str, resource: Mapping[str, str], related: list[Mapping[str, str]], payload: Any, event_id: UUID
) -> None:
    """Sends one event to the server of the run that this is part of; returns when the server has it."""
    from prefect.events import Event
    from prefect.events.clients import get_events_client

    event = Event(event=name, resource=dict(resource), related=list(related), payload=payload, id=event_id)  # type: ignore[arg-type]

    async def send() -> None:
        async with get_events_client(checkpoint_every=1) as client:
            await client.emit(event)

    asyncio.run(send())


@dataclass
class Local:
    """A server of the home's own, and its worker once there is one; logs of both lie in the home."""

    store: Path
    port: int
    children: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def ui(self) -> str:
        """Where a person looks at it."""
        return f"http://{HOST}:{self.port}"

    @property
    def api_url(self) -> str:
        """Where programs talk to it."""
        return f"{self.ui}/api"

    @property
    def login(self) -> Path:
        """The file whose line lets a person in."""
        return self.store / LOGIN

    def work(self, pool: str) -> None:
        """Starts a worker that runs the pool's deployments, each in a process of its own and with this very code.

        Runs that are said to be under way are told to have crashed: no worker is there to do them.
        """
        with connected(self.api_url, self.store) as client:
            _bury(client)
        options = ("--pool", pool, "--type", "process", "--name", "local")
        self._start("worker", "prefect", "--no-prompt", "worker", "start", *options)

    def watch(self) -> None:
        """Waits until a child ends, or the store is gone with its home, which is a DaypartError."""
        while True:
            if not self.login.exists():
                raise DaypartError(
                    f"{self.store} was moved or deleted, so its server is stopped: nothing is made again"
                )
            for name, child in self.children.items():
                if child.poll() is not None:
                    raise self._failed(name)
            time.sleep(0.5)

    def _serve(self, listener: socket.socket, lock: IO[str]) -> None:
        """Starts the server on the socket, which it takes over, and waits until it answers."""
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
        raise self._failed("server")

    def _start(self, name: str, module: str, *arguments: str, keep: tuple[int, ...] = ()) -> None:
        with (self.store / f"{name}.log").open("ab") as log:
            # In a session of its own: an interrupt from the terminal must not reach the server before the worker.
            self.children[name] = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=self._environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, pass_fds=keep,
            )  # fmt: skip

    def _environment(self) -> dict[str, str]:
        inherited = {name: text for name, text in os.environ.items() if not name.startswith(ELSEWHERE)}
        ours = str(Path(daypart.__file__).resolve().parents[1])
        path = os.pathsep.join(filter(None, (ours, os.environ.get("PYTHONPATH"))))
        addresses = {
            "PREFECT_API_URL": self.api_url,
            "PREFECT_SERVER_UI_API_URL": self.api_url,
            "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": self.ui,
        }
        return {**inherited, **quiet(self.store), **protected(read_login(self.login)), **addresses, "PYTHONPATH": path}

    def _failed(self, name: str) -> DaypartError:
        log = self.store / f"{name}.log"
        if not log.exists():
            return DaypartError(f"{self.store} was moved or deleted, and its {name} ended: nothing is made again")
        lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
        return DaypartError(f"Prefect's {name} ended or did not start; {log} ends with: {lines[-1] if lines else '-'}")

    def _stop(self) -> None:
        """The worker with the runs that it left, then the server; whoever asks again meanwhile is not heard."""
        heard = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        for child in reversed(self.children.values()):
            _end(child)
        for number, handler in heard.items():
            signal.signal(number, handler)


def _end(child: "subprocess.Popen[bytes]") -> None:
    """Asks a child to end, and ends it and what it began if they do not."""
    import psutil

    began = []
    with suppress(psutil.NoSuchProcess):
        began = psutil.Process(child.pid).children(recursive=True)
    child.terminate()
    with suppress(subprocess.TimeoutExpired):
        child.wait(STOP_SECONDS)
    child.kill()
    child.wait()
    for descendant in began:
        with suppress(psutil.NoSuchProcess):
            descendant.kill()
    psutil.wait_procs(began, STOP_SECONDS)


@contextmanager
def local(store: Path, port: int) -> Iterator[Local]:
    """A server that keeps its state in `store`, answering at `port` of this machine only, until the block ends.

    Nobody gets in without the login that the store keeps. Raises InputError where the port is taken, DaypartError
    where the store's server runs already, as one does that a killed process left, or does not start.
    """
    check_none_runs(store)
    # The server inherits both: no other program can answer in its place, and the lock is held while either lives.
    with _listening(port) as listener, file_lock(private_folder(store) / LOCK, wait=False) as lock:
        local_server = Local(store, port)
        try:
            local_server._serve(listener, lock)
            yield local_server
        finally:
            local_server._stop()


def _listening(port: int) -> socket.socket:
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


def _bury(client: "SyncPrefectClient") -> None:
    """Tells the server that runs under way have crashed, which lets go of the places that they hold."""
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
    from prefect.client.schemas.objects import StateType
    from prefect.states import Crashed

    under_way = FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING, StateType.CANCELLING])
    for run in client.read_flow_runs(flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=under_way))):
        client.set_flow_run_state(run.id, Crashed(message=ENDED))
