"""What every cache of answers does."""

from __future__ import annotations

from typing import Protocol

from service.redis_link import RedisLink
from service.settings import Settings


class CacheAwayError(Exception):
    """The cache cannot be used now."""


class AnswerCache(Protocol):
    """Keeps bytes under keys, for a while and as room allows."""

    kind: str

    async def get(self, key: bytes) -> bytes | None:
        """What is kept under a key, or None; raises `CacheAwayError`."""
        ...

    def put(self, key: bytes, answer: bytes) -> None:
        """Keep an answer, if there is room for it and the cache can be used; returns at once."""
        ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...


def open_cache(settings: Settings, link: RedisLink | None) -> AnswerCache | None:
    """The cache that the settings ask for; None: there is to be none."""
    from service.cache.memory import MemoryCache
    from service.cache.redis import RedisCache

    kind = settings.cache
    if kind == "auto":
        kind = "memory" if link is None else "redis"
    if kind == "redis" and link is not None:
        return RedisCache(link, settings.cache_seconds)
    if kind == "memory" and settings.cache_bytes > 0:
        return MemoryCache(settings.cache_bytes)
    return None
