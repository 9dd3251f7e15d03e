"""Work on files: off the event loop, and no more of it at once than a disk is good for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio
import anyio.from_thread
import anyio.to_thread

from service.problems import OVERLOADED, ProblemError

Result = TypeVar("Result")

_THREADS = 8
_TRANSFERS = 4


class FileWork:
    """Threads for work on files, apart from those of searches.

    Short jobs wait for one another. Transfers, which take as long as a client likes, are refused
    when there are too many of them, and never take the threads of the short ones.
    """

    def __init__(self, threads: int = _THREADS, transfers: int = _TRANSFERS) -> None:
        self._short = anyio.CapacityLimiter(threads)
        self._long = anyio.CapacityLimiter(transfers)
        self._transfers = transfers
        self._running = 0

    async def run(self, job: Callable[[], Result]) -> Result:
        """Run a short job in a thread; it is not cut off when the client goes."""
        return await anyio.to_thread.run_sync(job, limiter=self._short)

    async def run_transfer(self, job: Callable[[], Result]) -> Result:
        """Run one step of a transfer, within `transfer`."""
        return await anyio.to_thread.run_sync(job, limiter=self._long)

    def begin(self) -> None:
        """Begin a transfer; raises the 503 of a service that has too many of them."""
        if self._running >= self._transfers:
            raise ProblemError(
                OVERLOADED,
                f"{self._running} snapshots or uploads are being transferred, and no more may be; "
                "try again later",
            )
        self._running += 1

    def end(self) -> None:
        """End a transfer that was begun."""
        self._running -= 1

    @asynccontextmanager
    async def transfer(self) -> AsyncIterator[None]:
        """`begin` and `end`."""
        self.begin()
        try:
            yield
        finally:
            self.end()
