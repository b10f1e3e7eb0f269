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
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen
from uuid import UUID

from features.errors import DaypartError, InputError
from flows.adapters.lock import held

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

HOST = "127.0.0.1"
START_SECONDS, STOP_SECONDS = 180.0, 30.0
ELSEWHERE = ("PREFECT_API_KEY", "PREFECT_PROFILE", "PREFECT_SERVER_DATABASE_CONNECTION_URL")
"""What would lead the home's own server, or its worker, to state that is not the home's."""
ENDED = "its worker was gone when the server started: the next run does it over"


def quiet(store: Path) -> dict[str, str]:
    """The environment in which Prefect keeps its own store there and sends nothing to anybody."""
    store.mkdir(parents=True, exist_ok=True)
    return {"PREFECT_HOME": str(store), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}


@contextmanager
def connected(api_url: str | None = None) -> Iterator["SyncPrefectClient"]:
    """A client of the server at `api_url`, by default of the one that the environment or Prefect's profile names.

    Raises InputError where none is named, none answers, or it does not let us in.
    """
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: api_url} if api_url else {}):
        url = PREFECT_API_URL.value()
        if not url:
            told = "no Prefect server is named: set PREFECT_API_URL, give --api-url URL,"
            raise InputError(f"{told} or start one here with --local")
        try:
            with get_client(sync_client=True) as client:
                client.read_work_pools(limit=1)
                yield client
        except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol) as failed:
            told = f"no Prefect server answers at {url} ({str(failed) or type(failed).__name__})"
            raise InputError(f"{told}: start it, correct --api-url, or start one here with --local") from None
        except PrefectHTTPStatusError as refused:
            told = f"{url} answers {refused.response.status_code}"
            raise InputError(
                f"{told}: expected a Prefect API that lets us in; see --api-url and PREFECT_API_KEY"
            ) from None


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

    def work(self, pool: str) -> None:
        """Starts a worker that runs the pool's deployments, each in a process of its own and with this very code.

        Runs that are said to be under way are told to have crashed: no worker is there to do them.
        """
        with connected(self.api_url) as client:
            _bury(client)
        self._start("worker", "worker", "start", "--pool", pool, "--type", "process", "--name", "local")

    def watch(self) -> None:
        """Waits until a child ends, which is a DaypartError."""
        while True:
            for name, child in self.children.items():
                if child.poll() is not None:
                    raise self._failed(name)
            time.sleep(0.5)

    def _serve(self, lock: int) -> None:
        self._start("server", "server", "start", "--host", HOST, "--port", str(self.port), keep=(lock,))
        give_up = time.monotonic() + START_SECONDS
        while time.monotonic() < give_up and self.children["server"].poll() is None:
            with suppress(OSError), urlopen(f"{self.api_url}/health", timeout=5) as answer:
                if answer.status == 200:
                    return
            time.sleep(0.2)
        raise self._failed("server")

    def _start(self, name: str, *arguments: str, keep: tuple[int, ...] = ()) -> None:
        with (self.store / f"{name}.log").open("ab") as log:
            # In a session of its own: an interrupt from the terminal must not reach the server before the worker.
            self.children[name] = subprocess.Popen(
                [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
                env=self._environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, pass_fds=keep,
            )  # fmt: skip

    def _environment(self) -> dict[str, str]:
        kept = {name: text for name, text in os.environ.items() if name not in ELSEWHERE}
        ours = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, (ours, os.environ.get("PYTHONPATH"))))
        return {**kept, **quiet(self.store), "PREFECT_API_URL": self.api_url, "PYTHONPATH": path}

    def _failed(self, name: str) -> DaypartError:
        log = self.store / f"{name}.log"
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
    for each in began:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    psutil.wait_procs(began, STOP_SECONDS)


@contextmanager
def local(store: Path, port: int) -> Iterator[Local]:
    """A server that keeps its state in `store`, answering at `port` of this machine only, until the block ends.

    Raises InputError where the port is taken, DaypartError where the store's server runs already or does not start.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as taken:
            told = f"port {port} cannot be had ({taken.strerror})"
            raise InputError(
                f"{told}: if a Prefect server answers there leave --local out, else give another --port"
            ) from None
    # The server inherits the lock, which is held for as long as either lives.
    with held(store / "server.lock", wait=False) as lock:
        made = Local(store, port)
        try:
            made._serve(lock.fileno())
            yield made
        finally:
            made._stop()


def _bury(client: "SyncPrefectClient") -> None:
    """Tells the server that runs under way have crashed, which lets go of the places that they hold."""
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
    from prefect.client.schemas.objects import StateType
    from prefect.states import Crashed

    under_way = FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING, StateType.CANCELLING])
    for run in client.read_flow_runs(flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=under_way))):
        client.set_flow_run_state(run.id, Crashed(message=ENDED))
