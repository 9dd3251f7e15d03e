"""ConAff: neighbourhoods as features, propagated by a graph network without training."""

from __future__ import annotations

from typing import ClassVar

import numba
import numpy as np
import scipy.sparse as sp
from pydantic import Field

from kinfold.arrays import NOTHING, Float32s
from kinfold.blocks import Passes
from kinfold.kernels.overlap import COSINE
from kinfold.neighbors import NeighborLists
from kinfold.progress import ProgressCallback, silent
from kinfold.similarity.registry import Cost, SimilarityModel, register
from kinfold.similarity.rows import Rows, identity, pattern


@register
class ConAff(SimilarityModel):
    """Items described by who is near them, averaged over their neighbours (ConNR, eq. 3–7).

    A_ij = 1 where both are among the other's k1 nearest, 0.5 where one is, 0 elsewhere (the GNN
    re-ranking of Zhang et al., 2020). `layers` times: h <- h + hᵀ, then
    h_i <- h_i + sum over N(i, k2) of sim(i, j) ** alpha h_j, scaled to length one.
    sim' = h_i · h_j.
    """

    name: ClassVar[str] = "conaff"

    k1: int = Field(10, ge=1, description="Neighbours that describe an item; 30 for fine grain.")
    k2: int = Field(2, ge=1, description="Neighbours that are summed; 10 for fine grain.")
    alpha: float = Field(2.0, gt=0, description="Exponent of a neighbour's weight.")
    layers: int = Field(2, ge=1, le=10, description="How often neighbours are summed.")
    keep: int = Field(256, ge=1, description="Entries of a row h that are kept.")

    def neighbors_needed(self) -> int:
        """See `SimilarityModel.neighbors_needed`."""
        return max(self.k1, self.k2)

    def cost(self, k_m: int, dimension: int) -> Cost:
        """See `SimilarityModel.cost`."""
        return Cost(1e-7 * self.keep * self.layers, 42 * self.keep + 90 * self.k1 + 8 * k_m)

    def recalculate(
        self,
        lists: NeighborLists,
        vectors: Float32s,
        progress: ProgressCallback = silent,
        passes: Passes | None = None,
    ) -> Float32s:
        """See `SimilarityModel.recalculate`."""
        threads = numba.get_num_threads()
        near = pattern(lists, self.k1)
        step = self.propagation(lists)
        same = identity(step.shape[0])
        # A = (near + nearᵀ) / 2, so this is A + Aᵀ.
        symmetric = sp.csr_array(near + near.T)
        for layer in range(1, self.layers + 1):
            product = Rows.product(same, step, symmetric, self.keep, threads, normalise=False)
            rows = product.unit()
            if layer < self.layers:
                features = rows.matrix()
                symmetric = sp.csr_array(features + features.T)
                del features
        return rows.compare(lists.ids, COSINE, threads)

    def propagation(self, lists: NeighborLists) -> sp.csr_array:
        """I + e ** alpha on N(i, k2)."""
        ids, similarities = lists.ids[:, : self.k2], lists.similarities[:, : self.k2]
        rows, width = ids.shape
        weights = np.clip(similarities, 0, 1) ** self.alpha
        kept = (ids != NOTHING) & (weights > 0)
        left = np.repeat(np.arange(rows), width).reshape(rows, width)[kept]
        right = ids[kept].astype(np.int64)
        summed = sp.csr_array((weights[kept], (left, right)), shape=(rows, rows))
        return sp.csr_array(summed + identity(rows))
