"""One process that serves on a socket."""

from __future__ import annotations

import gc
import socket
import sys
from types import FrameType

import uvicorn

from service.app import create_app
from service.security.head import bounded_head
from service.settings import Settings
from service.state import Service

_SWITCH_SECONDS = 0.0005
_IDLE_SECONDS = 75
"""How long a connection may wait for its next request.

Longer than proxies keep theirs to the service (60 seconds in nginx): the side that closes second
never meets a request on its way, and no POST is lost between two closings.
"""


def serve_on(
    listener: socket.socket, settings: Settings, *, first: bool = True, warm_first: bool = False
) -> None:
    """Serve in this process, on a socket that listens; the rest as `create_app` takes it."""
    server = _Server(
        uvicorn.Config(
            create_app(settings, first=first, warm_first=warm_first),
            loop="uvloop",
            http=bounded_head(settings.body_seconds),
            ws="none",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            # Believed from KINFOLD_TRUSTED_PROXIES only, by the application.
            proxy_headers=False,
            timeout_graceful_shutdown=settings.shutdown_seconds,
            timeout_keep_alive=_IDLE_SECONDS,
        )
    )
    # Threads that load a version, or read a body, let go of the interpreter sooner than after 5 ms.
    sys.setswitchinterval(_SWITCH_SECONDS)
    server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """Looks for garbage among what is new only, and ends streams of events when told to end."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        # The libraries are some 160,000 objects that stay; to look through them for garbage again
        # and again would stop every search for up to a tenth of a second each time.
        gc.collect()
        gc.freeze()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take SIGTERM or SIGINT."""
        service: Service | None = getattr(self.config.app.state, "service", None)  # type: ignore[union-attr]
        if service is not None:
            service.jobs.is_closing = True
        super().handle_exit(sig, frame)
