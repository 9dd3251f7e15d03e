"""Searches that wait are answered in one pass when they ask alike, and as if each were alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from service_client import JSON, Client, running

from service.pool import Grouped, SearchPool
from service.problems import ProblemError
from service.search import batch
from service.settings import Settings


async def never() -> None:
    await asyncio.Event().wait()


class Recorder:
    """Jobs of any key, and what was answered together."""

    def __init__(self) -> None:
        self.passes: list[list[Any]] = []

    def job(self, key: str, item: Any, size: int = 1) -> Any:
        return lambda: Grouped(key, size, item, self.together)

    def together(self, items: Sequence[Any]) -> list[Any]:
        self.passes.append(list(items))
        return [ValueError(item) if item == "bad" else f"answer {item}" for item in items]


@contextmanager
def held(threads: int = 1, queue: int = 64, batch: int = 32) -> Iterator[Any]:
    """A pool whose threads are busy until they are released."""
    pool = SearchPool(threads, queue, batch=batch)
    gate = threading.Event()
    try:
        yield pool, gate
    finally:
        gate.set()
        pool.close()


def collect(pool: SearchPool, gate: threading.Event, jobs: Sequence[Any]) -> list[Any]:
    async def scenario() -> list[Any]:
        busy = asyncio.create_task(pool.run(gate.wait, never))
        await asyncio.sleep(0.05)
        waiting = [asyncio.create_task(pool.run(job, never)) for job in jobs]
        await asyncio.sleep(0.05)
        gate.set()
        await busy
        return list(await asyncio.gather(*waiting, return_exceptions=True))

    return asyncio.run(asyncio.wait_for(scenario(), 30))


def test_those_that_wait_are_answered_together_by_key() -> None:
    recorder = Recorder()
    jobs = [recorder.job("ab"[number % 2], number) for number in range(10)]
    with held() as (pool, gate):
        assert collect(pool, gate, jobs) == [f"answer {number}" for number in range(10)]
    assert recorder.passes == [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]


def test_a_pass_is_bounded_and_a_large_search_runs_alone() -> None:
    recorder = Recorder()
    sizes = [1, 2, 1, 9, 1, 1, 1, 1, 1]
    jobs = [recorder.job("a", number, size) for number, size in enumerate(sizes)]
    with held(batch=4) as (pool, gate):
        collect(pool, gate, jobs)
    assert recorder.passes == [[0, 1, 2], [3], [4, 5, 6, 7], [8]]


def test_groups_take_turns() -> None:
    recorder = Recorder()
    jobs = [*(recorder.job("a", n) for n in range(6)), recorder.job("b", "b")]
    with held(batch=2) as (pool, gate):
        collect(pool, gate, jobs)
    assert recorder.passes == [[0, 1], ["b"], [2, 3], [4, 5]]


def test_one_that_fails_fails_alone() -> None:
    recorder = Recorder()

    def unreadable() -> Any:
        raise KeyError("no")

    jobs = [recorder.job("a", 1), recorder.job("a", "bad"), unreadable, recorder.job("a", 2)]
    with held() as (pool, gate):
        first, second, third, fourth = collect(pool, gate, jobs)
    assert (first, fourth) == ("answer 1", "answer 2")
    assert isinstance(second, ValueError)
    assert isinstance(third, KeyError)
    assert recorder.passes == [[1, "bad", 2]]


def test_a_pass_that_fails_leaves_no_thread_and_no_slot_behind() -> None:
    def fail(items: Sequence[Any]) -> list[Any]:
        raise RuntimeError("all of them")

    with held(queue=3) as (pool, gate):
        results = collect(pool, gate, [lambda: Grouped("a", 1, 0, fail) for _ in range(3)])
        assert [type(result) for result in results] == [RuntimeError] * 3

        async def again() -> list[int]:
            return await asyncio.gather(*(pool.run(lambda: 7, never) for _ in range(4)))

        assert asyncio.run(again()) == [7] * 4


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5)), max_size=30),
    st.integers(1, 3),
    st.integers(1, 8),
)
def test_everyone_gets_their_own_answer(
    searches: list[tuple[str, int]], threads: int, batch: int
) -> None:
    recorder = Recorder()
    jobs = [recorder.job(key, number, size) for number, (key, size) in enumerate(searches)]
    pool = SearchPool(threads, len(jobs), batch=batch)

    async def scenario() -> list[Any]:
        return list(await asyncio.gather(*(pool.run(job, never) for job in jobs)))

    try:
        assert asyncio.run(scenario()) == [f"answer {number}" for number in range(len(jobs))]
    finally:
        pool.close()
    assert sorted(item for one in recorder.passes for item in one) == list(range(len(jobs)))
    for one in recorder.passes:
        assert len({searches[item][0] for item in one}) == 1
        assert len(one) == 1 or sum(searches[item][1] for item in one) <= batch


def test_one_client_alone_waits_for_nobody() -> None:
    recorder = Recorder()
    pool = SearchPool(2, 4, batch=32)

    async def scenario() -> float:
        loop = asyncio.get_running_loop()
        start = loop.time()
        for number in range(50):
            await pool.run(recorder.job("a", number), never)
        return (loop.time() - start) / 50

    try:
        assert asyncio.run(scenario()) < 0.05
    finally:
        pool.close()
    assert all(len(one) == 1 for one in recorder.passes)


SEARCHES: list[dict[str, Any]] = [
    {"model": "default"},
    {"model": "knn"},
    {"model": ["default", "far", "knn"], "fusion": "score"},
    {"k_q": 3, "seeds": "plain", "k": 25},
]


def post_all(client: Client, path: str, bodies: Sequence[dict[str, Any]]) -> list[Any]:
    """All at once, so that they meet in the pool."""

    async def scenario() -> list[Any]:
        posts = (client.post_bare(path, orjson.dumps(body), JSON) for body in bodies)
        return list(await asyncio.gather(*posts))

    return list(client.portal.call(scenario))


@pytest.fixture(scope="module")
def slow(data: Path) -> Iterator[Client]:
    """One thread, so that searches meet; no cache, so that they are searched for."""
    with running(data, threads=1, queue=1000, queue_ms=60_000, cache="off") as client:
        yield client


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the passes that are made."""
    sizes: list[int] = []
    real = batch.answer_all

    def counted(waiting: Sequence[Any]) -> Any:
        sizes.append(len(waiting))
        return real(waiting)

    monkeypatch.setattr("service.search.steps.answer_all", counted)
    return sizes


@pytest.mark.parametrize("collection", ["several"])
def test_the_same_answers_as_alone(
    slow: Client, queries: np.ndarray, passes: list[int], collection: str
) -> None:
    path = f"/v1/collections/{collection}/search"
    bodies = [
        {"vector": query.tolist(), **asked} for query in queries[:12] for asked in SEARCHES
    ] + [{"id": number, "k": 7} for number in range(12)]
    together = post_all(slow, path, bodies)
    assert max(passes) >= 4
    assert sum(passes) == len(bodies)
    for body, answer in zip(bodies, together, strict=True):
        alone = slow.search(collection, **body)
        mine, theirs = answer.json(), alone.json()
        for one, other in zip(mine["results"], theirs["results"], strict=True):
            assert one["reached"] == other["reached"]
            assert [hit["id"] for hit in one["hits"]] == [hit["id"] for hit in other["hits"]]
            for name in ("score", "similarity"):
                np.testing.assert_allclose(
                    [hit[name] for hit in one["hits"]],
                    [hit[name] for hit in other["hits"]],
                    rtol=1e-5,
                    atol=1e-7,
                )


def test_payload_and_explain_are_each_their_own(slow: Client, queries: np.ndarray) -> None:
    path = "/v1/collections/photos/search"
    query = queries[0].tolist()
    extras: list[dict[str, Any]] = [{}, {"with_payload": True}, {"explain": True, "k": 3}, {}]
    answers = post_all(slow, path, [{"vector": query, **extra} for extra in extras])
    shown = [set(answer.json()["results"][0]["hits"][0]) for answer in answers]
    plain = {"id", "score", "similarity"}
    assert shown == [plain, plain | {"payload"}, plain | {"explain"}, plain]


def test_a_bad_query_spoils_no_other(slow: Client, queries: np.ndarray, passes: list[int]) -> None:
    """Of an index by inner products: its similarities leave the range of float32."""
    path = "/v1/collections/parts/search"
    bodies = [{"vector": query.tolist()} for query in queries[:9]]
    bodies[4] = {"vector": [3e38] * queries.shape[1]}
    answers = post_all(slow, path, bodies)
    assert max(passes) > 1
    problem_of = answers.pop(4)
    assert problem_of.status_code == 422
    alone = slow.search("parts", **bodies[4])
    assert problem_of.json()["detail"] == alone.json()["detail"]
    for number, answer in zip([0, 1, 2, 3, 5, 6, 7, 8], answers, strict=True):
        alone = slow.search("parts", vector=queries[number].tolist()).json()
        assert answer.json()["results"] == alone["results"]


def test_unknown_ids_are_told_to_who_asked(slow: Client) -> None:
    bodies = [{"id": number} for number in (1, 2, 10**6, 3)]
    answers = post_all(slow, "/v1/collections/photos/search", bodies)
    assert [answer.status_code for answer in answers] == [200, 200, 404, 200]
    assert answers[2].json()["found"] == 10**6


def test_batch_setting_of_one_turns_it_off(
    data: Path, queries: np.ndarray, passes: list[int]
) -> None:
    with running(data, threads=1, batch=1, queue=1000, cache="off") as client:
        bodies = [{"vector": query.tolist()} for query in queries[:20]]
        answers = post_all(client, "/v1/collections/photos/search", bodies)
    assert {answer.status_code for answer in answers} == {200}
    assert set(passes) == {1}


def test_refusal_by_pace() -> None:
    """When those that wait will take longer than is allowed, one more is refused at once."""
    gate = threading.Event()
    pool = SearchPool(1, 100, batch=1, patience=0.2)

    def slow_pass(items: Sequence[Any]) -> list[Any]:
        gate.wait(0.1)
        return list(items)

    async def scenario() -> list[Any]:
        await pool.run(lambda: Grouped("a", 1, 0, slow_pass), never)  # it learns the pace
        jobs = [pool.run(lambda: Grouped("a", 1, 0, slow_pass), never) for _ in range(10)]
        return list(await asyncio.gather(*jobs, return_exceptions=True))

    try:
        ended = asyncio.run(scenario())
    finally:
        pool.close()
    refused = [one for one in ended if isinstance(one, ProblemError)]
    assert 5 <= len(refused) <= 8
    assert all("searches wait, which will take" in one.detail for one in refused)
    assert {one.headers["Retry-After"] for one in refused} == {"1"}


def test_settings_of_the_pool(data: Path) -> None:
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        Settings(data=data, batch=0)
