"""k-reciprocal encoding (Zhong et al., CVPR 2017), sparse rows only."""

from __future__ import annotations

from typing import ClassVar

import numba
import numpy as np
import scipy.sparse as sp
from pydantic import Field

from kinfold.arrays import NOTHING, Float32s
from kinfold.kernels.overlap import JACCARD
from kinfold.neighbors import NeighborLists
from kinfold.progress import ProgressCallback, silent
from kinfold.similarity.reciprocal import expanded_sets, pattern
from kinfold.similarity.registry import Cost, SimilarityModel, register
from kinfold.similarity.rows import Rows, identity, row_means


@register
class KReciprocal(SimilarityModel):
    """How much two items' k-reciprocal neighbourhoods overlap.

    R*(i): R(i, k1), grown by the half-sized sets of its confident members.
    V_ij = exp(-d(i, j)) on R*(i), d = 2 (1 - sim), rows summing to one; V_i becomes the mean of V
    over N(i, k2), the item included. sim' = (1 - lambda) sum min / sum max + lambda sim.

    Members of R*(i) that neither of the two items has in its list are left out: with k_m >= 2 k1
    there are next to none.
    """

    name: ClassVar[str] = "k-reciprocal"

    k1: int = Field(20, ge=1, description="Neighbours that reciprocal sets are made of.")
    k2: int = Field(6, ge=1, description="Rows averaged by the local expansion, own included.")
    lambda_: float = Field(
        0.3, ge=0, le=1, alias="lambda", description="Share of the incoming similarity."
    )
    keep: int = Field(256, ge=1, description="Entries of a row V that are kept.")

    def neighbors_needed(self) -> int:
        """See `SimilarityModel.neighbors_needed`."""
        return max(2 * self.k1, self.k2)

    def least_neighbors(self) -> int:
        """See `SimilarityModel.least_neighbors`."""
        return max(self.k1, self.k2)

    def cost(self, k_m: int, dimension: int) -> Cost:
        """See `SimilarityModel.cost`."""
        return Cost(4e-7 * k_m, 105 * k_m + 3 * self.keep)

    def recalculate(
        self, lists: NeighborLists, vectors: Float32s, progress: ProgressCallback = silent
    ) -> Float32s:
        """See `SimilarityModel.recalculate`."""
        threads = numba.get_num_threads()
        _, grown = expanded_sets(lists, self.k1, threads)
        encoded = row_means(sp.csr_array(grown.multiply(_weights(lists))))
        mean = row_means(pattern(lists, self.k2 - 1))
        rows = Rows.product(
            identity(encoded.shape[0]), mean, encoded, self.keep, threads, normalise=True
        )
        overlap = rows.compare(lists.ids, JACCARD, threads)
        result: Float32s = (1 - self.lambda_) * overlap + self.lambda_ * np.clip(
            lists.similarities, 0, 1
        )
        return result.astype(np.float32)


def _weights(lists: NeighborLists) -> sp.csr_array:
    """exp(-d) of every pair that is in a list, the item itself at distance 0."""
    rows, width = lists.ids.shape
    found = lists.ids != NOTHING
    distance = 2 * (1 - np.clip(lists.similarities[found], -1, 1).astype(np.float64))
    left = np.repeat(np.arange(rows), width).reshape(rows, width)[found]
    right = lists.ids[found].astype(np.int64)
    weights = sp.csr_array((np.exp(-distance), (left, right)), shape=(rows, rows))
    return sp.csr_array(weights.maximum(weights.T) + sp.eye_array(rows))
