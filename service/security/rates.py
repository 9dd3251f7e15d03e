"""Rate limits: counted in Redis where there is one, in this process while it does not answer."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from workers.logs import service_log

PREFIX = "kinfold:rate"
RETRY_SECONDS = 1.0
"""How long Redis is left alone after it failed."""

FAILURES = RateLimitItemPerMinute(30)
"""Wrong keys from one address; more are answered 429."""

_BUCKETS = 1024
_MOST_CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a limit says of a request, and what the headers tell of it."""

    allowed: bool
    limit: int
    remaining: int
    reset: int

    def headers(self) -> dict[str, str]:
        """For the answer."""
        told = {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset),
        }
        return told if self.allowed else {**told, "Retry-After": str(max(1, self.reset))}


class Limiter:
    """Counts requests of keys, by sliding windows.

    A request never fails for want of Redis: when it does not answer within the timeout, this
    process counts by itself, and tries Redis again with one request a second.
    """

    def __init__(self, redis_url: str | None, timeout_ms: int) -> None:
        self._memory = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._seconds = timeout_ms / 1000
        self._pool: BlockingConnectionPool | None = None
        self._shared: SlidingWindowCounterRateLimiter | None = None
        self._closed_until = 0.0
        self._failing = False
        if redis_url is not None:
            self._pool = BlockingConnectionPool.from_url(
                redis_url,
                max_connections=_MOST_CONNECTIONS,
                timeout=self._seconds,
                socket_timeout=self._seconds,
                socket_connect_timeout=self._seconds,
                retry=Retry(NoBackoff(), 0),
            )
            options: dict[str, Any] = {"connection_pool": self._pool}
            storage = RedisStorage(
                redis_url, implementation="redispy", key_prefix=PREFIX, **options
            )
            self._shared = SlidingWindowCounterRateLimiter(storage)

    async def hit(self, items: Sequence[RateLimitItem], name: str) -> Verdict:
        """Count a request against all limits of a key, and tell of the one that is nearest."""
        if self._shared is not None and time.monotonic() >= self._closed_until:
            # Whoever comes meanwhile does not wait, too.
            self._closed_until = time.monotonic() + RETRY_SECONDS if self._failing else 0.0
            try:
                async with asyncio.timeout(self._seconds):
                    verdict = await _hit(self._shared, items, name)
            except Exception as error:
                self._fall_back(error)
            else:
                self._recover()
                return verdict
        return await _hit(self._memory, items, name)

    async def failed(self, address: str) -> Verdict:
        """Count a wrong key from an address.

        In this process alone: strangers cause no traffic to Redis. And in so many buckets, not
        one an address: strangers do not decide how much memory is used.
        """
        return await _hit(self._memory, (FAILURES,), f"failures-{hash(address) % _BUCKETS}")

    async def close(self) -> None:
        """Close the connections."""
        if self._pool is not None:
            await self._pool.disconnect()

    def _fall_back(self, error: Exception) -> None:
        self._closed_until = time.monotonic() + RETRY_SECONDS
        if not self._failing:
            self._failing = True
            reason = type(error).__name__
            service_log.warning("rate limits: Redis fails (%s); counted in this process", reason)

    def _recover(self) -> None:
        if self._failing:
            self._failing = False
            self._closed_until = 0.0
            service_log.info("rate limits: Redis answers again")


async def _hit(
    limiter: SlidingWindowCounterRateLimiter, items: Sequence[RateLimitItem], name: str
) -> Verdict:
    nearest: Verdict | None = None
    for item in items:
        allowed = await limiter.hit(item, name)
        reset, remaining = await limiter.get_window_stats(item, name)
        seconds = max(0, math.ceil(reset - time.time()))
        verdict = Verdict(allowed, item.amount, remaining if allowed else 0, seconds)
        if not allowed:
            return verdict
        if nearest is None or verdict.remaining < nearest.remaining:
            nearest = verdict
    assert nearest is not None, "a limit without items"  # noqa: S101
    return nearest
