"""Rate limits: by key, shared through a real Redis, and never in the way when it is away."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from redis_server import RedisServer
from service_client import Client, problem, running

from service.security.keys import KEYS_FILE
from service.security.rates import FAILURES, RETRY_SECONDS
from service.security.store import create_key
from service.security.values import checked_networks, checked_origins, parse_rate

LIST = "/v1/collections"
ENOUGH = 1.0
"""Seconds within which every answer comes, Redis or no Redis."""


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / KEYS_FILE


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    own = RedisServer(tmp_path)
    own.start()
    yield own
    own.kill()


def ask(client: Client, token: object, path: str = LIST) -> httpx.Response:
    start = time.monotonic()
    answer = client.get(path, headers={"X-API-Key": str(token)})
    assert time.monotonic() - start < ENOUGH
    return answer


def allowed(client: Client, token: object, most: int = 50) -> int:
    """How many requests go through before one does not."""
    for count in range(most):
        if ask(client, token).status_code == 429:
            return count
    return most


def test_no_limit_by_default(data: Path, keys: Path) -> None:
    _, token = create_key(keys, "read")
    with running(data, wait=False, auth="on", keys=keys) as client:
        assert allowed(client, token) == 50
        assert not [name for name in ask(client, token).headers if "ratelimit" in name]


def test_headers_count_down_to_429(data: Path, keys: Path) -> None:
    _, token = create_key(keys, "read")
    _, other = create_key(keys, "read")
    _, own = create_key(keys, "read", rate_limit="9/hour")
    with running(data, wait=False, auth="on", keys=keys, rate_limit="3/hour") as client:
        for left in (2, 1, 0):
            answer = ask(client, token)
            assert answer.status_code == 200
            assert answer.headers["ratelimit-limit"] == "3"
            assert answer.headers["ratelimit-remaining"] == str(left)
            assert 0 <= int(answer.headers["ratelimit-reset"]) <= 3600
        answer = ask(client, token)
        found = problem(answer, 429, "rate-limited")
        assert found["expected"] == 3
        assert answer.headers["ratelimit-remaining"] == "0"
        assert 1 <= int(answer.headers["retry-after"]) <= 3600
        # Other keys, and what is open to all, are none of its business.
        assert ask(client, other).status_code == 200
        assert client.get("/healthz").status_code == 200
        assert allowed(client, own) == 9


def test_a_limit_passes(data: Path, keys: Path) -> None:
    _, token = create_key(keys, "read", rate_limit="3/second")
    with running(data, wait=False, auth="on", keys=keys) as client:
        while ask(client, token).status_code != 429:
            pass
        end = time.monotonic() + 5
        while ask(client, token).status_code == 429:
            assert time.monotonic() < end
            time.sleep(0.1)


def test_of_several_limits_the_nearest_is_told(data: Path, keys: Path) -> None:
    _, token = create_key(keys, "read", rate_limit="1000/hour;4/day")
    with running(data, wait=False, auth="on", keys=keys) as client:
        assert ask(client, token).headers["ratelimit-limit"] == "4"
        assert allowed(client, token) == 3


def test_processes_share_a_limit_through_redis(data: Path, keys: Path, server: RedisServer) -> None:
    key, token = create_key(keys, "read", rate_limit="10/hour")
    with ExitStack() as stack:
        one, two = (
            stack.enter_context(
                running(
                    data,
                    wait=False,
                    auth="on",
                    keys=keys,
                    redis_url=server.url,
                    redis_timeout_ms=5000,
                )
            )
            for _ in range(2)
        )
        for _ in range(5):
            assert ask(one, token).status_code == 200
            assert ask(two, token).status_code == 200
        problem(ask(one, token), 429, "rate-limited")
        problem(ask(two, token), 429, "rate-limited")
    with redis.Redis(port=server.port) as client:
        names = [name.decode() for name in client.scan_iter()]
        assert names
        assert all(key.id in name and token.secret not in name for name in names)
        assert all(0 < client.ttl(name) <= 7200 for name in names)


def test_redis_killed_and_back(
    data: Path, keys: Path, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "kinfold.service")
    _, token = create_key(keys, "read", rate_limit="20/hour")
    with running(data, wait=False, auth="on", keys=keys, redis_url=server.url) as client:
        assert ask(client, token).headers["ratelimit-remaining"] == "19"
        server.kill()
        # Counted here, from the start: nothing fails, and there is a limit all the same.
        assert allowed(client, token) == 20
        assert caplog.text.count("Redis fails") == 1
        server.start()
        end = time.monotonic() + 10
        while ask(client, token).status_code == 429:
            assert time.monotonic() < end
            time.sleep(0.1)
        assert "Redis answers again" in caplog.text
        # The counter in Redis is what counts again; it was lost with the server.
        assert int(ask(client, token).headers["ratelimit-remaining"]) <= 18


def test_redis_that_does_not_answer_is_not_waited_for(
    data: Path, keys: Path, server: RedisServer
) -> None:
    _, token = create_key(keys, "read", rate_limit="1000/hour")
    with running(data, wait=False, auth="on", keys=keys, redis_url=server.url) as client:
        assert ask(client, token).status_code == 200
        server.freeze()
        try:
            start = time.monotonic()
            assert allowed(client, token) == 50
            # One request a second tries; the others do not wait.
            assert time.monotonic() - start < 2.5
        finally:
            server.thaw()
        time.sleep(RETRY_SECONDS)
        end = time.monotonic() + 5
        # 1 counted before, and those that were sent while nobody answered, at most.
        while int(ask(client, token).headers["ratelimit-remaining"]) < 990:
            assert time.monotonic() < end
            time.sleep(0.05)


def test_redis_that_was_never_there(data: Path, keys: Path) -> None:
    _, token = create_key(keys, "read", rate_limit="5/hour")
    url = "redis://127.0.0.1:1/0"
    with running(data, wait=False, auth="on", keys=keys, redis_url=url) as client:
        assert allowed(client, token) == 5


def test_guessing_is_slowed_and_locks_nobody_out(data: Path, keys: Path) -> None:
    _, token = create_key(keys, "read")
    wrong = f"kf_{'a' * 10}_{'A' * 43}"
    with running(data, wait=False, auth="on", keys=keys) as client:
        answers = [ask(client, wrong) for _ in range(FAILURES.amount + 3)]
        problem(answers[0], 401, "unauthorized")
        answer = answers[-1]
        problem(answer, 429, "rate-limited")
        assert {answer.status_code for answer in answers} == {401, 429}
        assert int(answer.headers["retry-after"]) >= 1
        assert ask(client, token).status_code == 200
        # A request without a key is no guess.
        problem(client.get(LIST), 401, "unauthorized")
        # Nor does an open address tell more tries apart.
        answer = client.get("/readyz", headers={"X-API-Key": wrong})
        assert answer.json().get("collections") is None


rates = st.lists(
    st.tuples(st.integers(1, 10**6), st.sampled_from(["second", "minute", "hour", "day"])),
    min_size=1, max_size=3,
)  # fmt: skip


@given(rates)
def test_rates_are_read(values: list[tuple[int, str]]) -> None:
    items = parse_rate(";".join(f"{amount}/{unit}" for amount, unit in values))
    assert sorted(item.amount for item in items) == sorted(amount for amount, _ in values)
    assert [item.get_expiry() for item in items] == sorted(item.get_expiry() for item in items)


@given(st.text(max_size=20))
def test_other_text_is_refused_or_a_rate(text: str) -> None:
    try:
        items = parse_rate(text)
    except ValueError as error:
        assert "600/minute" in str(error)
    else:
        assert all(item.amount > 0 for item in items)
        assert bool(items) == bool(text.strip())


@pytest.mark.parametrize("text", ["0/minute", "5", "5/week", "5 per minute", "-1/day", "5/minute;"])
def test_rates_that_cannot_be_used(text: str) -> None:
    with pytest.raises(ValueError, match="expected requests by second"):
        parse_rate(text)


@given(st.text(max_size=30))
def test_any_text_as_origins_or_networks(text: str) -> None:
    for check in (checked_origins, checked_networks):
        try:
            assert check(text) == text
        except ValueError as error:
            assert str(error).startswith("expected ")
