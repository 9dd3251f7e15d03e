"""The service's side of the jobs: its queue, and the worker inside it where there is no Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from service.settings import Settings
from workers.changes import ChangeListener
from workers.local import LocalWorker
from workers.queue import open_queue

Result = TypeVar("Result")

_MOST_CALLS = 8


class Jobs:
    """The queue of builds, called off the event loop.

    Parameters
    ----------
    on_change:
        Called, in a thread of its own, when Redis tells that a version went live somewhere.
    works:
        Whether builds may run here; of several processes in one only.

    Attributes
    ----------
    queue:
        Every call of it may block; see `call`.
    streams:
        How many clients are being told of events.
    is_closing:
        Set when the service is to end: streams of events then end as well.
    """

    def __init__(
        self, settings: Settings, on_change: Callable[[], None], *, works: bool = True
    ) -> None:
        self.queue = open_queue(settings)
        self._changes = ChangeListener(settings, lambda _: on_change())
        self.streams = 0
        self.is_closing = False
        works = works and settings.redis_url is None and settings.jobs == "on"
        self._worker = LocalWorker(self.queue, alone=True) if works else None
        self._limiter: CapacityLimiter | None = None

    def start(self) -> None:
        """Begin to work, if jobs are not Redis' and its workers' business."""
        self._changes.start()
        if self._worker is not None:
            self._worker.start()

    def close(self) -> None:
        """Hand a running build back, with the stages that are done."""
        self.is_closing = True
        if self._worker is not None:
            self._worker.close()
        self._changes.close()

    async def call(self, function: Callable[[], Result]) -> Result:
        """Run what may block in a thread; few at once, so that a slow Redis holds up no others."""
        if self._limiter is None:
            self._limiter = CapacityLimiter(_MOST_CALLS)
        return await to_thread.run_sync(function, limiter=self._limiter)
