"""A bounded pool for the work of searches: so many run, so many wait, one more is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import TypeVar

import faiss
from starlette.requests import ClientDisconnect

from service.problems import OVERLOADED, ProblemError

Result = TypeVar("Result")


def use_one_core() -> None:
    """Keep faiss (OpenMP, and the OpenBLAS that it brings) on the calling thread.

    OpenMP's limit belongs to the thread that sets it, so each worker sets its own. Searches run
    side by side instead: together they use `threads` cores, not `threads` times all of them.
    """
    faiss.omp_set_num_threads(1)


class SearchPool:
    """Runs jobs on `threads` threads and lets at most `queue` more wait."""

    def __init__(self, threads: int, queue: int) -> None:
        self._threads = threads
        self._queue = queue
        self._executor = ThreadPoolExecutor(threads, "kinfold-search", initializer=use_one_core)
        self._slots = BoundedSemaphore(threads + queue)

    def refuse_if_full(self) -> None:
        """Raise the 503 that `run` would raise now, before a body is read for nothing."""
        if not self._slots.acquire(blocking=False):
            raise self._overloaded()
        self._slots.release()

    async def run(
        self, job: Callable[[], Result], client_gone: Callable[[], Awaitable[None]]
    ) -> Result:
        """Run a job in the pool and return its result.

        Parameters
        ----------
        client_gone:
            Returns when nobody waits for the result any more. A job that still waits for a thread
            is then dropped.

        Raises
        ------
        ProblemError
            Overloaded: at once, when all slots are taken.
        ClientDisconnect
            The job was dropped.
        """
        if not self._slots.acquire(blocking=False):
            raise self._overloaded()
        try:
            work = self._executor.submit(job)
        except BaseException:
            self._slots.release()
            raise
        # The slot is the job's and not the request's: it comes back when the job has ended or was
        # dropped, even if the request is long gone.
        work.add_done_callback(lambda _: self._slots.release())
        result = asyncio.wrap_future(work)
        watch = asyncio.ensure_future(client_gone())
        watch.add_done_callback(lambda _: result.cancel())
        try:
            return await result
        except asyncio.CancelledError:
            if watch.done() and not watch.cancelled():
                raise ClientDisconnect from None
            raise
        finally:
            watch.cancel()

    def close(self) -> None:
        """End the threads, once the jobs that run have ended."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _overloaded(self) -> ProblemError:
        return ProblemError(
            OVERLOADED,
            f"{self._threads} searches are running, and no more than {self._queue} may wait; "
            "try again later",
        )
