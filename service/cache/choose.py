"""Which cache the settings ask for."""

from __future__ import annotations

from service.cache.memory import MemoryCache
from service.cache.redis import RedisCache
from service.cache.store import AnswerCache
from service.redis_link import RedisLink
from service.settings import Settings


def open_cache(settings: Settings, link: RedisLink | None) -> AnswerCache | None:
    """The cache that the settings ask for; None: there is to be none."""
    kind = settings.cache
    if kind == "auto":
        kind = "memory" if link is None else "redis"
    if kind == "redis" and link is not None:
        return RedisCache(link, settings.cache_seconds)
    if kind == "memory" and settings.cache_bytes > 0:
        return MemoryCache(settings.cache_bytes)
    return None
