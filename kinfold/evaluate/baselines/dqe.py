"""Discriminative query expansion: a classifier of near against far replaces the query."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from kinfold.arrays import Float32s
from kinfold.evaluate.baselines.linear_svm import svm_direction
from kinfold.evaluate.baselines.order import best_first
from kinfold.evaluate.baselines.registry import Baseline, Prepared, register


@register
class Dqe(Baseline):
    """Discriminative query expansion: score_j = w · x_j, w the weights of a linear SVM.

    Arandjelović and Zisserman, "Three things everyone should know to improve object retrieval",
    CVPR 2012, section 4: the query and its n nearest items are the positives, the 200 least
    similar items the negatives, and items are ranked by their signed distance to the plane. The
    bias shifts all scores alike and is left out. There, positives were verified by geometry;
    n = 10 as for average query expansion. The SVM is `svm_direction`'s, with LIBLINEAR's loss and
    its C = 1.
    """

    name: ClassVar[str] = "dqe"
    title: ClassVar[str] = "DQE"
    source: ClassVar[str] = "Arandjelović & Zisserman, CVPR 2012"
    transductive: ClassVar[bool] = False

    n: int = Field(10, ge=1, description="Nearest items that are positives, beside the query.")
    negatives: int = Field(200, ge=1, description="Least similar items that are negatives.")
    C: float = Field(1.0, gt=0, le=1e6, description="Penalty of the SVM's slack.")

    def prepare(self, gallery: Float32s) -> PreparedDqe:
        """See `Baseline.prepare`; keeps the gallery."""
        return PreparedDqe(gallery, self)


class PreparedDqe(Prepared):
    """The gallery; a machine is trained a query."""

    def __init__(self, gallery: Float32s, method: Dqe) -> None:
        self._gallery = gallery
        self._method = method

    def scores(self, queries: Float32s) -> Float32s:
        """See `Prepared.scores`."""
        products = queries @ self._gallery.T
        weights = np.empty_like(queries)
        for row, (query, similarities) in enumerate(zip(queries, products, strict=True)):
            weights[row] = self._weights(query, similarities)
        result: Float32s = weights @ self._gallery.T
        return result

    def _weights(self, query: Float32s, similarities: Float32s) -> Float32s:
        near = best_first(similarities, self._method.n)
        # A small gallery gives what is left of it; no item is on both sides.
        rest = similarities.shape[0] - near.size
        far = best_first(-similarities, min(self._method.negatives, rest)) if rest else near[:0]
        examples = np.concatenate([query[None], self._gallery[near], self._gallery[far]])
        targets = np.ones(examples.shape[0])
        targets[1 + near.size :] = -1
        direction: Float32s = svm_direction(examples, targets, self._method.C).astype(np.float32)
        return direction
