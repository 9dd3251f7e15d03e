"""The order in which rows of C are computed and kept: neighbours beside each other.

What a row reaches then has numbers near its own, which makes its columns short to write and quick
to add up, and the rows of a group can be computed together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from kinfold.arrays import AnyArray, Int64s, UInt32s
from kinfold.kernels.lanes import LANES
from kinfold.kernels.order import local_groups, relabel


@dataclass(frozen=True, slots=True)
class LocalOrder:
    """An order of the items, cut into groups.

    Attributes
    ----------
    order:
        (n,) uint32: the item in each slot.
    places:
        (n,) uint32: the slot of each item.
    starts:
        (groups + 1,) int64: the first slot of each group, and at last n.
    """

    order: UInt32s
    places: UInt32s
    starts: Int64s

    @classmethod
    def of(cls, matrix: sp.csr_array) -> LocalOrder:
        """An order of the nodes of a symmetric graph (n, n); see `kernels.order`."""
        rows = matrix.shape[0]
        order = np.empty(rows, dtype=np.uint32)
        starts = np.empty(rows + 1, dtype=np.int64)
        values = matrix.data.astype(np.float32, copy=False)
        groups = local_groups(*graph_arrays(matrix), values, LANES, order, starts)
        return cls(order, inverse(order), starts[: groups + 1].copy())

    def relabelled(self, matrix: sp.csr_array) -> dict[str, AnyArray]:
        """The symmetric graph by slots, as the arrays that the tasks of diffusion read.

        indptr (n + 1,) uint64, indices (stored,) uint32, values (stored,), starts as above.
        """
        indptr = np.empty(matrix.shape[0] + 1, dtype=np.uint64)
        indices = np.empty(matrix.nnz, dtype=np.uint32)
        values = np.empty(matrix.nnz, dtype=matrix.dtype)
        relabel(
            *graph_arrays(matrix), matrix.data, self.order, self.places, indptr, indices, values
        )
        return {"indptr": indptr, "indices": indices, "values": values, "starts": self.starts}


def inverse(order: UInt32s) -> UInt32s:
    """Where each item stands in an order."""
    places = np.empty(order.shape[0], dtype=np.uint32)
    places[order] = np.arange(order.shape[0], dtype=np.uint32)
    return places


def graph_arrays(matrix: sp.csr_array) -> tuple[AnyArray, AnyArray]:
    """(indptr, indices) as kernels take them, uint64 and uint32; without a copy where it can be."""
    indptr, indices = matrix.indptr, matrix.indices
    wide = indptr.view(np.uint64) if indptr.dtype == np.int64 else indptr.astype(np.uint64)
    short = indices.view(np.uint32) if indices.dtype == np.int32 else indices.astype(np.uint32)
    return wide, short
