"""CAS: Cluster-Aware Similarity diffusion (Luo et al., ICML 2024), sparse and gallery-only."""

from __future__ import annotations

from typing import ClassVar

import numba
import numpy as np
import scipy.sparse as sp
from pydantic import Field

from kinfold.arrays import NOTHING, Float32s
from kinfold.kernels.overlap import DIVERGENCE
from kinfold.kernels.smoothing import smooth_rows
from kinfold.kernels.sparse import masked_product
from kinfold.neighbors import NeighborLists
from kinfold.progress import ProgressCallback, silent
from kinfold.similarity.reciprocal import expanded_sets, pattern
from kinfold.similarity.registry import Cost, SimilarityModel, register
from kinfold.similarity.rows import Rows, identity, index_arrays, row_means


@register
class Cas(SimilarityModel):
    """Similarity diffused inside local clusters, smoothed by neighbours, compared by divergence.

    1. W_ij = exp(-d²(i, j) / sigma²) on the k1-NN graph, d² = 2 (1 - sim);
       S = D^-1/2 W D^-1/2; alpha = 1 / (1 + mu).
    2. BSD: F with (I - alpha S) F + F (I - alpha S) = 2 (1 - alpha) E, entries outside the
       clusters (expanded k1-reciprocal sets) held at 0.
    3. NSS: rows of F made to agree with the item's confident neighbours.
    4. F' = P (kappa mean over R(i, k1) + mean over N(i, k2)) F^ / (kappa + 1).
    5. sim' = (1 - omega) (1 - JS(F'_i, F'_j)) + omega sim, times sim ** power.

    The published program is dense, O(n³), and holds the queries in its graph. Here every step
    touches a bounded number of entries a row.
    """

    name: ClassVar[str] = "cas"

    k1: int = Field(8, ge=1, description="Neighbours that clusters are made of.")
    k2: int = Field(3, ge=1, description="Neighbours whose rows are averaged, the item included.")
    sigma: float | None = Field(
        None, gt=0, description="Scale of the affinity. None: the median distance to the k1-th."
    )
    mu: float = Field(0.11, gt=0, description="Weight of staying put; alpha = 1 / (1 + mu).")
    beta: float = Field(0.1, gt=0, description="Weight of the diffused row against smoothing.")
    kappa: float = Field(1.0, ge=0, description="Weight of confident neighbours in the mean.")
    omega: float = Field(0.0, ge=0, le=1, description="Share of the incoming similarity.")
    power: float = Field(3.0, ge=0, description="sim ** power multiplies the result; 0: published.")
    keep: int = Field(128, ge=1, description="Entries of a row F' that are kept.")
    iterations: int = Field(30, ge=1, description="Most BSD iterations.")
    tolerance: float = Field(1e-4, gt=0, description="Relative change at which BSD is done.")
    bsd: bool = Field(True, description="Off: the affinity itself on the clusters (ablation).")
    nss: bool = Field(True, description="Off: no smoothing (ablation).")
    propagate: bool = Field(True, description="Off: no neighbour-enhanced propagation (ablation).")

    def neighbors_needed(self) -> int:
        """See `SimilarityModel.neighbors_needed`."""
        return max(self.k1, self.k2)

    def cost(self, k_m: int, dimension: int) -> Cost:
        """See `SimilarityModel.cost`."""
        # Clusters hold some k1 items, several times as many where the gallery is dense.
        seconds = 8e-6 + 4e-7 * self.k1**2 + 4e-9 * k_m * self.keep
        return Cost(seconds, 8 * self.keep + 20 * k_m + 200 * self.k1)

    def recalculate(
        self, lists: NeighborLists, vectors: Float32s, progress: ProgressCallback = silent
    ) -> Float32s:
        """See `SimilarityModel.recalculate`."""
        threads = numba.get_num_threads()
        out = self.rows(lists, threads).compare(lists.ids, DIVERGENCE, threads)
        incoming = np.clip(lists.similarities, 0, 1)
        out = (1 - self.omega) * out + self.omega * incoming
        if self.power:
            out *= incoming ** np.float32(self.power)
        return np.asarray(out, dtype=np.float32)

    def rows(self, lists: NeighborLists, threads: int) -> Rows:
        """F': at most `keep` entries a row, each row summing to one."""
        walk, symmetric = self.affinity(lists)
        sets, clusters = expanded_sets(lists, self.k1, threads)
        support = sp.csr_array(clusters + clusters.T)
        support.sort_indices()
        diffused = self.diffuse(symmetric, support, threads)
        smooth = np.asarray(diffused.data, dtype=np.float64)
        if self.nss:
            smooth = np.empty(diffused.nnz)
            smooth_rows(
                *index_arrays(sets), *index_arrays(walk), walk.data.astype(np.float64),
                *index_arrays(diffused), diffused.data, self.beta, threads, smooth,
            )  # fmt: skip
        same = identity(diffused.shape[0])
        mean = self.mean_operator(lists, sets) if self.propagate else same
        smoothed = sp.csr_array((smooth, diffused.indices, diffused.indptr), shape=diffused.shape)
        return Rows.product(
            walk if self.propagate else same, mean, smoothed, self.keep, threads, normalise=True
        )

    def affinity(self, lists: NeighborLists) -> tuple[sp.csr_array, sp.csr_array]:
        """(D^-1 W, D^-1/2 W D^-1/2) of the symmetrised k1-NN graph, each item its own neighbour."""
        chosen = lists.first(self.k1)
        distance = 2 * np.maximum(1 - np.clip(chosen.similarities, -1, 1), 0).astype(np.float64)
        farthest = distance[:, -1][np.isfinite(distance[:, -1])]
        scale = self.sigma**2 if self.sigma else float(np.median(farthest)) or 1.0
        rows = chosen.ids.shape[0]
        found = chosen.ids != NOTHING
        left = np.repeat(np.arange(rows), chosen.k).reshape(rows, chosen.k)[found]
        right = chosen.ids[found].astype(np.int64)
        weights = sp.csr_array(
            (np.exp(-distance[found] / scale), (left, right)), shape=(rows, rows)
        )
        weights = weights.maximum(weights.T) + sp.eye_array(rows)
        degree = np.asarray(weights.sum(axis=1)).ravel()
        root = sp.diags_array(1 / np.sqrt(degree))
        walk = sp.csr_array(sp.diags_array(1 / degree) @ weights)
        symmetric = sp.csr_array(root @ weights @ root)
        return walk, symmetric

    def diffuse(self, symmetric: sp.csr_array, support: sp.csr_array, threads: int) -> sp.csr_array:
        """BSD: F <- alpha/2 (S F + F S) + (1 - alpha) E on the support, from F = E."""
        if not self.bsd:
            kept = sp.csr_array(symmetric.multiply(support))
            kept.sort_indices()
            return kept
        alpha = 1 / (1 + self.mu)
        rows = support.shape[0]
        result = support.astype(np.float64)
        own = (result.indices == np.repeat(np.arange(rows), np.diff(result.indptr))).astype(float)
        place = sp.csr_array(
            (np.arange(result.nnz), result.indices, result.indptr), shape=result.shape
        )
        mirror = sp.csr_array(place.T.tocsr())
        mirror.sort_indices()
        result.data = own.copy()
        product = np.empty(result.nnz)
        left = (*index_arrays(symmetric), symmetric.data)
        middle = index_arrays(result)
        for _ in range(self.iterations):
            masked_product(*left, *middle, result.data, threads, product)
            fresh = 0.5 * alpha * (product + product[mirror.data]) + (1 - alpha) * own
            change = float(np.abs(fresh - result.data).max())
            result.data = fresh
            if change <= self.tolerance * float(fresh.max()):
                break
        return result

    def mean_operator(self, lists: NeighborLists, sets: sp.csr_array) -> sp.csr_array:
        """(kappa mean over R(i, k1) + mean over N(i, k2)) / (kappa + 1) as a CSR matrix."""
        near = pattern(lists, self.k2 - 1)
        return sp.csr_array((self.kappa * row_means(sets) + row_means(near)) / (self.kappa + 1))
