"""LHRR: items as hyperedges of those that their neighbours rank high (Pedronette et al., 2019)."""

from __future__ import annotations

from typing import ClassVar

import numba
import numpy as np
import scipy.sparse as sp
from pydantic import Field

from kinfold.arrays import NOTHING, AnyArray, Float32s, Floats, UInt32s
from kinfold.blocks import Passes
from kinfold.kernels.overlap import COSINE
from kinfold.neighbors import NeighborLists
from kinfold.progress import ProgressCallback, silent
from kinfold.similarity.registry import Cost, SimilarityModel, register
from kinfold.similarity.rows import Rows, identity


@register
class Lhrr(SimilarityModel):
    """Log-based hypergraph of ranking references: only ranks count, and who names whom.

    Pedronette, Valem, Almeida, Torres: "Multimedia retrieval through unsupervised
    hypergraph-based manifold ranking", IEEE TIP 2019. Ranks t_i(j) count from one, and t_i(i) = 1.

    1. Rank normalisation: lists are put in order of L - t_i(j) + L - t_j(i), L the length of a
       list; an item that is not in the other's list adds nothing.
    2. Hyperedge e_i: h_ij = sum over x of w(i, x) w(x, j), w(i, x) = 1 - log_k t_i(x) for the k
       first of a list; its confidence c_i is the sum of its k largest entries.
    3. W = H Hᵀ ∘ Hᵀ H ∘ Hᵀ diag(c) H, entry by entry: hyperedges that are alike, items in the
       same hyperedges, and the Cartesian products of the hyperedges with themselves.
    4. W'_ij = (W_ij / sqrt(W_ii W_jj)) ** ⅓: the geometric mean of three cosines. Lists are put in
       order of W'; from 2., `iterations` times.

    sim' = W' sim ** power. The paper orders lists by W itself and needs no scale; the scaling to
    [0, 1] is ours, and so are the power and one iteration instead of the paper's two, which were
    better with it. Ours as well: no new item enters a list, and where very many hyperedges hold an
    item, the `keep` that hold it most count.
    """

    name: ClassVar[str] = "lhrr"

    k: int = Field(12, ge=2, description="First of a list, the item included; published: 18.")
    iterations: int = Field(1, ge=1, le=10, description="Hypergraphs; published: 2.")
    power: float = Field(
        3.0, ge=0, description="sim ** power multiplies the result; 0: ranks only."
    )
    keep: int = Field(
        128, ge=1, description="Entries kept of a hyperedge, and of an item's column."
    )

    def neighbors_needed(self) -> int:
        """See `SimilarityModel.neighbors_needed`."""
        return 2 * self.k

    def least_neighbors(self) -> int:
        """See `SimilarityModel.least_neighbors`."""
        return self.k - 1

    def cost(self, k_m: int, dimension: int) -> Cost:
        """See `SimilarityModel.cost`."""
        return Cost(50e-6, 66 * self.keep + 20 * k_m)

    def recalculate(
        self,
        lists: NeighborLists,
        vectors: Float32s,
        progress: ProgressCallback = silent,
        passes: Passes | None = None,
    ) -> Float32s:
        """See `SimilarityModel.recalculate`."""
        threads = numba.get_num_threads()
        score: Floats = mutual_ranks(lists)
        for _ in range(self.iterations):
            # Ties stay as they arrived.
            order = np.argsort(-score, axis=1, kind="stable")[:, : self.k - 1]
            near = self.near(np.take_along_axis(lists.ids, order, axis=1))
            result = self.hypergraph(near, lists.ids, threads)
            score = np.where(lists.ids == NOTHING, -1, result)
        if self.power:
            result *= np.clip(lists.similarities, 0, 1) ** np.float32(self.power)
        return result

    def near(self, first: UInt32s) -> sp.csr_array:
        """The weights w of every item: itself and the first of its list."""
        rows, width = first.shape
        weight = 1 - np.log(np.arange(2, width + 2)) / np.log(self.k)
        # Rank k has no weight, and a stored zero would be a place never touched.
        chosen = (first != NOTHING) & (weight > 0)
        left, right = pairs(first, chosen)
        values = np.broadcast_to(weight, first.shape)[chosen].astype(np.float32)
        return sp.csr_array(
            sp.csr_array((values, (left, right)), shape=(rows, rows)) + identity(rows)
        )

    def hypergraph(self, near: sp.csr_array, ids: UInt32s, threads: int) -> Float32s:
        """W' for the pairs of the lists; see the class."""
        same = identity(near.shape[0])
        edges = Rows.product(same, near, near, self.keep, threads, normalise=False)
        inside = np.arange(edges.values.shape[1]) < edges.length[:, None]
        largest = -np.sort(-np.where(inside, edges.values, 0), axis=1)[:, : self.k]
        confidence = largest.sum(axis=1, dtype=np.float64)
        result = edges.unit().compare(ids, COSINE, threads)
        members = sp.csr_array(edges.matrix().T)
        members.sort_indices()
        for weights in (np.ones_like(confidence), np.sqrt(confidence)):
            scaled = sp.csr_array(members @ sp.diags_array(weights))
            columns = Rows.product(same, same, scaled, self.keep, threads, normalise=False)
            result *= columns.unit().compare(ids, COSINE, threads)
        return np.asarray(np.cbrt(result), dtype=np.float32)


def pairs(ids: UInt32s, chosen: AnyArray) -> tuple[AnyArray, AnyArray]:
    """(left, right) items of the chosen entries of lists."""
    rows, width = ids.shape
    left = np.repeat(np.arange(rows), width).reshape(rows, width)[chosen]
    return left, ids[chosen].astype(np.int64)


def mutual_ranks(lists: NeighborLists) -> Floats:
    """How high both rank each other, for the pairs of the lists: larger is better, -1 `NOTHING`."""
    rows, width = lists.ids.shape
    found = lists.ids != NOTHING
    left, right = pairs(lists.ids, found)
    points = np.broadcast_to(np.arange(width, 0, -1), lists.ids.shape)
    given = sp.csr_array((points[found], (left, right)), shape=(rows, rows))
    both = sp.csr_array(given + given.T)
    result = np.full(lists.ids.shape, -1.0)
    result[found] = np.asarray(both[left, right]).ravel()
    return result
