"""The scale that a gallery's own neighbours give its metric."""

from __future__ import annotations

import numpy as np

from kinfold.metric import Measure
from kinfold.neighbors.lists import NeighborLists


def scaled_measure(raw: NeighborLists, measure: Measure, k_d: int) -> Measure:
    """The measure with the scale that the gallery gives it."""
    scale = 1.0
    if measure.metric == "inner_product":
        scale = float(raw.similarities.max(initial=0.0, where=np.isfinite(raw.similarities)))
    elif measure.metric == "l2":
        kth = raw.similarities[:, min(k_d, raw.k) - 1]
        known = kth[np.isfinite(kth)]
        scale = float(np.sqrt(np.mean(-known, dtype=np.float64))) if known.size else 1.0
    if not np.isfinite(scale) or scale <= 0:
        scale = 1.0
    return Measure(measure.metric, scale)
