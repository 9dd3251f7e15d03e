"""alpha-QE on the gallery's side: vectors moved to their neighbours (Radenović et al., 2018)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from kinfold.arrays import NOTHING, Float32s
from kinfold.blocks import Passes
from kinfold.kernels.compare import closeness_lists
from kinfold.neighbors import NeighborLists
from kinfold.progress import ProgressCallback, silent
from kinfold.similarity.registry import Cost, SimilarityModel, register
from kinfold.validate import row_chunks


@register
class AlphaQe(SimilarityModel):
    """x'_i = x_i + sum over N(i, n) of max(sim, 0) ** alpha x_j, to length one; sim' = x'_i · x'_j.

    Database-side augmentation: query expansion applied to every gallery item.
    """

    name: ClassVar[str] = "alpha-qe"

    n: int = Field(5, ge=1, description="Neighbours that are added.")
    alpha: float = Field(3.0, ge=0, description="Exponent of a neighbour's weight.")

    def neighbors_needed(self) -> int:
        """See `SimilarityModel.neighbors_needed`."""
        return self.n

    def cost(self, k_m: int, dimension: int) -> Cost:
        """See `SimilarityModel.cost`."""
        return Cost(2e-8 * k_m + 1e-8 * self.n * dimension, 16 * k_m + 8 * dimension)

    def recalculate(
        self,
        lists: NeighborLists,
        vectors: Float32s,
        progress: ProgressCallback = silent,
        passes: Passes | None = None,
    ) -> Float32s:
        """See `SimilarityModel.recalculate`."""
        ids, similarities = lists.ids[:, : self.n], lists.similarities[:, : self.n]
        weights = np.where(
            ids == NOTHING, 0, np.clip(similarities, 0, None) ** np.float32(self.alpha)
        ).astype(np.float32)
        safe = np.where(ids == NOTHING, 0, ids)
        moved = np.empty(vectors.shape, dtype=np.float32)
        for piece in row_chunks(vectors.shape[0], vectors.shape[1] * self.n):
            summed = np.einsum("ij,ijd->id", weights[piece], vectors[safe[piece]])
            moved[piece] = vectors[piece] + summed
        norms = np.linalg.norm(moved, axis=1, keepdims=True)
        moved /= np.maximum(norms, np.float32(1e-30))
        out = np.empty(lists.ids.shape, dtype=np.float32)
        closeness_lists(moved, lists.ids, out)
        result: Float32s = np.clip(out, 0, 1)
        return result
