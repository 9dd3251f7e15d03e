"""SuperGlobal re-ranking at query time."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from kinfold.arrays import Float32s
from kinfold.evaluate.baselines.order import best_first
from kinfold.evaluate.baselines.registry import Baseline, Prepared, register


@register
class SuperGlobal(Baseline):
    """The M nearest items refined by each other, then compared with a query made of the best.

    Shao et al., "Global features are all you need for image retrieval and reranking", ICCV 2023,
    section 3.2, as its published program computes it, on the query's M nearest items:

    1. x'_m = (x_m + β Σ_k s_mk x_k) / (1 + β Σ_k s_mk) over the K items k nearest to m among the
       M, s_mk = max(x_m · x_k, 0);
    2. s1_m = q · x'_m;
    3. q' = element-wise maximum of the K + 1 refined vectors of largest s1; s2_m = q' · x'_m;
    4. score = (s1 + s2) / 2; items beyond the M keep their order behind them.

    The program does not clip s_mk at 0; with vectors whose nearest items are at obtuse angles its
    denominator can vanish. Time O(M² d) a query.
    """

    name: ClassVar[str] = "superglobal"
    title: ClassVar[str] = "SuperGlobal"
    source: ClassVar[str] = "Shao et al., ICCV 2023"
    transductive: ClassVar[bool] = False

    M: int = Field(400, ge=1, description="Nearest items that are re-ranked.")
    K: int = Field(9, ge=1, description="Neighbours that refine a vector.")
    beta: float = Field(0.15, ge=0, description="Weight of a neighbour's similarity.")

    def prepare(self, gallery: Float32s) -> PreparedSuperGlobal:
        """See `Baseline.prepare`; keeps the gallery."""
        return PreparedSuperGlobal(gallery, self)


class PreparedSuperGlobal(Prepared):
    """The gallery, nothing else."""

    def __init__(self, gallery: Float32s, method: SuperGlobal) -> None:
        self._gallery = gallery
        self._method = method

    def scores(self, queries: Float32s) -> Float32s:
        """See `Prepared.scores`."""
        products: Float32s = queries @ self._gallery.T
        for query, similarities in zip(queries, products, strict=True):
            top = best_first(similarities, self._method.M)
            scores = self._rescore(query, self._gallery[top])
            rest = np.delete(similarities, top)
            if rest.size:
                # The M first stay before all others, whatever their new scores are.
                scores += max(rest.max() - scores.min() + np.float32(1e-3), np.float32(0))
            similarities[top] = scores
        return products

    def _rescore(self, query: Float32s, x: Float32s) -> Float32s:
        """(M,) float32 scores of the (M, d) nearest items, given nearest first."""
        count = x.shape[0]
        rows = np.arange(count)[:, None]
        products = x @ x.T
        # An item is not its own neighbour, even where a duplicate comes before it.
        np.fill_diagonal(products, -np.inf)
        width = min(self._method.K, count - 1)
        near = np.argsort(-products, axis=1, kind="stable")[:, :width]
        weights = np.zeros((count, count), dtype=np.float32)
        weights[rows, near] = self._method.beta * np.clip(products[rows, near], 0, None)
        np.fill_diagonal(weights, 1)
        refined = (weights @ x) / weights.sum(axis=1, keepdims=True)
        first = refined @ query
        best = best_first(first, width + 1)
        second = refined @ refined[best].max(axis=0)
        mean: Float32s = (first + second) / np.float32(2)
        return mean
