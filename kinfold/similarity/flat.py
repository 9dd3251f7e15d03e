"""Sparse rows of different lengths in flat arrays, and the passes that sum and compare them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np

from kinfold.arrays import AnyArray, Float32s, Int64s, UInt32s, frozen
from kinfold.blocks import Arrays, Block, LocalRunner, MemoryPasses, Passes, cut
from kinfold.kernels.members import compact, near_rows
from kinfold.kernels.overlap import compare_rows
from kinfold.kernels.sums import sum_bounds, sum_rows
from kinfold.neighbors import NeighborLists

BLOCK_ROWS = 1 << 15
"""Rows of a block, of some kilobytes each while it is made. No result depends on it."""


class Flat(NamedTuple):
    """n sparse rows, one behind the other: row i is from ``indptr[i]`` to ``indptr[i + 1]``.

    Attributes
    ----------
    indptr:
        (n + 1,) int64, from 0.
    columns:
        (stored,) uint32, ascending in each row.
    values:
        (stored,) float32 or float64; empty where only the columns count.
    """

    indptr: Int64s
    columns: UInt32s
    values: AnyArray

    def named(self, name: str) -> dict[str, AnyArray]:
        """The arrays as a pass takes them."""
        result: dict[str, AnyArray] = {
            f"{name}_indptr": self.indptr,
            f"{name}_columns": self.columns,
        }
        if self.values.size:
            result[f"{name}_values"] = self.values
        return result


def flat(result: Arrays, name: str) -> Flat:
    """The rows that a pass gives under a name: their columns, values if any, and lengths."""
    values = result.get(f"{name}_values", np.empty(0, dtype=np.float32))
    return Flat(starts(result[f"{name}_length"]), result[f"{name}_columns"], values)


def starts(lengths: AnyArray) -> Int64s:
    """(n + 1,) int64: where rows of these lengths begin, and where the last one ends."""
    result = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=result[1:])
    return result


def packed(
    name: str, begins: Int64s, lengths: Int64s, threads: int, **parts: AnyArray
) -> dict[str, AnyArray]:
    """What a task gives of rows that were written with gaps between them."""
    indptr = starts(lengths)
    result: dict[str, AnyArray] = {f"{name}_length": lengths}
    for key, source in parts.items():
        out = np.empty(indptr[-1], dtype=source.dtype)
        compact(source, begins, indptr, threads, out)
        result[f"{name}_{key}"] = out
    return result


def reading(arrays: Arrays) -> Mapping[str, AnyArray]:
    """The arrays of a task, all of them read-only: one compiled kernel for maps and memory."""
    return {name: frozen(array) for name, array in arrays.items()}


def blocks_of(lists: NeighborLists, passes: Passes) -> list[Block]:
    """The blocks of all passes over these lists."""
    return cut(len(lists.ids), BLOCK_ROWS, passes.share)


def in_memory() -> Passes:
    """Passes for a caller that brings none: here, with all of Numba's threads."""
    return MemoryPasses(LocalRunner(numba.get_num_threads()))


def listed(lists: NeighborLists) -> dict[str, AnyArray]:
    """The lists as passes take them."""
    return {"ids": lists.ids, "similarities": lists.similarities}


@dataclass(frozen=True)
class NearMeans:
    """Means of an item's own row and those of its neighbours.

    (kappa mean over set i + mean over N(i, k) and i) / (kappa + 1) of `rows`, of which the `keep`
    largest are kept (None: all); `normalise`: and scaled to sum to one. `kappa` 0 needs no sets.
    Reads ``ids``, `sets` and ``rows``; gives ``rows``.
    """

    k: int
    kappa: float = 0.0
    keep: int | None = None
    normalise: bool = False

    def __call__(self, arrays: Arrays, begin: int, end: int, threads: int) -> dict[str, AnyArray]:
        """See `BlockTask`."""
        read = reading(arrays)
        ids = read["ids"]
        k = min(self.k, ids.shape[1])
        indptr, sets = read["rows_indptr"], read["rows_columns"]
        room = np.full(end - begin, k + 1, dtype=np.int64)
        if self.kappa > 0:
            indptr, sets = read["sets_indptr"], read["sets_columns"]
            room += np.diff(indptr[begin : end + 1])
        begins = starts(room)
        rows = np.empty(begins[-1], dtype=np.uint32)
        weights = np.empty(begins[-1], dtype=np.float64)
        lengths = np.empty(end - begin, dtype=np.int64)
        near_rows(
            ids, k, self.kappa, indptr, sets, begin, end, threads, begins, rows, weights, lengths
        )
        part = packed("part", begins, lengths, threads, columns=rows, values=weights)
        summed = starts(lengths), part["part_columns"], part["part_values"]
        return sums(summed, read, self.keep, self.normalise, threads)


@dataclass(frozen=True)
class WalkSums:
    """Rows of W times `rows`: the `keep` largest entries of each, scaled to sum to one.

    Reads ``walk`` and ``rows``; gives ``rows``.
    """

    keep: int

    def __call__(self, arrays: Arrays, begin: int, end: int, threads: int) -> dict[str, AnyArray]:
        """See `BlockTask`."""
        read = reading(arrays)
        indptr = read["walk_indptr"][begin : end + 1]
        part = slice(indptr[0], indptr[-1])
        summed = indptr - indptr[0], read["walk_columns"][part], read["walk_values"][part]
        return sums(summed, read, self.keep, True, threads)


def sums(
    summed: tuple[Int64s, UInt32s, AnyArray],
    read: Arrays,
    keep: int | None,
    normalise: bool,
    threads: int,
) -> dict[str, AnyArray]:
    """What a task gives of the sums of ``rows`` that a CSR of numbers and weights asks for."""
    indptr, numbers, weights = (frozen(array) for array in summed)
    rows = read["rows_indptr"], read["rows_columns"], read["rows_values"]
    bounds = np.empty(indptr.size - 1, dtype=np.int64)
    sum_bounds(indptr, numbers, rows[0], threads, bounds)
    keep = min(keep or rows[0].size, rows[0].size)
    begins = starts(np.minimum(bounds, keep))
    columns = np.empty(begins[-1], dtype=np.uint32)
    values = np.empty(begins[-1], dtype=np.float32)
    lengths = np.empty(indptr.size - 1, dtype=np.int64)
    sum_rows(
        indptr, numbers, weights, *rows, keep, normalise, threads, begins, columns, values, lengths
    )
    return packed("rows", begins, lengths, threads, columns=columns, values=values)


@dataclass(frozen=True)
class Compared:
    """Rows compared with those of the listed items, mixed with the incoming similarity.

    ((1 - share) compared + share sim) sim ** power; `kind` as in `kernels.overlap`. Reads ``ids``,
    ``similarities`` and ``rows``; gives (rows, k) ``similarities``.
    """

    kind: int
    share: float
    power: float = 0.0

    def __call__(self, arrays: Arrays, begin: int, end: int, threads: int) -> dict[str, AnyArray]:
        """See `BlockTask`."""
        read = reading(arrays)
        ids, indptr = read["ids"], read["rows_indptr"]
        out = np.empty((end - begin, ids.shape[1]), dtype=np.float32)
        compare_rows(
            indptr, read["rows_columns"], read["rows_values"], ids,
            self.kind, int(np.diff(indptr).max()), begin, end, threads, out,
        )  # fmt: skip
        incoming: Float32s = np.clip(read["similarities"][begin:end], 0, 1)
        if self.share:
            out *= np.float32(1 - self.share)
            out += np.float32(self.share) * incoming
        if self.power:
            out *= incoming ** np.float32(self.power)
        return {"similarities": out}
