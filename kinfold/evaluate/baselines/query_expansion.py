"""Query expansion: the query is moved to its nearest items, and asked again.

q' = (q + Σ_i w_i x_i) / ‖·‖ over the n nearest items, i = 1 … n; score_j = q' · x_j. The methods
differ in w_i. Where there are no local features, nothing verifies the n nearest items: all of
them are taken, as is usual for global descriptors.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from pydantic import Field

from kinfold.arrays import Float32s
from kinfold.evaluate.baselines.order import best_first
from kinfold.evaluate.baselines.registry import Baseline, Prepared, register

_TINY = np.float32(1e-30)


class QueryExpansion(Baseline):
    """What AQE, AQEwD and αQE share; a method gives its weights."""

    transductive: ClassVar[bool] = False

    n: int = Field(10, ge=1, description="Nearest items that are added to the query.")

    @abstractmethod
    def weights(self, similarities: Float32s) -> Float32s:
        """Weights of the nearest items, the query's own being 1.

        Parameters
        ----------
        similarities:
            (p,) float32, descending; p = n, or all items of a smaller gallery. Not changed.

        Returns
        -------
        (p,) float32, at least 0.
        """

    def prepare(self, gallery: Float32s) -> PreparedExpansion:
        """See `Baseline.prepare`; keeps the gallery."""
        return PreparedExpansion(gallery, self)


class PreparedExpansion(Prepared):
    """The gallery, searched twice a query."""

    def __init__(self, gallery: Float32s, method: QueryExpansion) -> None:
        self._gallery = gallery
        self._method = method

    def scores(self, queries: Float32s) -> Float32s:
        """See `Prepared.scores`."""
        products = queries @ self._gallery.T
        expanded = np.empty_like(queries)
        for row, (query, similarities) in enumerate(zip(queries, products, strict=True)):
            nearest = best_first(similarities, self._method.n)
            weights = self._method.weights(similarities[nearest])
            moved = query + weights @ self._gallery[nearest]
            expanded[row] = moved / max(np.linalg.norm(moved), _TINY)
        result: Float32s = expanded @ self._gallery.T
        return result


@register
class Aqe(QueryExpansion):
    """Average query expansion: w_i = 1.

    Chum et al., "Total recall: automatic query expansion with a generative feature model for
    object retrieval", ICCV 2007 ("average query expansion": the mean of the query and what it
    found). There, results were verified by geometry; n = 10 is what is used with global
    descriptors (Gordo et al., IJCV 2017).
    """

    name: ClassVar[str] = "aqe"
    title: ClassVar[str] = "AQE"
    source: ClassVar[str] = "Chum et al., ICCV 2007"

    def weights(self, similarities: Float32s) -> Float32s:
        """See `QueryExpansion.weights`."""
        return np.ones_like(similarities)


@register
class AqeWithDecay(QueryExpansion):
    """Average query expansion with decay: w_i = (n - i) / n at rank i = 1 … n, so w_n = 0.

    Gordo et al., "End-to-end learning of deep visual representations for image retrieval",
    IJCV 2017 (the weights of its database-side augmentation, on the query's side).
    """

    name: ClassVar[str] = "aqe-wd"
    title: ClassVar[str] = "AQEwD"
    source: ClassVar[str] = "Gordo et al., IJCV 2017"

    def weights(self, similarities: Float32s) -> Float32s:
        """See `QueryExpansion.weights`."""
        ranks = np.arange(1, similarities.shape[0] + 1, dtype=np.float32)
        return np.subtract(1, ranks / np.float32(self.n), dtype=np.float32)


@register
class AlphaQe(QueryExpansion):
    """α-weighted query expansion: w_i = max(q · x_i, 0) ** alpha.

    Radenović et al., "Fine-tuning CNN image retrieval with no human annotation", TPAMI 2018;
    alpha = 3 and n = 50 are its choice, for classes of some hundred images.
    """

    name: ClassVar[str] = "alpha-qe"
    title: ClassVar[str] = "αQE"
    source: ClassVar[str] = "Radenović et al., TPAMI 2018"

    n: int = Field(50, ge=1, description="Nearest items that are added to the query.")
    alpha: float = Field(3.0, ge=0, description="Exponent of a neighbour's weight.")

    def weights(self, similarities: Float32s) -> Float32s:
        """See `QueryExpansion.weights`."""
        powers: Float32s = np.clip(similarities, 0, None) ** np.float32(self.alpha)
        return powers
