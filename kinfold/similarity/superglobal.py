"""SuperGlobal re-ranking of every item's neighbours (Shao et al., ICCV 2023)."""

from __future__ import annotations

from typing import ClassVar

import numba
import numpy as np
from pydantic import Field

from kinfold.arrays import Float32s
from kinfold.blocks import Passes
from kinfold.kernels.superglobal import refine_lists
from kinfold.neighbors import NeighborLists
from kinfold.progress import ProgressCallback, silent
from kinfold.similarity.registry import Cost, SimilarityModel, register


@register
class SuperGlobal(SimilarityModel):
    """The model that R-DiP was evaluated with: neighbours refined by each other, then re-scored.

    With M = the item and its k_m neighbours:
    x'_m = (x_m + beta sum of sim x over m's K nearest in M) / (1 + beta sum of sim);
    s1 = q · x'_m; q' = element-wise maximum of the K + 1 best x'_m by s1; s2 = q' · x'_m;
    sim' = (s1 + s2) / (1 + ||q'||), which orders a list as (s1 + s2) / 2 does and is at most 1.
    The paper's M is 400: give k_m. Time is O(n k_m² d).
    """

    name: ClassVar[str] = "superglobal"

    K: int = Field(9, ge=1, description="Neighbours that refine a vector.")
    beta: float = Field(0.15, gt=0, description="Weight of a neighbour's similarity.")
    M: int = Field(50, ge=1, description="Neighbours that are re-scored, where k_m is not given.")

    def neighbors_needed(self) -> int:
        """See `SimilarityModel.neighbors_needed`."""
        return max(self.K, self.M)

    def least_neighbors(self) -> int:
        """See `SimilarityModel.least_neighbors`."""
        return self.K

    def cost(self, k_m: int, dimension: int) -> Cost:
        """See `SimilarityModel.cost`."""
        return Cost(2e-7 * k_m + 4e-11 * k_m**2 * (100 + dimension), 4 * k_m)

    def recalculate(
        self,
        lists: NeighborLists,
        vectors: Float32s,
        progress: ProgressCallback = silent,
        passes: Passes | None = None,
    ) -> Float32s:
        """See `SimilarityModel.recalculate`."""
        out = np.empty(lists.ids.shape, dtype=np.float32)
        refine_lists(vectors, lists.ids, self.K, self.beta, numba.get_num_threads(), out)
        return out
