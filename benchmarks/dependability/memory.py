"""What a family of processes holds of the machine, over time, and whether it grows."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import psutil

from benchmarks.dependability.processes import Process


@dataclass(frozen=True, slots=True)
class Holding:
    """What is held at one moment, by a process and its children together.

    Attributes
    ----------
    private:
        Bytes of memory that belong to nobody else; pages of mapped files, which the system may
        take back, do not count.
    descriptors, threads, maps:
        Entries of /proc/<pid>/fd, task and maps.
    """

    at: float
    private: int
    descriptors: int
    threads: int
    maps: int


def look(process: Process) -> Holding:
    """What a process and its children hold now."""
    private = descriptors = threads = maps = 0
    for one in process.family():
        with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            private += private_bytes(one.pid)
            descriptors += one.num_fds()
            threads += one.num_threads()
            maps += (Path("/proc") / str(one.pid) / "maps").read_bytes().count(b"\n")
    return Holding(time.time(), private, descriptors, threads, maps)


def private_bytes(pid: int) -> int:
    """Memory that is in use and mapped from no file: RssAnon, and what was swapped out."""
    text = (Path("/proc") / str(pid) / "status").read_text()
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return 1024 * sum(int(fields.get(name, "0").split()[0]) for name in ("RssAnon", "VmSwap"))


def growth(values: list[int] | list[float]) -> float:
    """How much a series grew from its beginning to its end, by the line through all of it.

    Theil and Sen's line: single peaks do not turn it.
    """
    if len(values) < 3:
        return 0.0
    y = np.asarray(values, dtype=float)
    first, second = np.triu_indices(len(y), 1)
    return float(np.median((y[second] - y[first]) / (second - first)) * (len(y) - 1))


class Watch:
    """Looks at a process every so often, on a thread; use as a context manager."""

    def __init__(self, process: Process, every: float = 0.5) -> None:
        self._process = process
        self._every = every
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.holdings: list[Holding] = []

    def _look(self) -> None:
        while not self._done.wait(self._every):
            self.holdings.append(look(self._process))

    def __enter__(self) -> Self:
        self.holdings.append(look(self._process))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()
        self.holdings.append(look(self._process))
