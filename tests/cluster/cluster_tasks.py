"""Tasks for runners, which workers find by this module's name."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinfold.arrays import AnyArray
from kinfold.blocks import Arrays
from kinfold.errors import InputError


def rows_of(arrays: Arrays, begin: int, end: int, threads: int) -> dict[str, AnyArray]:
    """Rows of the same length, and rows of different lengths."""
    x = arrays["x"]
    lengths = np.arange(begin, end, dtype=np.int64) % 3
    products = x[begin:end] @ x[: min(100, len(x))].T
    return {"products": products, "lengths": lengths, "flat": np.repeat(x[begin:end, 0], lengths)}


@dataclass(frozen=True)
class Slowly:
    """As `rows_of`, leaving a file with the process's number in a folder for each start."""

    folder: str
    seconds: float = 0.3

    def __call__(self, arrays: Arrays, begin: int, end: int, threads: int) -> dict[str, AnyArray]:
        (Path(self.folder) / f"{begin}-{os.getpid()}-{time.monotonic_ns()}").touch()
        time.sleep(self.seconds)
        return rows_of(arrays, begin, end, threads)


@dataclass(frozen=True)
class Failing:
    """Raises at one row, works long at all others."""

    at: int
    folder: str
    seconds: float = 60.0

    def __call__(self, arrays: Arrays, begin: int, end: int, threads: int) -> dict[str, AnyArray]:
        if begin <= self.at < end:
            raise InputError(f"row {self.at}: expected a number, found NaN")
        return Slowly(self.folder, self.seconds)(arrays, begin, end, threads)


@dataclass(frozen=True)
class Dying:
    """The process that computes one block ends in the midst of it, so many times."""

    at: int
    folder: str
    times: int = 1

    def __call__(self, arrays: Arrays, begin: int, end: int, threads: int) -> dict[str, AnyArray]:
        if begin == self.at:
            died = len(list(Path(self.folder).iterdir()))
            if died < self.times:
                (Path(self.folder) / str(died)).touch()
                os.kill(os.getpid(), 9)
        return rows_of(arrays, begin, end, threads)


def threads_there(
    arrays: Mapping[str, AnyArray], begin: int, end: int, threads: int
) -> dict[str, AnyArray]:
    """How many threads each library would use."""
    import faiss
    import numba
    from threadpoolctl import threadpool_info

    most = max((int(pool["num_threads"]) for pool in threadpool_info()), default=1)
    found = [threads, numba.get_num_threads(), faiss.omp_get_max_threads(), most]
    return {"threads": np.array([found])}
