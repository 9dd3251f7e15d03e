"""RDP: similarity diffused on pairs of items."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from pydantic import Field

from kinfold.arrays import Float32s
from kinfold.evaluate.baselines.dense import (
    Together,
    nearest,
    sparse_rows,
    squared_distances,
    symmetric_transition,
)
from kinfold.evaluate.baselines.registry import Baseline, register


@register
class Rdp(Baseline):
    """Bai et al., "Regularized diffusion process for visual retrieval", AAAI 2017.

    On gallery and queries together:

    1. d_ij = ‖x_i - x_j‖² divided by the largest of all; w_ij = exp(-d_ij² / σ²) for the k items
       nearest to i, itself included, 0 elsewhere; W ← (W + Wᵀ) / 2; S = D^-½ W D^-½;
    2. α = 1 / (1 + μ); F = I, then `iterations` times F ← α S F Sᵀ + (1 - α) I;
    3. score = F_qj.

    The affinity of step 1 and μ, σ and the iterations are those of a published re-ranking program
    (github jifeiluo/reranking); the paper chooses them by data set. The program's k is 30, too
    many for classes of 10 to 20 items.
    """

    name: ClassVar[str] = "rdp"
    title: ClassVar[str] = "RDP"
    source: ClassVar[str] = "Bai et al., AAAI 2017"
    transductive: ClassVar[bool] = True

    k: int = Field(10, ge=1, description="Items that an item is joined to, itself included.")
    mu: float = Field(0.3, gt=0, description="Weight of staying put; alpha = 1 / (1 + mu).")
    # Below, float32 loses every neighbour but the item itself.
    sigma: float = Field(0.5, ge=0.05, description="Scale of the affinity; distances are in 0..1.")
    iterations: int = Field(20, ge=1, description="Diffusion steps.")

    def prepare(self, gallery: Float32s) -> Together:
        """See `Baseline.prepare`; keeps the gallery, all else needs the queries."""
        return Together(gallery, self.title, self.rerank)

    def rerank(self, items: Float32s, n: int) -> Float32s:
        """(m, n) scores; items (n + m, d), the gallery first."""
        distances = squared_distances(items)
        near = nearest(distances, self.k)
        largest = distances.max() or np.float32(1)
        relative = np.take_along_axis(distances, near, axis=1) / largest
        del distances
        one_way = sparse_rows(near, np.exp(-((relative / self.sigma) ** 2)))
        transition = symmetric_transition(sp.csr_array((one_way + one_way.T) / 2))
        alpha = np.float32(1 / (1 + self.mu))
        diagonal = np.arange(len(items))
        diffused = np.eye(len(items), dtype=np.float32)
        for _ in range(self.iterations):
            # S F Sᵀ by two products with the sparse S from the left: F is symmetric.
            diffused = transition @ np.ascontiguousarray((transition @ diffused).T)
            diffused *= alpha
            diffused[diagonal, diagonal] += 1 - alpha
        scores: Float32s = diffused[n:, :n].copy()
        return scores
