"""Rows of C as tasks over blocks.

    c_i = (1 - alpha) (I - alpha S)^-1 e_i   on a truncated set T_i

(Yang et al., "Efficient Image Retrieval via Decoupling Diffusion into Online and Offline
Processing", AAAI 2019.) An item without edges gets c_i = e_i.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from kinfold.arrays import NOTHING, AnyArray, Int64s
from kinfold.blocks import Arrays, Block
from kinfold.config import BuildConfig
from kinfold.kernels.lanes import LANES
from kinfold.kernels.rows import diffuse_groups, diffuse_rows

WALK_STEPS = 4
"""Steps of the graph-guided walk once it has to drop nodes."""

REACH = 2.0
"""How large the set of a group is, in units of the longest row that is kept."""

BLOCK_VALUES = 1 << 22
"""Values computed in one go; bounds the memory of the buffers to some 50 MB."""


@dataclass(frozen=True, slots=True)
class Solving:
    """How rows are computed; see `BuildConfig`."""

    alpha: float
    max_row: int
    mass: float
    tolerance: float
    max_iterations: int

    @classmethod
    def of(cls, config: BuildConfig) -> Solving:
        """Those of a configuration."""
        return cls(
            config.alpha, config.max_row, config.mass, config.tolerance, config.max_iterations
        )


@dataclass(frozen=True, slots=True)
class DiffuseGroups:
    """Rows on sets that follow the graph, one set a group.

    A block is of whole groups. Reads the graph by slots: indptr (n + 1,) uint64, indices (stored,)
    uint32, values (stored,) float32, symmetric, columns ascending; starts (groups + 1,) int64.

    Gives, row by row: ``length``, ``iterations`` int64, ``converged`` bool, ``diagonal`` (C_ii);
    and flat ``columns`` uint32, ascending in each row, and ``values``.
    """

    solving: Solving

    def __call__(self, arrays: Arrays, begin: int, end: int, threads: int) -> dict[str, AnyArray]:
        """See `BlockTask`."""
        first, last = np.searchsorted(arrays["starts"], [begin, end])
        starts = arrays["starts"][first : last + 1]
        out = _Rows(end - begin, self.solving, arrays)
        solving = self.solving
        diffuse_groups(
            arrays["indptr"], arrays["indices"], arrays["values"], starts, solving.alpha,
            out.width, max(1, round(REACH * out.width)), WALK_STEPS, solving.mass,
            solving.tolerance, solving.max_iterations, threads, *out.arrays,
        )  # fmt: skip
        return out.packed()


@dataclass(frozen=True, slots=True)
class DiffuseNearest:
    """Rows on the items' nearest neighbours, as published.

    Reads beside what `DiffuseGroups` does: nearest (n, w) uint32, each item's neighbours by
    descending similarity (`NOTHING` fills up); order and places (n,) uint32, which turn items
    into slots and back. The values may be float64. Gives the same.
    """

    solving: Solving

    def __call__(self, arrays: Arrays, begin: int, end: int, threads: int) -> dict[str, AnyArray]:
        """See `BlockTask`."""
        out = _Rows(end - begin, self.solving, arrays)
        solving = self.solving
        nearest = arrays["nearest"][arrays["order"][begin:end], : out.width - 1]
        listed = np.full((len(nearest), max(1, nearest.shape[1])), NOTHING)
        known = nearest != NOTHING
        listed[:, : nearest.shape[1]][known] = arrays["places"][nearest[known]]
        diffuse_rows(
            arrays["indptr"], arrays["indices"], arrays["values"],
            np.arange(begin, end, dtype=np.uint32), listed, solving.alpha, out.width,
            solving.mass, solving.tolerance, solving.max_iterations, threads, *out.arrays,
        )  # fmt: skip
        return out.packed()


class _Rows:
    """Room for rows that a kernel writes."""

    def __init__(self, rows: int, solving: Solving, arrays: Arrays) -> None:
        dtype = arrays["values"].dtype
        self.width = min(solving.max_row, arrays["indptr"].shape[0] - 1)
        self.columns = np.empty((rows, self.width), dtype=np.uint32)
        self.values = np.empty((rows, self.width), dtype=dtype)
        self.diagonal = np.empty(rows, dtype=dtype)
        self.length: Int64s = np.empty(rows, dtype=np.int64)
        self.iterations: Int64s = np.empty(rows, dtype=np.int64)
        self.converged = np.empty(rows, dtype=np.bool_)

    @property
    def arrays(self) -> Sequence[AnyArray]:
        """In the order of the kernels' last arguments."""
        return (
            self.columns, self.values, self.diagonal, self.length, self.iterations, self.converged,
        )  # fmt: skip

    def packed(self) -> dict[str, AnyArray]:
        """One row behind the other."""
        inside = np.arange(self.width) < self.length[:, None]
        return {
            "length": self.length,
            "columns": self.columns[inside],
            "values": self.values[inside],
            "diagonal": self.diagonal,
            "iterations": self.iterations,
            "converged": self.converged,
        }


def row_blocks(starts: Int64s, max_row: int, most_values: int | None = None) -> list[Block]:
    """Blocks of whole groups, of so many that their values are `most_values` at most.

    A single group may hold more; None means `BLOCK_VALUES`.

    Parameters
    ----------
    starts:
        (groups + 1,) the first row of each group, and the row behind the last.
    """
    most = BLOCK_VALUES if most_values is None else most_values
    step = max(1, most // (LANES * min(max_row, int(starts[-1]))))
    cuts = [*starts[:-1:step].tolist(), int(starts[-1])]
    return list(pairwise(cuts))
