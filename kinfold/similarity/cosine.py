"""The plain model: the similarity that the vectors themselves have."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from kinfold.arrays import Float32s
from kinfold.blocks import Passes
from kinfold.neighbors import NeighborLists
from kinfold.progress import ProgressCallback, silent
from kinfold.similarity.registry import Cost, SimilarityModel, register


@register
class Cosine(SimilarityModel):
    """sim(i, j) as the metric gives it, clipped to [0, 1] (Offline Diffusion, AAAI 2019)."""

    name: ClassVar[str] = "cosine"

    def cost(self, k_m: int, dimension: int) -> Cost:
        """See `SimilarityModel.cost`."""
        return Cost(0.0, 4 * k_m)

    def recalculate(
        self,
        lists: NeighborLists,
        vectors: Float32s,
        progress: ProgressCallback = silent,
        passes: Passes | None = None,
    ) -> Float32s:
        """See `SimilarityModel.recalculate`."""
        result: Float32s = np.clip(lists.similarities, 0.0, 1.0)
        return result
