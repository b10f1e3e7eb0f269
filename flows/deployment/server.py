"""Connections to a Prefect server: the one that a user has, or the home's own (`local_server`)."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import UUID

from daypart.features.errors import InputError
from daypart.flows.deployment.login import private_folder, read_login
from daypart.flows.files.lock import is_held

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

LOGIN_FILE, LOCK_FILE = "login", "server.lock"
"""Files in the store: the login of the home's own server, and the URL of its API, locked while the server runs."""


def store_environment(store: Path) -> dict[str, str]:
    """Return the variables with which Prefect uses `store` for its own files and sends no usage data.

    The store is created if it is missing. No other user of the machine can enter it.
    """
    store = private_folder(store)
    return {"PREFECT_HOME": str(store), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}


def login_environment(login: str) -> dict[str, str]:
    """Return the variables with which a Prefect server requires the login and its clients send it."""
    return {
        "PREFECT_SERVER_API_AUTH_STRING": login,
        "PREFECT_API_AUTH_STRING": login,
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "true",
    }


def resolve_url(api_url: str | None) -> str:
    """Return `api_url`, by default that of the environment or of Prefect's profile. Raises InputError without one."""
    from prefect.settings import PREFECT_API_URL

    url = api_url or PREFECT_API_URL.value()
    if not url:
        raise InputError(
            "no Prefect server is named: set PREFECT_API_URL, give --api-url URL, or start one here with --local"
        )
    return url


def is_unencrypted(url: str) -> bool:
    """Return whether a request to the URL, credentials included, crosses a network without encryption."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    with suppress(ValueError):
        return parts.scheme == "http" and not ip_address(host).is_loopback
    return parts.scheme == "http" and host != "localhost"


@contextmanager
def connect(url: str, store: Path) -> Iterator["SyncPrefectClient"]:
    """Yield a client of the server whose API is at the URL. It sends the login of the home's own server, in `store`.

    Raises InputError if no server answers or the server refuses the client.
    """
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    login_settings = {PREFECT_API_AUTH_STRING: read_login(store / LOGIN_FILE)} if _serves(store, url) else {}
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
    """Return whether the store's own server runs at that URL: no other server must get its login."""
    lock = store / LOCK_FILE
    return lock.is_file() and lock.read_text("utf-8") == url.rstrip("/") and is_held(lock)


def emit(
    name: str, resource: Mapping[str, str], related: list[Mapping[str, str]], payload: Any, event_id: UUID
) -> None:
    """Send one event to the server of the current run; return when the server has it."""
    from prefect.events import Event
    from prefect.events.clients import get_events_client

    event = Event(event=name, resource=dict(resource), related=list(related), payload=payload, id=event_id)  # type: ignore[arg-type]

    async def send() -> None:
        async with get_events_client(checkpoint_every=1) as client:
            await client.emit(event)

    asyncio.run(send())
