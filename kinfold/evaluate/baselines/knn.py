"""Plain nearest neighbours: what every re-ranking starts from."""

from __future__ import annotations

from typing import ClassVar

from kinfold.arrays import Float32s
from kinfold.evaluate.baselines.registry import Baseline, Prepared, register


@register
class Knn(Baseline):
    """Cosine similarity, every item compared: score_j = q · x_j."""

    name: ClassVar[str] = "knn"
    title: ClassVar[str] = "kNN"
    source: ClassVar[str] = "exhaustive search"
    transductive: ClassVar[bool] = False

    def prepare(self, gallery: Float32s) -> PreparedKnn:
        """See `Baseline.prepare`; keeps the gallery."""
        return PreparedKnn(gallery)


class PreparedKnn(Prepared):
    """The gallery, nothing else."""

    def __init__(self, gallery: Float32s) -> None:
        self._gallery = gallery

    def scores(self, queries: Float32s) -> Float32s:
        """See `Prepared.scores`."""
        products: Float32s = queries @ self._gallery.T
        return products
