"""A bounded pool for the work of searches: so many run, so many wait, one more is refused.

A search is done in two steps: it is read, alone, and then answered together with those that wait
and ask alike. Nothing waits to be joined by others. A thread that is free reads everything that
came in, and then answers the group that has waited longest, as much of it as one pass may take;
what arrives meanwhile makes up the next one. One client alone therefore waits for nobody, and the
busier the threads are, the larger the passes become.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Lock, Thread
from time import perf_counter
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect

from service.metrics.names import DEADLINES, REFUSED_FULL, REFUSED_WAIT
from service.problems import DEADLINE_EXCEEDED, OVERLOADED, ProblemError
from service.threads import prepare_searching

Result = TypeVar("Result")
_Outcome = tuple["_Task", Any, BaseException | None]

_LEARNING = 0.2
"""Weight of the last pass in what is known of how long they take."""


@dataclass(frozen=True, slots=True)
class Grouped:
    """What reading a search gives: the rest of it, to be done with others that ask alike.

    Attributes
    ----------
    key:
        Searches of equal keys are done together.
    size:
        How much of a pass it fills, in queries.
    together:
        Given the items of a group, tells what became of each: a result, or an exception.
    """

    key: Hashable
    size: int
    item: Any
    together: Callable[[Sequence[Any]], Sequence[Any]]


@dataclass(eq=False, slots=True)
class _Task:
    """A search on its way through the pool."""

    read: Callable[[], Any]
    result: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    patience: float
    deadline: float
    grouped: Grouped | None = None
    waits: bool = True

    @property
    def size(self) -> int:
        return 1 if self.grouped is None else self.grouped.size


class SearchPool:
    """Does searches on `threads` threads and lets at most `queue` more wait.

    Parameters
    ----------
    batch:
        Most queries in one pass over the gallery, unless a single search has more.
    patience:
        Longest wait, in seconds, that a search is let into the queue for.
    """

    def __init__(
        self, threads: int, queue: int, *, batch: int = 1, patience: float = math.inf
    ) -> None:
        self._size = threads
        self._queue = queue
        self._batch = batch
        self._patience = patience
        self._lock = Lock()
        self._unread: OrderedDict[_Task, None] = OrderedDict()
        self._groups: OrderedDict[Hashable, OrderedDict[_Task, None]] = OrderedDict()
        self._used = 0
        self._waiting = 0
        self._grouped = 0
        self._pass_seconds = 0.0
        # A thread that finds work in the morning goes on until there is none, so that a call here
        # is to wake a thread and says nothing about which piece of work it is for.
        self._calls: SimpleQueue[bool] = SimpleQueue()
        self._threads = [
            Thread(target=self._work, name=f"kinfold-search-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Searches that wait for a thread."""
        return self._waiting

    @property
    def expected_wait(self) -> float:
        """Seconds that one more search would wait, if passes take as long as the last ones."""
        passes = max(len(self._groups), math.ceil(self._grouped / self._batch))
        passes += math.ceil(len(self._unread) / self._batch)
        return passes * self._pass_seconds / self._size

    def refuse_if_full(self, patience: float = math.inf) -> None:
        """Raise the 503 that `run` would raise now, before a body is read for nothing.

        Parameters
        ----------
        patience:
            Seconds that this search would wait; the pool's own patience may be less.
        """
        if self._used >= self._size + self._queue:
            REFUSED_FULL.inc()
            raise self._overloaded(
                f"{self._size} searches are running, and no more than {self._queue} may wait"
            )
        wait = self.expected_wait
        if wait > min(patience, self._patience):
            REFUSED_WAIT.inc()
            raise self._overloaded(f"{self._waiting} searches wait, which will take {wait:.1f} s")

    async def run(
        self,
        job: Callable[[], Result | Grouped],
        client_gone: Callable[[], Awaitable[None]],
        patience: float = math.inf,
    ) -> Result:
        """Do a job in the pool and return its result.

        Parameters
        ----------
        job:
            Gives the result, or what is to be done together with others.
        client_gone:
            Returns when nobody waits for the result any more. A job that still waits for a thread
            is then dropped.
        patience:
            Seconds that the job may wait for a thread.

        Raises
        ------
        ProblemError
            Overloaded: at once, when all slots are taken, or the wait would be too long. Deadline
            exceeded: it waited longer than its patience, and nothing was done for it.
        ClientDisconnect
            The job was dropped.
        """
        loop = asyncio.get_running_loop()
        task = _Task(job, loop.create_future(), loop, patience, perf_counter() + patience)
        with self._lock:
            self.refuse_if_full(patience)
            self._used += 1
            self._waiting += 1
            self._unread[task] = None
        self._calls.put(True)
        watch = asyncio.ensure_future(client_gone())
        watch.add_done_callback(lambda _: task.result.cancel())
        timer = None
        if patience < math.inf:
            timer = loop.call_later(patience, self._give_up, task)
        try:
            result: Result = await task.result
            return result
        except asyncio.CancelledError:
            if watch.done() and not watch.cancelled():
                raise ClientDisconnect from None
            raise
        finally:
            watch.cancel()
            if timer is not None:
                timer.cancel()
            if task.waits:
                self._drop(task)

    def close(self) -> None:
        """End the threads, once the jobs that run have ended; those that wait are cancelled."""
        with self._lock:
            left = [*self._unread, *(task for group in self._groups.values() for task in group)]
        for task in left:
            if self._drop(task):
                with suppress(RuntimeError):  # its loop may have ended
                    task.loop.call_soon_threadsafe(task.result.cancel)
        for _ in self._threads:
            self._calls.put(False)
        for thread in self._threads:
            thread.join()

    def _overloaded(self, reason: str) -> ProblemError:
        return ProblemError(OVERLOADED, f"{reason}; try again later", headers=self._retry_after())

    def _retry_after(self) -> dict[str, str]:
        return {"Retry-After": str(max(1, math.ceil(self.expected_wait)))}

    def _give_up(self, task: _Task) -> None:
        # One that is being read now looks at its deadline itself.
        if self._drop(task) and not task.result.done():
            task.result.set_exception(self._late(task))

    def _late(self, task: _Task) -> ProblemError:
        DEADLINES.inc()
        return ProblemError(
            DEADLINE_EXCEEDED,
            f"the search waited {1000 * task.patience:.0f} ms for a thread, and was dropped; "
            "try again later",
            headers=self._retry_after(),
        )

    def _drop(self, task: _Task) -> bool:
        """Take a task out of the queue, if it still waits there; its slot is free again."""
        with self._lock:
            if task in self._unread:
                del self._unread[task]
            elif task.grouped is not None and task in self._groups.get(task.grouped.key, ()):
                self._take_from_group(task)
            else:
                return False
            task.waits = False
            self._used -= 1
            self._waiting -= 1
            return True

    def _take_from_group(self, task: _Task) -> None:
        if task.grouped is not None:
            group = self._groups[task.grouped.key]
            del group[task]
            if not group:
                del self._groups[task.grouped.key]
            self._grouped -= task.size

    def _work(self) -> None:
        prepare_searching()
        while self._calls.get():
            while self._step():
                pass

    def _step(self) -> bool:
        """Read one search, or else answer one group; False: nothing waits."""
        tasks: list[_Task] = []
        with self._lock:
            if self._unread:
                task, _ = self._unread.popitem(last=False)
                self._waiting -= 1
            elif self._groups:
                tasks = self._next_pass()
            else:
                return False
        if tasks:
            self._answer(tasks)
        else:
            self._read(task)
        return True

    def _next_pass(self) -> list[_Task]:
        """Of the group that was begun first as much as one pass takes; the lock is held."""
        key, group = next(iter(self._groups.items()))
        tasks: list[_Task] = []
        size = 0
        for task in group:
            if tasks and size + task.size > self._batch:
                break
            tasks.append(task)
            size += task.size
        for task in tasks:
            self._take_from_group(task)
            task.waits = False
        if key in self._groups:
            # What is left over takes its turn behind the others.
            self._groups.move_to_end(key)
        # However many searches there are in it, a pass is one thing that runs.
        self._used -= len(tasks) - 1
        self._waiting -= len(tasks)
        return tasks

    def _read(self, task: _Task) -> None:
        start = perf_counter()
        grouped, error = _outcome(task.read)
        task.read = _nothing  # it holds the body
        if isinstance(grouped, Grouped):
            with self._lock:
                task.grouped = grouped
                self._grouped += grouped.size
                self._waiting += 1
                self._groups.setdefault(grouped.key, OrderedDict())[task] = None
                others = bool(self._unread)
            if task.result.done() or perf_counter() > task.deadline:
                # Its client left, or its time was up, while it was read.
                if self._drop(task):
                    _deliver([(task, None, self._late(task))])
            elif others:
                self._calls.put(True)
            return
        with self._lock:
            task.waits = False
            self._used -= 1
            if error is None:
                self._learn(start)
        _deliver([(task, grouped, error)])

    def _answer(self, tasks: list[_Task]) -> None:
        start = perf_counter()
        parts = [task.grouped for task in tasks if task.grouped is not None]
        results, error = _outcome(lambda: parts[0].together([part.item for part in parts]))
        with self._lock:
            self._used -= 1
            self._learn(start)
        if error is not None:
            _deliver([(task, None, error) for task in tasks])
            return
        _deliver(
            [
                (task, None, result) if isinstance(result, BaseException) else (task, result, None)
                for task, result in zip(tasks, results, strict=True)
            ]
        )

    def _learn(self, start: float) -> None:
        took = perf_counter() - start
        share = _LEARNING if self._pass_seconds else 1.0
        self._pass_seconds += share * (took - self._pass_seconds)


def _nothing() -> None:
    """What is left to read of a search that was read."""


def _outcome(work: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    try:
        return work(), None
    except BaseException as error:
        return None, error


def _deliver(outcomes: Sequence[_Outcome]) -> None:
    """Hand results over to the event loops that wait for them, in one call each."""
    for loop in {task.loop for task, _, _ in outcomes}:
        mine = [outcome for outcome in outcomes if outcome[0].loop is loop]
        with suppress(RuntimeError):  # the loop has ended, and with it who waited
            loop.call_soon_threadsafe(_set_results, mine)


def _set_results(outcomes: Sequence[_Outcome]) -> None:
    for task, result, error in outcomes:
        if task.result.done():
            continue
        if error is None:
            task.result.set_result(result)
        else:
            task.result.set_exception(error)
