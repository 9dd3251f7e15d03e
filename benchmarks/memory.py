"""What a process holds in memory, by kind, while it works."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.linearity import peak

_SECONDS = 0.02


def held() -> dict[str, int]:
    """Bytes in memory now: ``RssAnon``, the process's own, and ``RssFile``, pages of mapped files.

    Pages of files are the system's to take away again, and processes share them. Zeros where the
    system does not tell.
    """
    found = {"RssAnon": 0, "RssFile": 0}
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return found
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name in found:
            found[name] = int(value.split()[0]) * 1024
    return found


class PeakMemory:
    """Looks at the process's memory from a thread; use as a context manager.

    Attributes
    ----------
    own, mapped:
        The most bytes seen of each kind, `held`; not at the same time, perhaps.
    phase:
        What `phase` of the caller was when the process's own were most.
    """

    def __init__(self) -> None:
        self.own = self.mapped = 0
        self.phase = self._current = ""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    def enter(self, phase: str) -> None:
        """Say what is being done now."""
        self._current = phase

    @property
    def whole(self) -> int:
        """The peak of all of it, as the system noted it; since the process began."""
        return peak()

    def _look(self) -> None:
        found = held()
        if found["RssAnon"] > self.own:
            self.own, self.phase = found["RssAnon"], self._current
        self.mapped = max(self.mapped, found["RssFile"])

    def _look_on(self) -> None:
        while not self._end.wait(_SECONDS):
            self._look()

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()
        self._look()
