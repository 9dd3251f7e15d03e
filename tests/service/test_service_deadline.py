"""Deadlines: a search that waited too long is dropped before it costs anything."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from service_client import Client, problem, running

from service.pool import Grouped, SearchPool
from service.problems import ProblemError


async def never() -> None:
    await asyncio.Event().wait()


@pytest.fixture
def busy() -> Iterator[tuple[SearchPool, threading.Event]]:
    pool = SearchPool(1, 20)
    gate = threading.Event()
    try:
        yield pool, gate
    finally:
        gate.set()
        pool.close()


def test_what_waits_too_long_is_answered_on_time_and_never_done(
    busy: tuple[SearchPool, threading.Event],
) -> None:
    pool, gate = busy
    done: list[int] = []

    async def scenario() -> None:
        first = asyncio.create_task(pool.run(lambda: gate.wait(20), never))
        await asyncio.sleep(0.05)
        start = time.perf_counter()
        late = [pool.run(lambda n=n: done.append(n), never, 0.1) for n in range(5)]  # type: ignore[misc]
        ended = await asyncio.gather(*late, return_exceptions=True)
        took = time.perf_counter() - start
        # Not when the thread comes free, but when the time is up.
        assert 0.09 < took < 2
        for error in ended:
            assert isinstance(error, ProblemError)
            assert error.kind.name == "deadline-exceeded"
            assert error.headers["Retry-After"] == "1"
        assert pool.waiting == 0
        patient = asyncio.create_task(pool.run(lambda: 7, never, 20))
        await asyncio.sleep(0.01)
        gate.set()
        assert await patient == 7
        assert await first

    asyncio.run(asyncio.wait_for(scenario(), 30))
    assert not done


def test_in_a_group_as_well() -> None:
    """A search that was read already, and waits to be answered."""
    pool = SearchPool(2, 20)
    gate = threading.Event()
    passes: list[list[Any]] = []

    def together(items: Any) -> list[Any]:
        passes.append(list(items))
        return list(items)

    def held(items: Any) -> list[Any]:
        gate.wait(20)
        return list(items)

    async def scenario() -> None:
        # Both threads are busy with passes; reading comes before passes, so that the third is read
        # once one of them is free, and then dropped for being late.
        first = asyncio.create_task(pool.run(lambda: Grouped("x", 1, 1, held), never))
        second = asyncio.create_task(pool.run(lambda: Grouped("y", 1, 2, held), never))
        await asyncio.sleep(0.05)

        def read_slowly() -> Grouped:
            time.sleep(0.3)
            return Grouped("z", 1, 3, together)

        late = asyncio.create_task(pool.run(read_slowly, never, 0.15))
        await asyncio.sleep(0.05)
        gate.set()
        with pytest.raises(ProblemError, match="waited 150 ms"):
            await late
        assert (await first, await second) == (1, 2)
        assert await pool.run(lambda: 7, never) == 7

    try:
        asyncio.run(asyncio.wait_for(scenario(), 30))
    finally:
        gate.set()
        pool.close()
    assert not passes


def test_what_runs_is_not_broken_off() -> None:
    pool = SearchPool(1, 1)

    async def scenario() -> int:
        def job() -> int:
            time.sleep(0.2)
            return 7

        return await pool.run(job, never, 0.05)

    try:
        assert asyncio.run(scenario()) == 7
    finally:
        pool.close()


@pytest.fixture(scope="module")
def held_up(data: Path) -> Iterator[tuple[Client, Any]]:
    """A service whose only thread can be held up."""
    with running(data, threads=1, deadline_ms=400, cache="off") as client:
        yield client, client.app.state.service.pool


def search_while_held(client: Client, pool: SearchPool, **headers: str) -> tuple[Any, float]:
    gate = threading.Event()

    async def scenario() -> tuple[Any, float]:
        held = asyncio.create_task(pool.run(lambda: gate.wait(20), never))
        await asyncio.sleep(0.05)
        start = time.perf_counter()
        try:
            answer = await client._http.post(
                "/v1/collections/photos/search", json={"id": 1}, headers=headers
            )
        finally:
            took = time.perf_counter() - start
            gate.set()
            await held
        return answer, took

    found: tuple[Any, float] = client.portal.call(scenario)
    return found


def test_over_http(held_up: tuple[Client, Any]) -> None:
    answer, took = search_while_held(*held_up)
    problem(answer, 503, "deadline-exceeded")
    assert answer.headers["retry-after"] == "1"
    assert 0.35 < took < 3
    assert held_up[0].search("photos", id=1).status_code == 200


def test_the_header_may_ask_for_less_but_not_for_more(held_up: tuple[Client, Any]) -> None:
    answer, took = search_while_held(*held_up, **{"X-Timeout-Ms": "50"})
    assert "waited 50 ms" in problem(answer, 503, "deadline-exceeded")["detail"]
    assert took < 0.35
    answer, _ = search_while_held(*held_up, **{"X-Timeout-Ms": "90000"})
    assert "waited 400 ms" in problem(answer, 503, "deadline-exceeded")["detail"]


@pytest.mark.parametrize("value", ["", "0", "-5", "1.5", "soon", "1" * 20, "٣"])
def test_a_bad_header(client: Client, value: str) -> None:
    answer = client.send(
        "POST",
        "/v1/collections/photos/search",
        json={"id": 1},
        headers={b"X-Timeout-Ms": value.encode()},
    )
    assert "X-Timeout-Ms" in problem(answer, 422, "invalid-request")["detail"]
