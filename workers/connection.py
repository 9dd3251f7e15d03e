"""Connections to Redis, and one answer to all of its refusals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from kinfold.errors import InputError
from workers.errors import QueueUnavailableError

_SCHEMES = ("redis", "rediss", "unix")


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
        if urlsplit(url).scheme not in _SCHEMES:
            raise ValueError("the scheme is another")
        client: Redis = Redis.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=min(timeout, 2.0),
            retry=Retry(NoBackoff(), 1),
        )
    except ValueError as error:
        raise InputError(
            "KINFOLD_REDIS_URL: expected redis://host:port/db, rediss://… or unix://…, found "
            f"an address that is none of them: {error}"
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
