"""Running the service: in this process, or in several that share its address."""

from __future__ import annotations

import socket
from contextlib import suppress

from kinfold.errors import InputError
from service.collections import find_collections
from service.processes import supervise
from service.server import serve_on
from service.settings import Settings, load_settings
from workers.logs import configure, service_log


def serve(settings: Settings | None = None) -> None:
    """Serve until SIGINT or SIGTERM; requests that run are answered first.

    Parameters
    ----------
    settings:
        None: from the environment.

    Raises
    ------
    InputError
        Bad settings, a data folder that cannot be read, or an address that cannot be listened on.
    """
    chosen = load_settings() if settings is None else settings
    configure(chosen.log_level)
    # The application looks again when it starts, but there a bad folder is a traceback in the log.
    find_collections(chosen.data)
    with _listen(chosen) as listener, suppress(KeyboardInterrupt):
        host, port = listener.getsockname()[:2]
        service_log.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)
        if chosen.processes == 1:
            serve_on(listener, chosen)
        else:
            supervise(listener, chosen)


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        raise InputError(
            f"KINFOLD_HOST and KINFOLD_PORT: cannot listen on {settings.host} port "
            f"{settings.port}: {error.strerror}"
        ) from None
