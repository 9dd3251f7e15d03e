"""BSD: Bidirectional Similarity Diffusion inside clusters, of CAS (Luo et al., ICML 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np

from kinfold.arrays import AnyArray, Float64s, frozen
from kinfold.blocks import Arrays, Passes
from kinfold.kernels.clusters import (
    affinity_inside,
    affinity_rows,
    count_terms,
    count_upper,
    diffuse_round,
    fill_terms,
    upper_places,
)
from kinfold.kernels.members import count_reverse, fill_reverse
from kinfold.neighbors import NeighborLists
from kinfold.similarity.flat import Flat, blocks_of, flat, listed, packed, reading, starts


class Walk(NamedTuple):
    """W, symmetric, float32, and its row sums: P = D^-1 W, S = D^-1/2 W D^-1/2."""

    walk: Flat
    degrees: Float64s

    def named(self) -> dict[str, AnyArray]:
        """The arrays as a pass takes them."""
        return self.walk.named("walk") | {"degrees": self.degrees}


@dataclass(frozen=True)
class Affinity:
    """W_ij = exp(-d²(i, j) / scale) on the symmetrised k-NN graph, each item its own neighbour.

    Reads ``ids``, ``similarities`` and ``back``; gives ``walk`` and ``degrees``.
    """

    k: int
    scale: float

    def __call__(self, arrays: Arrays, begin: int, end: int, threads: int) -> dict[str, AnyArray]:
        """See `BlockTask`."""
        read = reading(arrays)
        indptr = read["back_indptr"]
        begins = starts(np.diff(indptr[begin : end + 1]) + (self.k + 1))
        columns = np.empty(begins[-1], dtype=np.uint32)
        values = np.empty(begins[-1], dtype=np.float32)
        lengths = np.empty(end - begin, dtype=np.int64)
        degrees = np.empty(end - begin, dtype=np.float64)
        affinity_rows(
            read["ids"], read["similarities"], self.k, indptr, read["back_columns"], self.scale,
            begin, end, threads, begins, columns, values, lengths, degrees,
        )  # fmt: skip
        rows = packed("walk", begins, lengths, threads, columns=columns, values=values)
        return rows | {"degrees": degrees}


@dataclass(frozen=True)
class Upper:
    """How many entries of the ``clusters`` are in each row of their upper triangle: ``length``."""

    def __call__(self, arrays: Arrays, begin: int, end: int, threads: int) -> dict[str, AnyArray]:
        """See `BlockTask`."""
        read = reading(arrays)
        lengths = np.empty(end - begin, dtype=np.int64)
        count_upper(read["clusters_indptr"], read["clusters_columns"], begin, end, threads, lengths)
        return {"length": lengths}


@dataclass(frozen=True)
class Places:
    """Which entry of the triangle each entry of the ``clusters`` is, or its mirror image.

    `dtype`: wide enough for the number of an entry. Reads ``upper``, where the triangle's rows
    begin; gives ``places``.
    """

    dtype: str

    def __call__(self, arrays: Arrays, begin: int, end: int, threads: int) -> dict[str, AnyArray]:
        """See `BlockTask`."""
        read = reading(arrays)
        indptr = read["clusters_indptr"]
        out = np.empty(indptr[end] - indptr[begin], dtype=self.dtype)
        upper_places(indptr, read["clusters_columns"], read["upper"], begin, end, threads, out)
        return {"places": out}


@dataclass(frozen=True)
class Terms:
    """The terms of S F + F S on the triangle: entries of F, and times what.

    They are the same in every round, which then reads nothing but F itself at random places.
    Reads ``walk``, ``degrees``, ``clusters``, ``upper`` and ``places``.
    """

    def __call__(self, arrays: Arrays, begin: int, end: int, threads: int) -> dict[str, AnyArray]:
        """See `BlockTask`."""
        read = reading(arrays)
        walk = read["walk_indptr"], read["walk_columns"]
        clusters = read["clusters_indptr"], read["clusters_columns"], read["upper"]
        indptr = clusters[2][begin : end + 1] - clusters[2][begin]
        counts = np.empty(indptr[-1], dtype=np.uint32)
        count_terms(*walk, *clusters, begin, end, threads, counts)
        lengths = np.add.reduceat(counts, indptr[:-1], dtype=np.int64)
        begins = starts(lengths)
        where = np.empty(begins[-1], dtype=read["places"].dtype)
        factors = np.empty(begins[-1], dtype=np.float32)
        fill_terms(
            *walk, read["walk_values"], frozen(1 / np.sqrt(read["degrees"])), *clusters,
            read["places"], begin, end, threads, begins, where, factors,
        )  # fmt: skip
        return {"length": lengths, "counts": counts, "where": where, "factors": factors}


@dataclass(frozen=True)
class Round:
    """F <- alpha/2 (S F + F S) + (1 - alpha) E on the triangle.

    Reads its rows, ``upper``, their ``values`` and the terms; gives ``values``, and of every block
    the largest ``change`` and the largest entry, ``peak``.
    """

    alpha: float

    def __call__(self, arrays: Arrays, begin: int, end: int, threads: int) -> dict[str, AnyArray]:
        """See `BlockTask`."""
        read = reading(arrays)
        upper = read["upper"]
        out = np.empty(upper[end] - upper[begin], dtype=np.float64)
        change, peak = np.zeros((2, threads))
        diffuse_round(
            upper, read["values"], read["starts"], read["counts"], read["where"], read["factors"],
            self.alpha, begin, end, threads, out, change, peak,
        )  # fmt: skip
        return {"values": out, "change": change.max(keepdims=True), "peak": peak.max(keepdims=True)}


@dataclass(frozen=True)
class Mirrored:
    """The triangle's ``values`` on all entries of the ``clusters``."""

    def __call__(self, arrays: Arrays, begin: int, end: int, threads: int) -> dict[str, AnyArray]:
        """See `BlockTask`."""
        indptr = arrays["clusters_indptr"]
        return {"values": arrays["values"][arrays["places"][indptr[begin] : indptr[end]]]}


@dataclass(frozen=True)
class Inside:
    """S on the clusters, where it has entries: what is left of BSD without its diffusion."""

    def __call__(self, arrays: Arrays, begin: int, end: int, threads: int) -> dict[str, AnyArray]:
        """See `BlockTask`."""
        read = reading(arrays)
        indptr = read["clusters_indptr"]
        begins = indptr[begin : end + 1] - indptr[begin]
        columns = np.empty(begins[-1], dtype=np.uint32)
        values = np.empty(begins[-1], dtype=np.float64)
        lengths = np.empty(end - begin, dtype=np.int64)
        affinity_inside(
            read["walk_indptr"], read["walk_columns"], read["walk_values"],
            frozen(1 / np.sqrt(read["degrees"])), indptr, read["clusters_columns"],
            begin, end, threads, begins, columns, values, lengths,
        )  # fmt: skip
        return packed("inside", begins, lengths, threads, columns=columns, values=values)


def affinity(lists: NeighborLists, k: int, scale: float, passes: Passes) -> Walk:
    """Pass ``affinity``: W of the symmetrised k-NN graph."""
    ids = frozen(lists.ids)
    rows, k = len(ids), min(k, lists.k)
    threads = numba.get_num_threads()
    counts = np.empty(rows, dtype=np.int64)
    count_reverse(ids, k, threads, counts)
    indptr = starts(counts)
    back = np.empty(indptr[-1], dtype=np.uint32)
    fill_reverse(ids, k, indptr, threads, counts, back)
    arrays = listed(lists) | {"back_indptr": indptr, "back_columns": back}
    result = passes.run("affinity", Affinity(k, scale), arrays, blocks_of(lists, passes))
    return Walk(flat(result, "walk"), result["degrees"])


def affinity_on(lists: NeighborLists, walk: Walk, clusters: Flat, passes: Passes) -> Flat:
    """Pass ``inside``: S on the clusters, undiffused."""
    arrays = walk.named() | clusters.named("clusters")
    return flat(passes.run("inside", Inside(), arrays, blocks_of(lists, passes)), "inside")


def diffused(
    lists: NeighborLists,
    walk: Walk,
    clusters: Flat,
    *,
    alpha: float,
    iterations: int,
    tolerance: float,
    passes: Passes,
) -> Flat:
    """F on the clusters, which must be symmetric.

    It solves (I - alpha S) F + F (I - alpha S) = 2 (1 - alpha) E, entries outside the clusters
    held at 0: F <- alpha/2 (S F + F S) + (1 - alpha) E, from F = E. Passes ``upper``, ``places``
    and ``terms``, ``bsd`` round by round until nothing changes any more, and ``mirrored``: only
    the upper triangle of F is computed.
    """
    blocks = blocks_of(lists, passes)
    pattern = clusters.named("clusters")
    upper = starts(passes.run("upper", Upper(), pattern, blocks)["length"])
    dtype = "uint32" if upper[-1] < 1 << 32 else "uint64"
    arrays = pattern | {"upper": upper}
    places = passes.run("places", Places(dtype), arrays, blocks)
    terms = passes.run("terms", Terms(), arrays | walk.named() | places, blocks)
    identity = np.zeros(upper[-1], dtype=np.float64)
    identity[upper[:-1]] = 1
    arrays = {"upper": upper, "starts": starts(terms.pop("length"))} | terms
    del terms
    number, result = passes.last_round("bsd") or (-1, {"values": identity})
    while number + 1 < iterations and not _settled(result, tolerance):
        number += 1
        arrays["values"] = result["values"]
        result = passes.next_round("bsd", number, Round(alpha), arrays, blocks)
    arrays = {"clusters_indptr": clusters.indptr, "values": result["values"]} | places
    return clusters._replace(values=passes.run("mirrored", Mirrored(), arrays, blocks)["values"])


def _settled(result: Arrays, tolerance: float) -> bool:
    """Whether a round moved no entry by more than a share of the largest."""
    if "change" not in result:
        return False
    return float(result["change"].max()) <= tolerance * float(result["peak"].max())
