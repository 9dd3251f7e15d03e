"""k-NN re-ranking: the query's nearest items search too, and ranks are added up."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from kinfold.arrays import Float32s, Floats
from kinfold.evaluate.baselines.order import best_first
from kinfold.evaluate.baselines.registry import Baseline, Prepared, register


@register
class KnnReranking(Baseline):
    """score_j = 1 / R(q, j) + Σ_i 1 / (i + 1) · 1 / R(N_i, j), over the k nearest items N_i.

    Shen et al., "Object retrieval and localization with spatially-constrained similarity measure
    and k-NN re-ranking", CVPR 2012, section 4: R(a, j) is the rank of item j, from 1, when a is
    searched for; i = 1 … k is the neighbour's own rank. With `rounds` above 1 the k best of one
    round are the neighbours of the next. The ranks are those of cosine similarity, the paper's
    spatial similarity needing local features.
    """

    name: ClassVar[str] = "knn-reranking"
    title: ClassVar[str] = "kNN re-ranking"
    source: ClassVar[str] = "Shen et al., CVPR 2012"
    transductive: ClassVar[bool] = False

    k: int = Field(10, ge=1, description="Nearest items that search for themselves.")
    rounds: int = Field(1, ge=1, le=10, description="How often the neighbours are renewed.")

    def prepare(self, gallery: Float32s) -> PreparedKnnReranking:
        """See `Baseline.prepare`; keeps the gallery."""
        return PreparedKnnReranking(gallery, self)


class PreparedKnnReranking(Prepared):
    """The gallery, searched 1 + k times a query: n × n ranks would not fit beside it."""

    def __init__(self, gallery: Float32s, method: KnnReranking) -> None:
        self._gallery = gallery
        self._method = method

    def scores(self, queries: Float32s) -> Float32s:
        """See `Prepared.scores`."""
        products = queries @ self._gallery.T
        out = np.empty_like(products)
        for row, similarities in enumerate(products):
            own = _inverse_ranks(similarities)
            scores = own.astype(np.float32)
            neighbors = best_first(similarities, self._method.k)
            for _ in range(self._method.rounds):
                others = self._gallery[neighbors] @ self._gallery.T
                total = own.copy()
                for place, one in enumerate(others, 1):
                    total += _inverse_ranks(one) / (place + 1)
                scores = total.astype(np.float32)
                neighbors = best_first(scores, self._method.k)
            out[row] = scores
        return out


def _inverse_ranks(similarities: Float32s) -> Floats:
    """1 / R of every item, (n,) float64; equal similarities rank by position."""
    inverse = np.empty(similarities.shape[0])
    inverse[best_first(similarities)] = 1 / np.arange(1, similarities.shape[0] + 1)
    return inverse
