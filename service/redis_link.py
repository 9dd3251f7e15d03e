"""The one way to Redis: never waits long, and leaves Redis alone while it is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from kinfold.errors import InputError
from service.metrics.names import REDIS_AWAY
from service.settings import Settings
from workers.logs import service_log

Result = TypeVar("Result")

LOOK_SECONDS = 1.0
"""How often it is looked whether Redis is there."""

_PATIENT_SECONDS = 1.0
_MOST_AT_ONCE = 16
_MOST_FAILURES = 3


class RedisAwayError(Exception):
    """Redis did not answer in time, or was not asked because it is away."""


class RedisLink:
    """A connection that a request may try without risk.

    Every call has a time limit. After three that failed one after the other, Redis counts as away
    and is not asked any more, so that nobody waits for it; a task of its own looks every second
    whether it is back.
    """

    def __init__(self, url: str, timeout: float, name: str = "Redis") -> None:
        self._name = name
        self._timeout = timeout
        self._gauge = REDIS_AWAY.labels(name)
        # One new attempt at once: connections of before a restart of Redis are of no use. Nothing
        # is said on a new connection but what is asked, so that it costs no further round trips.
        self._redis: Redis = Redis.from_url(
            url,
            max_connections=_MOST_AT_ONCE + 1,
            retry=Retry(NoBackoff(), 1),
            protocol=2,
            driver_info=None,
        )
        self._under_way = 0
        self._failures = 0
        self._watch: asyncio.Task[None] | None = None
        self.reason: str | None = "it has not answered yet"

    @property
    def up(self) -> bool:
        """Whether it is worth asking."""
        return self.reason is None

    async def start(self) -> None:
        """Begin to look whether Redis is there."""
        await self._look()
        self._watch = asyncio.create_task(self._look_often())

    async def close(self) -> None:
        """End all connections."""
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
        await self._redis.aclose()

    async def ask(self, question: Callable[[Redis], Awaitable[Result]]) -> Result:
        """Ask Redis.

        Raises
        ------
        RedisAwayError
            No answer in time, an error, too many questions at once, or Redis is away.
        """
        if not self.up:
            raise RedisAwayError(self.reason)
        if self._under_way >= _MOST_AT_ONCE:
            raise RedisAwayError("too many questions at once")
        self._under_way += 1
        try:
            async with asyncio.timeout(self._timeout):
                answer = await question(self._redis)
        except (RedisError, OSError, TimeoutError) as error:
            self._failures += 1
            if self._failures >= _MOST_FAILURES:
                self._away(error)
            raise RedisAwayError(_told(error)) from None
        finally:
            self._under_way -= 1
        self._failures = 0
        return answer

    def _away(self, error: Exception) -> None:
        if self.reason is None:
            service_log.warning(
                "%s is away: %s; searches go on without it", self._name, _told(error)
            )
        self.reason = _told(error)
        self._gauge.set(1)

    async def _look_often(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self._look()

    async def _look(self) -> None:
        try:
            # Nobody waits for this one, so that a slow Redis is given more time than by a request.
            async with asyncio.timeout(max(self._timeout, _PATIENT_SECONDS)):
                await self._redis.ping()
        except (RedisError, OSError, TimeoutError) as error:
            self._away(error)
            return
        if self.reason is not None:
            service_log.info("%s is there", self._name)
        self._failures = 0
        self.reason = None
        self._gauge.set(0)


async def open_links(settings: Settings) -> dict[str, RedisLink]:
    """Links to the Redis that are configured, by what they are called: none, one or two.

    Raises
    ------
    InputError
        An address is none of Redis.
    """
    addresses = {"Redis": settings.redis_url, "the Redis of answers": settings.cache_url}
    links = {}
    for name, address in addresses.items():
        if address is None:
            continue
        try:
            link = RedisLink(address.get_secret_value(), settings.redis_timeout_ms / 1000, name)
        except ValueError as error:
            raise InputError(f"{name}: {error}") from None
        await link.start()
        links[name] = link
    return links


def _told(error: Exception) -> str:
    """What is wrong, without the address: it may hold a password."""
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    if isinstance(error, OSError) or "connect" in type(error).__name__.lower():
        return "it cannot be reached"
    return type(error).__name__
