"""Neighbour lists: what the self-join gives and the similarity models re-calculate."""

from __future__ import annotations

from dataclasses import dataclass

from kinfold.arrays import Float32s, UInt32s


@dataclass(frozen=True, slots=True)
class NeighborLists:
    """The k nearest items of every gallery item, the item itself left out by its position.

    Attributes
    ----------
    ids:
        (n, k) uint32 gallery positions; `NOTHING` where an approximate search found fewer.
    similarities:
        (n, k) float32, descending in each row, ties by ascending position; -inf for `NOTHING`.
    """

    ids: UInt32s
    similarities: Float32s

    @property
    def k(self) -> int:
        """Neighbours a list holds."""
        return int(self.ids.shape[1])

    def first(self, k: int) -> NeighborLists:
        """The k best of every list; views, not copies."""
        return NeighborLists(self.ids[:, :k], self.similarities[:, :k])

    def thresholds(self, k: int) -> Float32s:
        """(n,) float32: the k-th similarity of every item, which a newcomer must reach."""
        result: Float32s = self.similarities[:, min(k, self.k) - 1].copy()
        return result
