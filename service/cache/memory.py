"""Answers kept in this process."""

from __future__ import annotations

from collections import OrderedDict

from service.cache.key import LONGEST_ANSWER

_OVERHEAD = 256
"""Bytes that an entry takes beside its answer: key, objects, its place in the table."""


class MemoryCache:
    """The answers asked for last, up to so many bytes; for one event loop."""

    kind = "memory"

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._answers: OrderedDict[bytes, bytes] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    @property
    def bytes_held(self) -> int:
        """Bytes that it takes now."""
        return self._bytes

    async def get(self, key: bytes) -> bytes | None:
        """See `AnswerCache.get`."""
        answer = self._answers.get(key)
        if answer is not None:
            self._answers.move_to_end(key)
        return answer

    def put(self, key: bytes, answer: bytes) -> None:
        """See `AnswerCache.put`; what was not asked for longest makes room."""
        if len(answer) > LONGEST_ANSWER or len(answer) + _OVERHEAD > self._most:
            return
        before = self._answers.pop(key, None)
        if before is not None:
            self._bytes -= len(before) + _OVERHEAD
        self._answers[key] = answer
        self._bytes += len(answer) + _OVERHEAD
        while self._bytes > self._most:
            _, oldest = self._answers.popitem(last=False)
            self._bytes -= len(oldest) + _OVERHEAD

    async def close(self) -> None:
        """See `AnswerCache.close`."""
        self._answers.clear()
        self._bytes = 0
