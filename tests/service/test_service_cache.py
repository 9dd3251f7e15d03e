"""Answers kept: one contract for memory and a real Redis, and a Redis that goes and comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis_server import RedisServer
from service_client import Client, running, until

from service.cache import AnswerCache, CacheAwayError, MemoryCache, RedisCache, answer_key
from service.cache.key import LONGEST_ANSWER, LONGEST_BODY
from service.redis_link import RedisAwayError, RedisLink

Scenario = Callable[[AnswerCache], Awaitable[None]]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.close()


@asynccontextmanager
async def linked(server: RedisServer, timeout: float = 2.0) -> AsyncIterator[RedisLink]:
    link = RedisLink(server.url, timeout)
    await link.start()
    try:
        yield link
    finally:
        await link.close()


@pytest.fixture(params=["memory", "redis"])
def with_cache(request: pytest.FixtureRequest) -> Callable[[Scenario], None]:
    """Runs a scenario with a cache of each kind."""

    def run(scenario: Scenario) -> None:
        async def whole() -> None:
            if request.param == "memory":
                await scenario(MemoryCache(8 << 20))
                return
            async with linked(request.getfixturevalue("redis")) as link:
                cache = RedisCache(link, 60)
                await scenario(cache)
                await cache.close()

        asyncio.run(asyncio.wait_for(whole(), 60))

    return run


async def kept(cache: AnswerCache, key: bytes) -> bytes | None:
    """What comes of a put that is done beside."""
    for _ in range(100):
        found = await cache.get(key)
        if found is not None:
            return found
        await asyncio.sleep(0.01)
    return None


def test_contract(with_cache: Callable[[Scenario], None]) -> None:
    async def scenario(cache: AnswerCache) -> None:
        first, second = bytes(range(32)), bytes(32)
        assert await cache.get(first) is None
        cache.put(first, b"answer \x00\xff")
        assert await kept(cache, first) == b"answer \x00\xff"
        assert await cache.get(second) is None
        cache.put(first, b"another")
        await asyncio.sleep(0.1)
        assert await cache.get(first) == b"another"
        cache.put(second, b"")
        cache.put(b"large", bytes(LONGEST_ANSWER + 1))
        await asyncio.sleep(0.1)
        assert await cache.get(b"large") is None
        assert await cache.get(first) == b"another"
        for number in range(200):
            cache.put(number.to_bytes(32, "big"), str(number).encode())
        await cache.close()

    with_cache(scenario)


def test_memory_is_bounded_and_keeps_what_was_asked_for_last() -> None:
    async def scenario() -> None:
        cache = MemoryCache(10_000)
        for number in range(1000):
            cache.put(str(number).encode(), bytes(700))
            assert cache.bytes_held <= 10_000
            if number:
                assert await cache.get(b"0" if number < 500 else str(number).encode()) is not None
        assert 5 < len(cache) < 15
        assert await cache.get(b"0") is None
        cache.put(b"too large", bytes(10_000))
        assert await cache.get(b"too large") is None
        await cache.close()
        assert (len(cache), cache.bytes_held) == (0, 0)

    asyncio.run(scenario())


def test_keys_tell_requests_apart() -> None:
    base: list[Any] = ["photos", "v1", b"{}", b"k=1", "application/json", ""]
    keys = {answer_key(*base)}
    for place in range(len(base)):
        other = list(base)
        other[place] = other[place] + (b"x" if isinstance(other[place], bytes) else "x")
        keys.add(answer_key(*other))
    keys.add(answer_key("photosv", "1", b"{}", b"k=1", "application/json", ""))
    assert len(keys) == 8
    assert answer_key(*base) == answer_key(*base[:2], bytearray(b"{}"), *base[3:])


def test_answers_in_redis_end(redis: RedisServer) -> None:
    async def scenario() -> None:
        async with linked(redis) as link:
            cache = RedisCache(link, 600)
            cache.put(b"k", b"v")
            await kept(cache, b"k")
        assert 500 < redis.client.ttl(b"kinfold:answer:k") <= 600

    asyncio.run(scenario())


def test_a_redis_that_hangs_costs_its_time_limit_and_then_nothing(redis: RedisServer) -> None:
    async def scenario() -> None:
        async with linked(redis, 0.05) as link:
            assert await link.ask(lambda one: one.ping())
            redis.client.execute_command("CLIENT", "PAUSE", "1500", "ALL")
            for _ in range(3):
                start = time.perf_counter()
                with pytest.raises(RedisAwayError, match="does not answer in time"):
                    await link.ask(lambda one: one.get("x"))
                assert time.perf_counter() - start < 0.5
            assert not link.up
            start = time.perf_counter()
            for _ in range(1000):
                with pytest.raises(RedisAwayError):
                    await link.ask(lambda one: one.get("x"))
            assert time.perf_counter() - start < 0.5
            for _ in range(600):
                if link.up:
                    break
                await asyncio.sleep(0.01)
            assert await link.ask(lambda one: one.ping())

    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_more_questions_than_connections(redis: RedisServer) -> None:
    """Who finds all of them taken goes on without; Redis does not count as away for it."""

    async def scenario() -> None:
        async with linked(redis, 20) as link:
            asked = [link.ask(lambda one: one.get("x")) for _ in range(500)]
            ended = await asyncio.gather(*asked, return_exceptions=True)
            assert link.up
            assert sum(one is None for one in ended) >= 16
            assert {type(one) for one in ended} <= {type(None), RedisAwayError}

    asyncio.run(scenario())


def test_without_redis_at_the_start() -> None:
    async def scenario() -> None:
        link = RedisLink("redis://127.0.0.1:1/0", 0.05)
        await link.start()
        assert link.reason == "it cannot be reached"
        with pytest.raises(CacheAwayError):
            await RedisCache(link, 1).get(b"x")
        RedisCache(link, 1).put(b"x", b"y")
        await link.close()

    asyncio.run(scenario())


def ask(client: Client, **body: Any) -> Any:
    return client.search("photos", **body)


def test_over_http_in_memory(data: Path) -> None:
    with running(data, cache="memory") as client:
        first, again = ask(client, id=1), ask(client, id=1)
        assert (first.headers["x-cache"], again.headers["x-cache"]) == ("miss", "hit")
        assert first.content == again.content
        assert again.headers["content-type"] == "application/json"
        assert ask(client, id=1, k=3).headers["x-cache"] == "miss"
        # Errors are not kept, nor are long bodies looked for.
        for _ in range(2):
            assert ask(client, id=10**6).status_code == 404
        padded = b'{"id": 1' + b" " * LONGEST_BODY + b"}"
        for _ in range(2):
            answer = client.search_bytes("photos", padded, "application/json")
            assert (answer.status_code, answer.headers["x-cache"]) == (200, "off")
        text = client.get("/metrics").text
        assert 'kinfold_cache_lookups_total{result="hit"}' in text


def test_over_http_turned_off(data: Path) -> None:
    for settings in ({"cache": "off"}, {"cache": "memory", "cache_bytes": 0}):
        with running(data, **settings) as client:
            for _ in range(2):
                assert ask(client, id=1).headers["x-cache"] == "off"


def test_auto_means_redis_where_there_is_one(data: Path, redis: RedisServer) -> None:
    with running(data) as client:
        ask(client, id=1)
        assert ask(client, id=1).headers["x-cache"] == "hit"
    assert redis.client.dbsize() == 0
    with running(data, redis_url=redis.url, redis_timeout_ms=2000) as client:
        assert ask(client, id=1).headers["x-cache"] == "miss"
        until(lambda: redis.client.dbsize() == 1)
    # Another process, after a restart, finds it.
    with running(data, redis_url=redis.url, redis_timeout_ms=2000) as client:
        assert ask(client, id=1).headers["x-cache"] == "hit"


def test_answers_in_a_redis_of_their_own(data: Path, redis: RedisServer, tmp_path: Path) -> None:
    """One that is full and throws keys away does no harm to jobs."""
    (tmp_path / "answers").mkdir()
    answers = RedisServer(tmp_path / "answers")
    answers.start()
    urls = {"redis_url": redis.url, "cache_url": answers.url, "redis_timeout_ms": 2000}
    try:
        with running(data, **urls) as client:
            assert ask(client, id=1).headers["x-cache"] == "miss"
            until(lambda: answers.client.dbsize() == 1)
            assert not list(redis.client.scan_iter("kinfold:answer:*"))
            answers.kill()
            for number in range(10):
                assert ask(client, id=number).status_code == 200
            state = until(lambda: degraded(client))
            assert state["reasons"] == ["the Redis of answers: it cannot be reached"]
            time.sleep(1.5)  # each is looked for once a second: neither speaks for the other
            told = client.get("/metrics").text
            assert 'kinfold_redis_away{redis="Redis"} 0.0' in told
            assert 'kinfold_redis_away{redis="the Redis of answers"} 1.0' in told
    finally:
        answers.close()


def test_redis_goes_and_comes_back(data: Path, redis: RedisServer) -> None:
    """Searches go on, /readyz says so, and nobody has to do anything."""
    with running(data, redis_url=redis.url) as client:
        assert client.get("/readyz").json()["status"] == "ready"
        redis.kill()
        for number in range(50):
            assert ask(client, id=number).status_code == 200
        state = until(lambda: degraded(client))
        # Which of the two a busy machine sees first is its own business.
        reasons = (["Redis: it cannot be reached"], ["Redis: it does not answer in time"])
        assert state["reasons"] in reasons
        assert 'kinfold_redis_away{redis="Redis"} 1.0' in client.get("/metrics").text
        start = time.perf_counter()
        for number in range(50):
            assert ask(client, id=number).status_code == 200
        assert time.perf_counter() - start < 5
        redis.start()
        until(lambda: client.get("/readyz").json()["status"] == "ready", 10)
        until(lambda: ask(client, id=5).headers["x-cache"] == "hit", 10)
        assert 'kinfold_redis_away{redis="Redis"} 0.0' in client.get("/metrics").text


def degraded(client: Client) -> Any:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    return answer.json() if answer.json()["status"] == "degraded" else None
