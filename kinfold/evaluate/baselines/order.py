"""Rankings out of scores: descending, ties by position."""

from __future__ import annotations

import numpy as np

from kinfold.arrays import Float32s, Int64s


def best_first(scores: Float32s, k: int | None = None) -> Int64s:
    """Positions of the k largest scores of one query, best first.

    Time O(n + k log k) unless many scores tie.

    Parameters
    ----------
    scores:
        (n,) float32, finite. Not changed.
    k:
        1 <= k; more than n, and None, mean all.

    Returns
    -------
    (min(k, n),) int64; equal scores in the order of their positions.
    """
    n = scores.shape[0]
    if k is None or k >= n:
        return np.argsort(-scores, kind="stable")
    # The k-th largest score itself may be shared; whoever reaches it is a candidate.
    reached = np.flatnonzero(scores >= np.partition(scores, n - k)[n - k])
    return reached[np.argsort(-scores[reached], kind="stable")[:k]]
