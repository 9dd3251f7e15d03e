"""Connections to Redis, and one answer to all of its refusals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from kinfold.errors import InputError
from workers.errors import QueueUnavailableError


def connect(url: str, timeout: float = 3.0) -> Redis:
    """A client with a pool of its own; nothing is sent yet.

    Parameters
    ----------
    url:
        As in KINFOLD_REDIS_URL.
    timeout:
        Longest wait for an answer, in seconds. A lost connection is made anew once.

    Raises
    ------
    InputError
        The address is none; the message does not repeat it, since it may hold a password.
    """
    try:
        client: Redis = Redis.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=min(timeout, 2.0),
            retry=Retry(NoBackoff(), 1),
        )
    except ValueError:
        raise InputError(
            "KINFOLD_REDIS_URL: expected redis://host:port/db, rediss://… or unix://path"
        ) from None
    return client


@contextmanager
def redis_errors() -> Iterator[None]:
    """Turn every refusal of Redis into one clear `QueueUnavailableError`."""
    try:
        yield
    except ResponseError as error:
        raise QueueUnavailableError(
            f"jobs: Redis refuses: {error}; see its memory limit and its disk"
        ) from error
    except RedisError as error:
        raise QueueUnavailableError(f"jobs: Redis cannot be reached: {error}") from error
