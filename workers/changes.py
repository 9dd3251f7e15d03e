"""Change messages: workers say that a version went live, services hear it at once.

Nothing depends on them. A message that is lost, or no Redis at all, only means that the next look
at the data folder finds the version.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from kinfold.index.publish import COLLECTION_NAME
from workers.connection import connect
from workers.logs import worker_log
from workers.settings import WorkerSettings

CHANNEL = "kinfold:changes"

_WAIT_SECONDS = 1.0
_LEAST_PAUSE = 0.2
_MOST_PAUSE = 5.0
_MOST_BYTES = 4096


def announce(settings: WorkerSettings, collection: str, version: str | None) -> bool:
    """Tell all services to look at a collection; whether the message went out.

    Parameters
    ----------
    version:
        That is live now; None: the collection was dropped.
    """
    if settings.redis_url is None:
        return False
    message = json.dumps({"collection": collection, "version": version})
    try:
        with connect(settings.redis_url.get_secret_value()) as client:
            client.publish(CHANNEL, message)
    except RedisError as error:
        worker_log.warning("the change of %s could not be announced: %s", collection, error)
        return False
    return True


class ChangeListener:
    """A thread that calls back on every message, and finds Redis again when it was away.

    Without Redis there is no thread.

    Parameters
    ----------
    on_change:
        Called in that thread with the name of a collection, and with None after every new
        connection: anything may have happened meanwhile.
    """

    def __init__(self, settings: WorkerSettings, on_change: Callable[[str | None], None]) -> None:
        self._url = settings.redis_url
        self._on_change = on_change
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to listen; returns at once, whether Redis is there or not."""
        if self._url is not None:
            self._thread = threading.Thread(
                target=self._listen, name="kinfold-changes", daemon=True
            )
            self._thread.start()

    def close(self) -> None:
        """End the thread, within about a second."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _listen(self) -> None:
        if self._url is None:
            return
        pause = _LEAST_PAUSE
        client = connect(self._url.get_secret_value())
        while not self._stop.is_set():
            try:
                with client.pubsub() as channel:  # type: ignore[no-untyped-call]
                    channel.subscribe(CHANNEL)
                    while not self._stop.is_set():
                        message = channel.get_message(timeout=_WAIT_SECONDS)
                        if message is not None:
                            pause = _LEAST_PAUSE
                            self._take(message)
            except (RedisError, OSError) as error:
                worker_log.warning("change messages: %s; trying again in %.1f s", error, pause)
                self._stop.wait(pause)
                pause = min(2 * pause, _MOST_PAUSE)
        _close(client)

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":
            self._call(None)
            return
        if message["type"] != "message":
            return
        name = _collection_of(message["data"])
        if name is not None:
            self._call(name)

    def _call(self, collection: str | None) -> None:
        try:
            self._on_change(collection)
        except Exception:
            worker_log.exception("the change of %s was not taken up", collection)


def _collection_of(data: object) -> str | None:
    """The collection that a message names; None for all that is no message of ours."""
    if not isinstance(data, bytes) or len(data) > _MOST_BYTES:
        return None
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return None
    name = content.get("collection") if isinstance(content, dict) else None
    return name if isinstance(name, str) and COLLECTION_NAME.fullmatch(name) else None


def _close(client: Redis) -> None:
    with suppress(RedisError, OSError):
        client.close()
