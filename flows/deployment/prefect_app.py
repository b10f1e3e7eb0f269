"""Prefect's server, which answers what is addressed to it and no other site's page, and whose page talks to it alone.

Prefect has settings for none of these. Run as a module, it serves on a socket that is handed to it and listens already.
"""

import socket
import sys
from typing import TYPE_CHECKING

import uvicorn
from starlette.datastructures import Headers
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = b"connect-src 'self'; frame-ancestors 'none'"
"""What browsers hold the page to: it sends to its own server only, and no other page can show it in a frame, for a
person to click in unawares. Without it the page calls Prefect's analytics."""


def guarded(app: "ASGIApp", host: str, port: int) -> "ASGIApp":
    """Return the app behind checks of the Host and Origin headers, for requests and for websockets.

    A foreign Host is a name that somebody has let point here; a foreign Origin is a page of another site.
    """
    app_origin = f"http://{host}:{port}"

    async def checked(scope: "Scope", receive: "Receive", send: "Send") -> None:
        async def send_with_policy(message: "Message") -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", CONTENT_SECURITY_POLICY)]
            await send(message)

        if scope["type"] == "lifespan" or Headers(scope=scope).get("origin", app_origin) == app_origin:
            await app(scope, receive, send_with_policy)
        else:
            await PlainTextResponse("Invalid origin header", status_code=403)(scope, receive, send)

    return TrustedHostMiddleware(checked, allowed_hosts=[host], www_redirect=False)


def serve(listener: socket.socket) -> None:
    """Serve Prefect's API, page and services on the listening socket until a signal ends it."""
    from prefect.server.api.server import create_app
    from prefect.settings import get_current_settings

    settings = get_current_settings().server.api
    # The app is wrapped, not changed: its own services call it under a name of their own.
    app = guarded(create_app(final=True), *listener.getsockname())
    config = uvicorn.Config(
        app,
        timeout_keep_alive=settings.keepalive_timeout,
        ws_ping_interval=settings.websocket_ping_interval,
        ws_ping_timeout=settings.websocket_ping_timeout,
        log_level="warning",  # Finer levels write headers, and the login with them, into the log.
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
