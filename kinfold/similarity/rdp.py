"""Regularised Diffusion Process: similarity diffused on pairs (Bai et al., AAAI 2017), sparse."""

from __future__ import annotations

from typing import ClassVar

import numba
import numpy as np
import scipy.sparse as sp
from pydantic import Field

from kinfold.affinity import build_graph
from kinfold.arrays import NOTHING, Float32s
from kinfold.blocks import Passes
from kinfold.neighbors import NeighborLists
from kinfold.progress import ProgressCallback, silent
from kinfold.similarity.registry import Cost, SimilarityModel, register
from kinfold.similarity.rows import Rows, identity

# Of a row of S F so many times `keep` entries go on to the next product: the rest, a thousand of
# a row on some galleries, take most of the time and move results by some 1e-5.
_BETWEEN = 2


@register
class Rdp(SimilarityModel):
    """F <- alpha S F Sᵀ + (1 - alpha) I on the union graph; sim' = F_ij / sqrt(F_ii F_jj).

    F stays symmetric and positive semi-definite, so sim' is in [0, 1]. Each row keeps its largest
    entries, of S F and of S F Sᵀ, and F is symmetrised again.
    """

    name: ClassVar[str] = "rdp"

    k: int = Field(10, ge=1, description="Neighbours of the graph.")
    alpha: float = Field(0.9, gt=0, lt=1, description="How far similarity spreads.")
    gamma: float = Field(3.0, gt=0, description="Exponent of the affinity.")
    iterations: int = Field(10, ge=1, description="Diffusion steps.")
    keep: int = Field(128, ge=1, description="Entries of a row F that are kept.")

    def neighbors_needed(self) -> int:
        """See `SimilarityModel.neighbors_needed`."""
        return self.k

    def cost(self, k_m: int, dimension: int) -> Cost:
        """See `SimilarityModel.cost`."""
        return Cost(2e-7 * self.iterations * self.keep, 72 * self.keep + 8 * k_m)

    def recalculate(
        self,
        lists: NeighborLists,
        vectors: Float32s,
        progress: ProgressCallback = silent,
        passes: Passes | None = None,
    ) -> Float32s:
        """See `SimilarityModel.recalculate`."""
        threads = numba.get_num_threads()
        step = build_graph(lists, min(self.k, lists.k), "union", 0, self.gamma).matrix
        diffused = identity(step.shape[0])
        own = (1 - self.alpha) * diffused
        for _ in range(self.iterations):
            spread = Rows.product(
                step, diffused, step, self.keep, threads,
                normalise=False, between=_BETWEEN * self.keep,
            ).matrix()  # fmt: skip
            spread.data *= 0.5 * self.alpha
            diffused = sp.csr_array(spread + spread.T)
            diffused = sp.csr_array(diffused + own)
        return _cosine_entries(diffused, lists)


def _cosine_entries(matrix: sp.csr_array, lists: NeighborLists) -> Float32s:
    """F_ij / sqrt(F_ii F_jj) for the pairs of the lists; 0 where F has no entry."""
    rows, width = lists.ids.shape
    diagonal = np.sqrt(matrix.diagonal())
    scaled = sp.csr_array(sp.diags_array(1 / diagonal) @ matrix @ sp.diags_array(1 / diagonal))
    found = lists.ids != NOTHING
    out = np.zeros((rows, width), dtype=np.float32)
    left = np.repeat(np.arange(rows), width).reshape(rows, width)[found]
    out[found] = np.asarray(scaled[left, lists.ids[found].astype(np.int64)]).ravel()
    result: Float32s = np.clip(out, 0, 1)
    return result
