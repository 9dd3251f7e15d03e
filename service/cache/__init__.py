"""Answers kept: in memory, or in Redis for all processes."""

from service.cache.choose import open_cache
from service.cache.key import LONGEST_BODY, answer_key
from service.cache.memory import MemoryCache
from service.cache.redis import RedisCache
from service.cache.store import AnswerCache, CacheAwayError

__all__ = [
    "LONGEST_BODY",
    "AnswerCache",
    "CacheAwayError",
    "MemoryCache",
    "RedisCache",
    "answer_key",
    "open_cache",
]
