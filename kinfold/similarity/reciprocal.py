"""k-reciprocal sets and their expansion, shared by k-reciprocal encoding and CAS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kinfold.arrays import AnyArray
from kinfold.blocks import Arrays, Passes
from kinfold.kernels.members import grown_bounds, grown_rows, reciprocal_rows
from kinfold.neighbors import NeighborLists
from kinfold.similarity.flat import Flat, blocks_of, flat, listed, packed, reading, starts

EXPANSION_SHARE = 2.0 / 3.0


class Sets(NamedTuple):
    """R(i, k) and R(i, k/2) of every item, the item itself in both."""

    sets: Flat
    half: Flat

    def named(self) -> dict[str, AnyArray]:
        """The arrays as a pass takes them."""
        return self.sets.named("sets") | self.half.named("half")


@dataclass(frozen=True)
class Reciprocal:
    """R(i, k), both being among the other's k nearest, and R(i, k/2): ``sets`` and ``half``."""

    k: int

    def __call__(self, arrays: Arrays, begin: int, end: int, threads: int) -> dict[str, AnyArray]:
        """See `BlockTask`."""
        ids = reading(arrays)["ids"]
        result: dict[str, AnyArray] = {}
        for name, k in (("sets", self.k), ("half", half_of(self.k))):
            width = min(k, ids.shape[1])
            columns = np.empty((end - begin, width + 1), dtype=np.uint32)
            lengths = np.empty(end - begin, dtype=np.int64)
            reciprocal_rows(ids, width, begin, end, threads, columns, lengths)
            begins = np.arange(0, columns.size + 1, width + 1)
            result |= packed(name, begins, lengths, threads, columns=columns.ravel())
        return result


@dataclass(frozen=True)
class Grown:
    """R*(i, k): sets grown by their confident members' own smaller sets.

    R*(i) adds R(j, k/2) of every j in R(i) for which |R(j, k/2) ∩ R(i)| > 2/3 |R(j, k/2)|
    (Zhong et al., CVPR 2017). `both`: with every j in whose R*(j) item i is. Gives ``grown``.
    """

    both: bool

    def __call__(self, arrays: Arrays, begin: int, end: int, threads: int) -> dict[str, AnyArray]:
        """See `BlockTask`."""
        read = reading(arrays)
        sets = (
            read["sets_indptr"], read["sets_columns"], read["half_indptr"], read["half_columns"]
        )  # fmt: skip
        bounds = np.empty(end - begin, dtype=np.int64)
        grown_bounds(*sets, self.both, begin, end, threads, bounds)
        begins = starts(bounds)
        columns = np.empty(begins[-1], dtype=np.uint32)
        lengths = np.empty(end - begin, dtype=np.int64)
        grown_rows(*sets, EXPANSION_SHARE, self.both, begin, end, threads, begins, columns, lengths)
        return packed("grown", begins, lengths, threads, columns=columns)


def half_of(k: int) -> int:
    """The size of the smaller sets."""
    return max(1, round(k / 2))


def reciprocal_sets(lists: NeighborLists, k: int, passes: Passes) -> Sets:
    """Pass ``sets``: R(i, k) and R(i, k/2) of every item."""
    result = passes.run("sets", Reciprocal(k), listed(lists), blocks_of(lists, passes))
    return Sets(flat(result, "sets"), flat(result, "half"))


def expanded_sets(lists: NeighborLists, sets: Sets, passes: Passes, *, both: bool) -> Flat:
    """Pass ``grown``: R* of every item; `both`: and the items in whose R* it is."""
    return flat(passes.run("grown", Grown(both), sets.named(), blocks_of(lists, passes)), "grown")
