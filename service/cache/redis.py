"""Answers kept in Redis, for all processes that serve the same data."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from service.cache.key import LONGEST_ANSWER
from service.cache.store import CacheAwayError
from service.redis_link import RedisAwayError, RedisLink

_MOST_WRITING = 32
PREFIX = b"kinfold:answer:"


class RedisCache:
    """Answers in Redis, each for so many seconds; how many there is room for, Redis decides."""

    kind = "redis"

    def __init__(self, link: RedisLink, seconds: int) -> None:
        self._link = link
        self._seconds = seconds
        self._writing: set[asyncio.Task[None]] = set()

    async def get(self, key: bytes) -> bytes | None:
        """See `AnswerCache.get`."""
        try:
            found = await self._link.ask(lambda redis: redis.get(PREFIX + key))
        except RedisAwayError as error:
            raise CacheAwayError(str(error)) from None
        return found if isinstance(found, bytes) else None

    def put(self, key: bytes, answer: bytes) -> None:
        """See `AnswerCache.put`; the answer goes to the client meanwhile."""
        if len(answer) > LONGEST_ANSWER or len(self._writing) >= _MOST_WRITING:
            return
        task = asyncio.create_task(self._write(PREFIX + key, answer))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, key: bytes, answer: bytes) -> None:
        with suppress(RedisAwayError):
            await self._link.ask(lambda redis: redis.set(key, answer, ex=self._seconds))

    async def close(self) -> None:
        """See `AnswerCache.close`; the link belongs to the application."""
        for task in list(self._writing):
            task.cancel()
        await asyncio.gather(*self._writing, return_exceptions=True)
