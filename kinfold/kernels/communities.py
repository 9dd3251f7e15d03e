"""Labels that spread along the edges of a graph until each item has its neighbours' heaviest."""

from __future__ import annotations

import numpy as np

from kinfold.arrays import Floats, Ints
from kinfold.kernels.jit import kernel


@kernel()
def spread_labels(
    indptr: Ints, indices: Ints, weights: Floats, order: Ints, rounds: int, labels: Ints
) -> None:
    """Give items the label that weighs most among their neighbours, in place.

    Label propagation (Raghavan, Albert, Kumara, 2007). Items take turns in the given order, which
    decides ties; an item keeps its label unless another one weighs more.

    Parameters
    ----------
    indptr, indices, weights:
        CSR of a symmetric graph of n items.
    order:
        (n,) in which order items take their turns, in every round.
    rounds:
        Rounds at most; fewer when a round changes nothing.
    labels:
        (n,) whole numbers in 0 … n - 1, at first usually all different.
    """
    held = np.zeros(labels.shape[0], dtype=np.float64)
    for _ in range(rounds):
        changed = False
        for item in order:
            first, last = indptr[item], indptr[item + 1]
            for place in range(first, last):
                held[labels[indices[place]]] += weights[place]
            best = labels[item]
            for place in range(first, last):
                label = labels[indices[place]]
                if held[label] > held[best]:
                    best = label
            for place in range(first, last):
                held[labels[indices[place]]] = 0.0
            if best != labels[item]:
                labels[item] = best
                changed = True
        if not changed:
            break
