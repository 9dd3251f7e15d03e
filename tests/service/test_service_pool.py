"""So many jobs run, so many wait, one more is refused at once, and no slot is ever lost."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import faiss
import pytest
from starlette.requests import ClientDisconnect

from service.pool import SearchPool
from service.problems import ProblemError


async def never() -> None:
    await asyncio.Event().wait()


@contextmanager
def pool_of(threads: int, queue: int) -> Iterator[SearchPool]:
    pool = SearchPool(threads, queue)
    try:
        yield pool
    finally:
        pool.close()


def run(scenario: Callable[[], Awaitable[Any]]) -> Any:
    return asyncio.run(asyncio.wait_for(scenario(), 30))


def has_room(pool: SearchPool) -> bool:
    try:
        pool.refuse_if_full()
    except ProblemError as error:
        assert error.kind.name == "overloaded"
        assert error.headers == {"Retry-After": "1"}
        return False
    return True


@pytest.mark.parametrize(("threads", "queue"), [(1, 0), (1, 1), (2, 3)])
def test_admits_threads_and_queue(threads: int, queue: int) -> None:
    go_on = threading.Event()
    most = threads + queue

    async def scenario() -> list[Any]:
        jobs = [asyncio.create_task(pool.run(go_on.wait, never)) for _ in range(most)]
        await asyncio.sleep(0.05)
        assert not has_room(pool)
        start = time.perf_counter()
        with pytest.raises(ProblemError, match="searches are running"):
            await pool.run(go_on.wait, never)
        assert time.perf_counter() - start < 0.1
        go_on.set()
        results = await asyncio.gather(*jobs)
        assert has_room(pool)
        return results

    with pool_of(threads, queue) as pool:
        assert run(scenario) == [True] * most


def test_failing_jobs_give_their_slot_back() -> None:
    def fail() -> None:
        raise ValueError("no")

    async def scenario() -> None:
        for _ in range(10):
            with pytest.raises(ValueError, match="no"):
                await pool.run(fail, never)
        assert has_room(pool)

    with pool_of(1, 0) as pool:
        run(scenario)


def test_waiting_job_is_dropped_with_its_client() -> None:
    go_on = threading.Event()
    ran: list[int] = []

    async def scenario() -> None:
        running = asyncio.create_task(pool.run(go_on.wait, never))
        await asyncio.sleep(0.05)
        for number in range(20):
            left = asyncio.Event()
            waiting = asyncio.create_task(pool.run(lambda n=number: ran.append(n), left.wait))  # type: ignore[misc]
            await asyncio.sleep(0)
            assert not has_room(pool)
            left.set()
            with pytest.raises(ClientDisconnect):
                await waiting
            assert has_room(pool)
        go_on.set()
        assert await running
        assert await pool.run(lambda: 7, never) == 7

    with pool_of(1, 1) as pool:
        run(scenario)
    assert not ran


def test_running_job_keeps_its_slot_until_it_ends() -> None:
    go_on, started = threading.Event(), threading.Event()

    def job() -> None:
        started.set()
        go_on.wait(30)

    async def scenario() -> None:
        left = asyncio.Event()
        request = asyncio.create_task(pool.run(job, left.wait))
        await asyncio.to_thread(started.wait)
        left.set()
        with pytest.raises(ClientDisconnect):
            await request
        assert not has_room(pool)
        go_on.set()
        while not has_room(pool):
            await asyncio.sleep(0.01)

    with pool_of(1, 0) as pool:
        run(scenario)


def test_cancelled_request() -> None:
    go_on = threading.Event()

    async def scenario() -> None:
        jobs = [asyncio.create_task(pool.run(go_on.wait, never)) for _ in range(3)]
        await asyncio.sleep(0.05)
        for job in jobs:
            job.cancel()
        ended = await asyncio.gather(*jobs, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in ended)
        go_on.set()
        # The job that ran ends on its own time; then all three slots are free again.
        await asyncio.sleep(0.2)
        assert await asyncio.gather(*(pool.run(lambda: 1, never) for _ in range(3))) == [1, 1, 1]

    with pool_of(1, 2) as pool:
        run(scenario)


def test_each_thread_uses_one_core() -> None:
    async def scenario() -> list[int]:
        barrier = threading.Barrier(3)

        def job() -> int:
            barrier.wait(10)
            return int(faiss.omp_get_max_threads())

        return list(await asyncio.gather(*(pool.run(job, never) for _ in range(3))))

    before = faiss.omp_get_max_threads()
    with pool_of(3, 0) as pool:
        assert run(scenario) == [1, 1, 1]
    assert faiss.omp_get_max_threads() == before
