"""Seeds: which neighbours of a query start the diffusion, and with what weight.

    s_i = max(sim(q, i), 0) ** gamma   for i among the k_q nearest, 0 elsewhere

``plain`` keeps all of them (Yang et al., AAAI 2019). ``reciprocal`` keeps i only if the query
would be among i's own k_d nearest, sim(q, i) >= i's k_d-th similarity, and always the best one:
the mutual test of the graph, made for a query that is not in it.
"""

from __future__ import annotations

from typing import get_args

import numpy as np

from kinfold.arrays import NOTHING, Float32s, UInt32s
from kinfold.config import Seeds
from kinfold.metric import Measure, power

SEEDS: tuple[Seeds, ...] = get_args(Seeds)


def seed_weights(
    positions: UInt32s,
    similarities: Float32s,
    thresholds: Float32s,
    measure: Measure,
    gamma: float,
    seeds: Seeds,
) -> Float32s:
    """Weights of (m, k_q) neighbours, float32; 0 for those that are no seeds.

    Parameters
    ----------
    positions, similarities:
        The k_q nearest of each query, best first.
    thresholds:
        (n,) the k_d-th similarity of every item.
    """
    if measure.metric == "inner_product":
        # In units of the best seed, so that the length of the query changes no ranking.
        best = similarities.max(axis=1, keepdims=True)
        similarities_used = np.divide(
            similarities, best, out=np.zeros_like(similarities), where=best > 0
        )
        weights = power(similarities_used, gamma)
    else:
        weights = measure.affinity(similarities, gamma)
    if seeds == "reciprocal":
        safe = np.where(positions == NOTHING, 0, positions)
        keep = similarities >= thresholds[safe]
        keep[:, 0] = True
        weights = np.where(keep, weights, np.float32(0))
    return weights
