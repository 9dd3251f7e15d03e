"""What the methods share that hold the gallery alone in a graph, and meet queries outside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from kinfold.arrays import AnyArray, Bools, Float32s, Floats, Int64s
from kinfold.evaluate.baselines.order import best_first
from kinfold.metric import Measure, power
from kinfold.neighbors import NeighborLists, self_join


def gallery_lists(gallery: Float32s, k: int) -> NeighborLists:
    """The min(k, n - 1) nearest others of every item, exact."""
    measure = Measure("cosine")
    return self_join(gallery, measure, min(k, len(gallery) - 1))


@dataclass(frozen=True, slots=True)
class MutualGraph:
    """A mutual kNN graph of a gallery (Iscen et al., CVPR 2017).

    Attributes
    ----------
    gallery:
        (n, d) float32, rows of length one.
    transition:
        S = D^-1/2 A D^-1/2, (n, n) CSR float64, a_ij = max(sim, 0) ** gamma where both are among
        the other's k_d nearest, 0 elsewhere; an item without edges has a row of zeros.
    degree:
        (n,) float64, the row sums of A.
    part:
        (n,) integers, the connected part of every item.
    """

    gallery: Float32s
    transition: sp.csr_array
    degree: Floats
    part: AnyArray

    @classmethod
    def build(cls, gallery: Float32s, k_d: int, gamma: float) -> MutualGraph:
        """Join items to their mutual neighbours, the item itself left out by its position."""
        lists = gallery_lists(gallery, k_d)
        n, width = lists.ids.shape
        indptr = np.arange(0, n * width + 1, width)
        columns = lists.ids.astype(np.int64).ravel()
        weights = power(lists.similarities, gamma).astype(np.float64).ravel()
        one_way = sp.csr_array((weights, columns, indptr), shape=(n, n))
        ones = sp.csr_array((np.ones(columns.size), columns, indptr), shape=(n, n))
        affinity = sp.csr_array((one_way + one_way.T).multiply(ones.multiply(ones.T)) / 2)
        affinity.eliminate_zeros()
        degree = np.asarray(affinity.sum(axis=1)).ravel()
        root = np.divide(1, np.sqrt(degree), out=np.zeros(n), where=degree > 0)
        transition = sp.csr_array(sp.diags_array(root) @ affinity @ sp.diags_array(root))
        part = connected_components(affinity, directed=False)[1]
        return cls(gallery, transition, degree, part)

    def seeds(self, queries: Float32s, k_q: int, gamma: float) -> Seeds:
        """Where diffusion starts for queries (m, d) that are not in the graph."""
        similarities: Float32s = queries @ self.gallery.T
        start = np.zeros(similarities.shape)
        reached = np.zeros(similarities.shape, dtype=bool)
        for row, similarity in enumerate(similarities):
            near = best_first(similarity, k_q)
            weight = power(similarity[near], gamma)
            start[row, near] = weight
            reached[row] = np.isin(self.part, self.part[near[weight > 0]])
        return Seeds(similarities, start, reached)


@dataclass(frozen=True, slots=True)
class Seeds:
    """Queries as diffusion sees them.

    Attributes
    ----------
    similarities:
        (m, n) float32, of every query and item.
    start:
        y, (m, n) float64: max(sim, 0) ** gamma at the k_q nearest items, 0 elsewhere.
    reached:
        (m, n) bool: whether the item is joined to a seed, so that diffusion says anything of it.
    """

    similarities: Float32s
    start: Floats
    reached: Bools

    def scores(self, diffused: Floats) -> Float32s:
        """The diffused scores; items that no seed reaches follow in the order of similarity.

        The papers leave those all at 0, in no order; a comparison of complete rankings would
        punish the method for what no one would serve.
        """
        lowest = np.where(self.reached, diffused, np.inf).min(axis=1, keepdims=True)
        lowest = np.where(np.isfinite(lowest), lowest, 0)
        behind = lowest - 2 + np.clip(self.similarities, -1, 1)
        return np.where(self.reached, diffused, behind).astype(np.float32)


def ranks_as_scores(order: Int64s) -> Float32s:
    """(n,) float32: n for the first item of an order of all n, then one less each."""
    scores = np.empty(order.size, dtype=np.float32)
    scores[order] = np.arange(order.size, 0, -1)
    return scores
