"""What every cache of answers does."""

from __future__ import annotations

from typing import Protocol


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
