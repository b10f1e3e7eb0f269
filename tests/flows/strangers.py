"""What a page of another site, or a program that has no login, sends to a server: raw requests and websockets."""

import http.client
import json
import socket
from contextlib import suppress
from dataclasses import dataclass, field, replace
from uuid import uuid4

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from daypart.flows.monitoring.retrain_event import EVENT, RetrainEvent

EVIL = "http://evil.example"
REFUSED = (400, 401, 403)
SOCKETS = (
    "/api/events/in",
    "/api/events/out",
    "/api/logs/out",
    "/api/task_runs/subscriptions/scheduled",
    "/api/work_pools/daypart/workers/connect",
)


@dataclass(frozen=True)
class Sender:
    """Who sends to a port of this machine: with which Host and Origin, other headers, and token for websockets."""

    port: int
    host: str
    origin: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    token: str | None = None

    def request(self, method: str, path: str, body: str | None = None, content: str | None = None) -> int:
        """The status of the answer to a request with that type of content, or without any."""
        headers = {"Host": self.host, "Origin": self.origin, "Content-Type": content, **self.headers}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, {name: text for name, text in headers.items() if text})
            return connection.getresponse().status
        finally:
            connection.close()

    def let_in(self, path: str, message: str, handshake: bool = True) -> bool:
        """Whether a websocket takes the message: after Prefect's handshake, or as clients did that knew none."""
        try:
            with (
                connect(
                    f"ws://{self.host}{path}",
                    sock=socket.create_connection(("127.0.0.1", self.port), timeout=30),
                    origin=Origin(self.origin) if self.origin else None,
                    additional_headers=self.headers,
                    subprotocols=[Subprotocol("prefect")] if handshake else None,
                ) as websocket,
                suppress(ConnectionClosed),
            ):
                if handshake:
                    websocket.send(json.dumps({"type": "auth", "token": self.token}))
                    assert json.loads(websocket.recv(timeout=30)) == {"type": "auth_success"}
                websocket.send(message)
                # What is not closed by now is open.
                with suppress(TimeoutError):
                    websocket.recv(timeout=1)
                return True
        except InvalidStatus:
            pass
        return False


def strangers(port: int) -> list[Sender]:
    """Senders without the login: programs, one of which guesses, pages of other sites, and names made to point here."""
    program, url = Sender(port, f"127.0.0.1:{port}"), f"http://127.0.0.1:{port}"
    rebound = f"localhost.evil.example:{port}"
    return [
        program,
        replace(program, origin=url, headers={"Authorization": "Basic ZGF5cGFydDpkYXlwYXJ0"}, token="daypart:daypart"),
        replace(program, origin=EVIL),
        replace(program, origin="null"),
        replace(program, host=rebound, origin=f"http://{rebound}"),
        replace(program, host=EVIL.removeprefix("http://"), origin=url),
    ]


def event(home: str, name: str = EVENT) -> str:
    """An event that starts a retrain of the home, as Prefect's client writes it."""
    forged = RetrainEvent(uuid4(), home, ("orders",), "forged")
    return json.dumps(
        {
            "occurred": "2026-01-01T00:00:00Z", "id": str(forged.id), "event": name, "payload": forged.payload,
            "resource": forged.resource, "related": forged.related,
        }
    )  # fmt: skip
