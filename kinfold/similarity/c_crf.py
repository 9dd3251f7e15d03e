"""C-CRF: an item's neighbours denoised by their agreement with each other (Kim et al., 2025)."""

from __future__ import annotations

from typing import ClassVar

import numba
import numpy as np
from pydantic import Field

from kinfold.arrays import Float32s
from kinfold.blocks import Passes
from kinfold.kernels.c_crf import denoise_lists
from kinfold.neighbors import NeighborLists
from kinfold.progress import ProgressCallback, silent
from kinfold.similarity.registry import Cost, SimilarityModel, register


@register
class CCrf(SimilarityModel):
    """Members of a neighbour list that are alike get similarities that are alike.

    Denoising by a continuous conditional random field (Kim, Cho, Kim, Yoon: "Enhancing visual
    re-ranking through denoising nearest neighbor graph via continuous CRF", ICIP 2025, arXiv
    2412.13875). The clique of an item is the item and its k_m neighbours, s their similarities to
    the item. x minimises

        sum_j (x_j - s_j)² + beta sum_{j<l} w_jl (x_j - x_l)²,  so  (I + beta L) x = s,

    L the Laplacian of w_jl = exp(-d²_jl / 2 sigma²) exp(-D²_jl / 2 (profiles / m)²), m members:

    - d²_jl = 2 - 2 g_jl, g_jl = max(cos(x_j, x_l), 0);
    - D_jl: the mean of both Kullback–Leibler divergences between what j and l see of the clique,
      softmax(g_j / ||g_j||) and softmax(g_l / ||g_l||).

    x is a mean of s with positive weights, so it stays in [0, 1]. sim' = x ** gamma sim ** power:
    gamma = 3 is the exponent of the affinity that is built from x as published, power is ours.

    Energy, weights and divergence are those of the authors' program, which has cliques of 1000
    with beta = 0.1, sigma = 0.9 and 0.00035 in the place of profiles / m: the same as 0.35 / 1000.
    Ours: that this scale shrinks as the clique grows, as D does; small cliques, and defaults for
    beta and sigma that suit them; negative s counted as 0; the system solved exactly instead of by
    20 steps of conjugate gradients. Time is O(n k_m² (k_m + d)).
    """

    name: ClassVar[str] = "c-crf"

    beta: float = Field(0.3, ge=0, description="Weight of agreement; published: 0.1.")
    sigma: float = Field(0.4, gt=0, description="Scale of the distance; published: 0.9.")
    profiles: float = Field(
        0.35, gt=0, description="Scale of the divergence, divided by the size of the clique."
    )
    gamma: float = Field(3.0, gt=0, description="Exponent of the denoised similarity.")
    power: float = Field(0.0, ge=0, description="sim ** power multiplies the result; 0: published.")
    clique: int = Field(40, ge=1, description="Neighbours in a clique, where k_m is not given.")

    def neighbors_needed(self) -> int:
        """See `SimilarityModel.neighbors_needed`."""
        return self.clique

    def least_neighbors(self) -> int:
        """See `SimilarityModel.least_neighbors`."""
        return 1

    def cost(self, k_m: int, dimension: int) -> Cost:
        """See `SimilarityModel.cost`."""
        return Cost(24e-9 * k_m**2, 8 * k_m)

    def recalculate(
        self,
        lists: NeighborLists,
        vectors: Float32s,
        progress: ProgressCallback = silent,
        passes: Passes | None = None,
    ) -> Float32s:
        """See `SimilarityModel.recalculate`."""
        out = np.empty(lists.ids.shape, dtype=np.float32)
        denoise_lists(
            vectors, lists.ids, lists.similarities,
            self.beta, self.sigma, self.profiles, numba.get_num_threads(), out,
        )  # fmt: skip
        result: Float32s = out ** np.float32(self.gamma)
        if self.power:
            result *= np.clip(lists.similarities, 0, 1) ** np.float32(self.power)
        return result
