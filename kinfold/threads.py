"""The one place that limits threads: Numba, faiss (OpenMP) and BLAS, all given back at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import faiss
import numba
from threadpoolctl import threadpool_limits

from kinfold.errors import InputError


def available_cores() -> int:
    """Cores that this process may use (its CPU affinity, not the machine's count)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def limited_threads(threads: int | None = None) -> Iterator[int]:
    """Give every library `threads` threads (None: all cores) for as long as the block runs."""
    count = available_cores() if threads is None else threads
    most = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    if count < 1:
        raise InputError(f"threads must be at least 1, found {count}")
    count = min(count, most)
    numba_before = numba.get_num_threads()
    faiss_before = faiss.omp_get_max_threads()
    try:
        numba.set_num_threads(count)
        faiss.omp_set_num_threads(count)
        with threadpool_limits(limits=count):
            yield count
    finally:
        numba.set_num_threads(numba_before)
        faiss.omp_set_num_threads(faiss_before)
