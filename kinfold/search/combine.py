"""F = S·C for a query, with scratch of its own for every thread: no lock anywhere."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from kinfold.arrays import Bools, Float32s, UInt32s
from kinfold.errors import CorruptIndexError
from kinfold.index import StoredModel
from kinfold.kernels.combine import (
    best_touched,
    fill_up,
    keep_allowed,
    locate_rows,
    scatter_float32,
    scatter_rows_float8,
    scatter_rows_float16,
    scatter_rows_float32,
)

_NO_SCALES = np.empty(0, dtype=np.float32)
_NO_SCALES.flags.writeable = False  # as those of a model are: one compiled kernel for both
_NO_ORDER = np.empty(0, dtype=np.uint32)
_NO_ORDER.flags.writeable = False

_SCATTERS = {
    "float8": scatter_rows_float8,
    "float16": scatter_rows_float16,
    "float32": scatter_rows_float32,
}


class _Scratch:
    """One thread's working arrays for a gallery of n items."""

    def __init__(self, rows: int) -> None:
        self.scores = np.zeros(rows, dtype=np.float32)
        self.touched = np.empty(1024, dtype=np.uint32)
        self.located = np.empty((16, 4), dtype=np.int64)
        self.shares = np.empty(16, dtype=np.float64)

    def seeds(self, count: int) -> None:
        """Make room for so many rows of C."""
        if self.shares.shape[0] < count:
            self.located = np.empty((count, 4), dtype=np.int64)
            self.shares = np.empty(count, dtype=np.float64)

    def room(self, values: int) -> None:
        """Make room for every value that a query may add, and one more."""
        if self.touched.shape[0] <= values:
            self.touched = np.empty(2 * values + 1, dtype=np.uint32)


class Combiner:
    """Combines rows of C; shared by threads, each of which gets its own scratch."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._local = threading.local()

    def _scratch(self) -> _Scratch:
        scratch: _Scratch | None = getattr(self._local, "scratch", None)
        if scratch is None:
            scratch = _Scratch(self._rows)
            self._local.scratch = scratch
        return scratch

    def combine(
        self,
        model: StoredModel,
        seeds: UInt32s,
        weights: Float32s,
        found: UInt32s,
        scores: Float32s,
        allowed: Bools | None = None,
    ) -> int:
        """The best items by F_j = sum_i weights_i scales_i C_ij scales_j.

        Of those that are `allowed`, (n,) and read-only; None allows all. Written to `found` and
        `scores` (k,), ties by position. Returns how many there are, at most k; the rest of the
        two arrays is not touched.
        """
        scratch = self._scratch()
        scratch.seeds(seeds.shape[0])
        scratch.room(seeds.shape[0] * model.info.longest_row)
        scatter = _SCATTERS[model.info.dtype]
        largest = _NO_SCALES if model.largest is None else model.largest
        count = 0
        for block, (first_row, last_row) in enumerate(model.spans):
            steps, values = model.columns[block], model.values[block]
            rows = locate_rows(
                seeds, weights, model.places, model.indptr, model.starts, model.scales, largest,
                1.0 / model.info.value_scale, first_row, last_row, values.shape[0],
                steps.shape[0], model.info.longest_row, scratch.located, scratch.shares,
            )  # fmt: skip
            if rows < 0:
                scratch.scores[:] = 0
                for seed in seeds[weights > 0].tolist():
                    model.row(model.slot(seed))
            if rows > 0:
                count = scatter(
                    steps, values, scratch.located, scratch.shares, rows,
                    scratch.scores, scratch.touched, count,
                )  # fmt: skip
            if rows < 0 or count < 0:
                scratch.scores[:] = 0
                raise CorruptIndexError(
                    f"model {model.name!r}: corrupt: a row's columns end early, or lead out of "
                    f"the gallery of {self._rows}; run `kinfold verify`"
                )
        if allowed is not None:
            count = keep_allowed(scratch.scores, scratch.touched, count, model.order, allowed)
        size = int(
            best_touched(
                scratch.scores, scratch.touched, count, model.scales, model.order,
                found.shape[0], found, scores,
            )
        )  # fmt: skip
        if size < 0:
            raise CorruptIndexError(
                f"model {model.name!r}: corrupt: its order leads out of the gallery of "
                f"{self._rows}; run `kinfold verify`"
            )
        return size

    def fuse(
        self,
        lists: Sequence[tuple[UInt32s, Float32s]],
        found: UInt32s,
        scores: Float32s,
    ) -> int:
        """The best items by the sum of what several lists give them; see `combine`.

        Parameters
        ----------
        lists:
            Pairs of positions, each at most once in a list, and what the list gives them, >= 0.
        """
        scratch = self._scratch()
        scratch.room(sum(positions.size for positions, _ in lists))
        count = 0
        for positions, values in lists:
            count = scatter_float32(
                positions, values, 0, positions.size, 1.0, scratch.scores, scratch.touched, count
            )
        return int(
            best_touched(
                scratch.scores,
                scratch.touched,
                count,
                _NO_SCALES,
                _NO_ORDER,
                found.shape[0],
                found,
                scores,
            )
        )

    def fill(self, ranked: UInt32s, found: UInt32s, scores: Float32s, size: int) -> int:
        """Append items of the kNN order that are not among ``found[:size]``, with score 0."""
        return int(fill_up(ranked, self._scratch().scores, found, scores, size))


def entry(model: StoredModel, row: int, column: int) -> float:
    """What two items have in common in a search: C[row, column] times both scales."""
    slot, other = model.slot(row), model.slot(column)
    columns, values = model.entries(slot)
    place = int(np.searchsorted(columns, other))
    if place == columns.size or columns[place] != other:
        return 0.0
    return float(values[place]) * float(model.scales[slot]) * float(model.scales[other])
