"""What similarity means for each metric, and the affinity made of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinfold.arrays import Float32s
from kinfold.config import Metric


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric with its scale.

    ===============  =====================================  ======================  ===========
    metric           similarity                             range                   scale
    ===============  =====================================  ======================  ===========
    cosine           inner product of normalised vectors    [-1, 1]                 1
    inner_product    inner product of the vectors           any                     the largest
                                                                                    seen between
                                                                                    neighbours
    l2               1 / (1 + distance² / scale²)           (0, 1]                  the root mean
                                                                                    square
                                                                                    distance to
                                                                                    the k_d-th
                                                                                    neighbour
    ===============  =====================================  ======================  ===========

    The affinity of an edge is max(relative similarity, 0) ** gamma, the relative similarity being
    similarity / scale for inner products and the similarity itself otherwise. Dividing by a scale
    changes neither S (its normalisation cancels every factor) nor a ranking; it keeps similarity
    models inside [0, 1].
    """

    metric: Metric
    scale: float = 1.0

    @property
    def normalises(self) -> bool:
        """Whether vectors are scaled to length one first."""
        return self.metric == "cosine"

    @property
    def by_distance(self) -> bool:
        """Whether kernels and engines compare by squared distance, smaller being nearer."""
        return self.metric == "l2"

    def similarity(self, closeness: Float32s) -> Float32s:
        """Similarity of a closeness: an inner product, or a negated squared distance for l2."""
        if self.metric != "l2":
            return closeness
        result: Float32s = (1.0 / (1.0 - closeness / np.float32(self.scale**2))).astype(np.float32)
        return result

    def relative(self, similarity: Float32s) -> Float32s:
        """Similarity in units that similarity models and affinities share: at most about 1."""
        if self.metric != "inner_product":
            return similarity
        result: Float32s = similarity / np.float32(self.scale)
        return result

    def affinity(self, similarity: Float32s, gamma: float) -> Float32s:
        """max(relative similarity, 0) ** gamma; -inf gives 0."""
        return power(self.relative(similarity), gamma)


def power(relative: Float32s, gamma: float) -> Float32s:
    """max(relative, 0) ** gamma, float32."""
    result: Float32s = np.maximum(relative, np.float32(0)) ** np.float32(gamma)
    return result
