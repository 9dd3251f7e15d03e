"""How alike two sparse rows are: Jensen–Shannon, Jaccard and cosine, for lists of pairs."""

from __future__ import annotations

import numba
import numpy as np

from kinfold.arrays import NOTHING, Float32s, Ints, UInt32s
from kinfold.kernels.jit import kernel, unsigned

_NOTHING = NOTHING

DIVERGENCE, JACCARD, COSINE = 0, 1, 2
"""What `compare_lists` compares by. Rows sum to one for the first two, and have length one for
the last."""


@kernel()
def jensen_shannon(mine: Float32s, columns: UInt32s, values: Float32s, length: int) -> float:
    """1 - the Jensen–Shannon divergence (base 2) of a gathered row and a sparse one, in [0, 1].

    Both sum to one. Only what they share counts: an entry that one of them lacks adds half of
    itself to the divergence.
    """
    shared = 0.0
    for a in range(unsigned(length)):
        x = np.float64(mine[columns[a]])
        if x > 0.0:
            y = np.float64(values[a])
            both = x + y
            shared += both - x * np.log2(2.0 * x / both) - y * np.log2(2.0 * y / both)
    return min(max(0.5 * shared, 0.0), 1.0)


@kernel()
def jaccard(mine: Float32s, columns: UInt32s, values: Float32s, length: int) -> float:
    """Sum min / sum max of a gathered row and a sparse one, in [0, 1]; both sum to one."""
    smaller = 0.0
    for a in range(unsigned(length)):
        smaller += min(np.float64(mine[columns[a]]), np.float64(values[a]))
    return min(max(smaller / (2.0 - smaller), 0.0), 1.0)


@kernel()
def cosine(mine: Float32s, columns: UInt32s, values: Float32s, length: int) -> float:
    """The inner product of a gathered row and a sparse one, in [0, 1]; both have length one."""
    total = 0.0
    for a in range(unsigned(length)):
        total += np.float64(mine[columns[a]]) * np.float64(values[a])
    return min(max(total, 0.0), 1.0)


@kernel(parallel=True)
def compare_lists(
    columns: UInt32s, values: Float32s, length: Ints, lists: UInt32s,
    kind: int, threads: int, out: Float32s,
) -> None:  # fmt: skip
    """Compare row i with the rows ``lists[i]``: (n, w) sparse rows, (n, k) lists, (n, k) out.

    `kind`: `DIVERGENCE`, `JACCARD` or `COSINE`. `NOTHING` gets 0.
    """
    n = columns.shape[0]
    for thread in numba.prange(threads):
        mine = np.zeros(n, dtype=np.float32)
        for i in range(thread, n, threads):
            for a in range(length[i]):
                mine[columns[i, a]] = values[i, a]
            for j in range(lists.shape[1]):
                other = lists[i, j]
                if other == _NOTHING:
                    out[i, j] = 0
                elif kind == DIVERGENCE:
                    out[i, j] = jensen_shannon(mine, columns[other], values[other], length[other])
                elif kind == JACCARD:
                    out[i, j] = jaccard(mine, columns[other], values[other], length[other])
                else:
                    out[i, j] = cosine(mine, columns[other], values[other], length[other])
            for a in range(length[i]):
                mine[columns[i, a]] = 0
