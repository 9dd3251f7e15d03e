"""Seeds: which neighbours of a query start the diffusion, and with what weight.

    s_i = max(sim(q, i), 0) ** gamma   for i among the k_q nearest, 0 elsewhere

``plain`` keeps all of them (Yang et al., AAAI 2019). ``reciprocal`` keeps i only if the query
would be among i's own k_d nearest, sim(q, i) >= i's k_d-th similarity, and always the best one:
the mutual test of the graph, made for a query that is not in it. ``soft`` weighs instead of
keeping or not, by the same rule that weighs the edges of the graph:

    s_i = max(sim(q, i), 0) ** gamma * exp(-(rank_qi - 1) / rank_scale)

rank_qi being the worse of i's rank among the neighbours of the query and the one that the query
would have among i's. It needs no good choice of k_q: far neighbours fade out.
"""

from __future__ import annotations

from typing import get_args

import numpy as np

from kinfold.arrays import NOTHING, AnyArray, Float32s, UInt32s
from kinfold.config import BuildConfig, Seeds
from kinfold.metric import Measure, power

SEEDS: tuple[Seeds, ...] = get_args(Seeds)


SOFT_SCALE = 3.0
"""rank_scale of soft seeds in a model whose graph has none."""


def seed_weights(
    positions: UInt32s,
    similarities: Float32s,
    nearest: Float32s,
    measure: Measure,
    config: BuildConfig,
    seeds: Seeds,
) -> Float32s:
    """Weights of (m, k_q) neighbours, float32; 0 for those that are no seeds.

    Parameters
    ----------
    positions, similarities:
        The k_q nearest of each query, best first.
    nearest:
        (n, k), k >= k_d: similarities of every item to its own nearest, best first.
    config:
        Of the model: gamma, k_d and rank_scale.
    """
    if measure.metric == "inner_product":
        # In units of the best seed, so that the length of the query changes no ranking.
        best = similarities.max(axis=1, keepdims=True)
        similarities_used = np.divide(
            similarities, best, out=np.zeros_like(similarities), where=best > 0
        )
        weights = power(similarities_used, config.seed_exponent)
    else:
        weights = measure.affinity(similarities, config.seed_exponent)
    if seeds == "plain":
        return weights
    safe = np.where(positions == NOTHING, 0, positions)
    if seeds == "reciprocal":
        keep = similarities >= nearest[safe, config.k_d - 1]
        keep[:, 0] = True
        return np.where(keep, weights, np.float32(0))
    theirs = (nearest[safe, : config.k_d] > similarities[:, :, None]).sum(axis=2)
    ranks = np.maximum(theirs, _places(similarities))
    faded: Float32s = weights * np.exp(-ranks / np.float32(config.rank_scale or SOFT_SCALE))
    return faded.astype(np.float32)


def _places(similarities: Float32s) -> AnyArray:
    """How many of a descending list are better than each of its entries; ties share a place."""
    places = np.arange(similarities.shape[1])
    fresh = np.ones(similarities.shape, dtype=bool)
    fresh[:, 1:] = similarities[:, 1:] < similarities[:, :-1]
    result: AnyArray = np.maximum.accumulate(np.where(fresh, places, 0), axis=1)
    return result
