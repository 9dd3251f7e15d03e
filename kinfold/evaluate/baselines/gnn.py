"""GNN re-ranking: neighbourhoods as features, propagated by a graph network without training."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from pydantic import Field

from kinfold.arrays import Float32s
from kinfold.evaluate.baselines.dense import Together, nearest, sparse_rows, squared_distances
from kinfold.evaluate.baselines.registry import Baseline, register


@register
class Gnn(Baseline):
    """Zhang et al., "Understanding image retrieval re-ranking: a GNN perspective", 2020.

    arXiv 2012.07620; on gallery and queries together, N(i, k) holding i itself and
    its k - 1 nearest others:

    1. A_ij = 1 where each is in the other's N(·, k1), ½ where one is, 0 elsewhere; h_i = A_i;
    2. `layers` times: h ← (h + hᵀ) / 2, h_i ← h_i + Σ_{j ∈ N(i, k2)} max(x_i · x_j, 0)^α h_j,
       to length one;
    3. score = h_q · h_j.

    The paper sets k1 and k2 for every data set (26 and 7 for Market-1501, 60 and 10 for VeRi);
    the defaults here suit classes of 10 to 20 items.
    """

    name: ClassVar[str] = "gnn"
    title: ClassVar[str] = "GNN re-ranking"
    source: ClassVar[str] = "Zhang et al., 2020"
    transductive: ClassVar[bool] = True

    k1: int = Field(20, ge=1, description="Items that describe an item, itself included.")
    k2: int = Field(5, ge=1, description="Items that are summed, the item itself included.")
    alpha: float = Field(2.0, gt=0, description="Exponent of a neighbour's weight.")
    layers: int = Field(2, ge=1, le=10, description="How often neighbours are summed.")

    def prepare(self, gallery: Float32s) -> Together:
        """See `Baseline.prepare`; keeps the gallery, all else needs the queries."""
        return Together(gallery, self.title, self.rerank)

    def rerank(self, items: Float32s, n: int) -> Float32s:
        """(m, n) scores; items (n + m, d), the gallery first."""
        distances = squared_distances(items)
        near = nearest(distances, max(self.k1, self.k2))
        summed = near[:, : self.k2]
        similarities = 1 - np.take_along_axis(distances, summed, axis=1) / 2
        weights = np.maximum(similarities, 0) ** np.float32(self.alpha)
        step = sparse_rows(summed, weights) + sp.eye_array(len(items), dtype=np.float32)
        found = sparse_rows(near[:, : self.k1], 1)
        features: Float32s = ((found + found.T) * np.float32(0.5)).toarray()
        for layer in range(self.layers):
            if layer:
                features = (features + features.T) * np.float32(0.5)
            features = step @ features
            features /= np.linalg.norm(features, axis=1, keepdims=True)
        scores: Float32s = features[n:] @ features[:n].T
        return scores
