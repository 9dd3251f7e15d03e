"""Pieces of a block's work, spread over threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

Piece = TypeVar("Piece")


def spread(work: Callable[[Piece], None], pieces: Iterable[Piece], threads: int) -> None:
    """Do `work` for every piece, in threads of which each multiplies matrices alone.

    Products and kernels release the interpreter's lock. A product's last bits may depend on how
    many threads share it, and do not where it is always one.
    """
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, pieces):
            pass
