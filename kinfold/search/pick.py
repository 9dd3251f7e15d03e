"""The hits of one query, picked from its ranking piece by piece."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kinfold.arrays import NOTHING, AnyArray, Bools, Float32s, UInt32s
from kinfold.search.groups import Groups
from kinfold.search.selection import Selection


class Pick:
    """Takes pieces of a ranking, best first, and keeps what the selection lets through.

    Parameters
    ----------
    need:
        Hits to keep, those that the offset passes over included.
    own:
        Positions that are no hits: the query's own.
    similarity:
        What the metric says of the query and items at positions.
    """

    def __init__(
        self,
        need: int,
        own: UInt32s,
        selection: Selection,
        groups: Groups | None,
        similarity: Callable[[UInt32s], Float32s],
    ) -> None:
        self._need = need
        self._own = own
        self._selection = selection
        self._room = None if groups is None else _Room(groups, selection.group_size)
        self._similarity = similarity
        self._pieces: list[UInt32s] = []
        self._scores: list[Float32s] = []
        self._reached = 0
        self._kept = 0

    @property
    def missing(self) -> int:
        """Hits that are still to be found."""
        return self._need - self._kept

    def take(self, positions: UInt32s, scores: Float32s | None = None) -> None:
        """Go through the next piece of the ranking; without scores the diffusion is at its end."""
        keep = positions != NOTHING
        if self._own.size:
            keep &= ~np.isin(positions, self._own)
        least = self._selection.min_similarity
        if least is not None and keep.any():
            near = self._similarity(positions[keep]) >= np.float32(least)
            keep[keep] = near
        places: AnyArray = np.flatnonzero(keep)
        if self._room is not None:
            places = places[self._room.has(positions[places])]
        places = places[: self.missing]
        if self._room is not None:
            self._room.fill(positions[places])
        self._pieces.append(positions[places])
        if scores is None:
            self._scores.append(np.zeros(places.size, dtype=np.float32))
        else:
            self._scores.append(scores[places])
            self._reached += places.size
        self._kept += places.size

    def ends_at(self, similarities: Float32s) -> bool:
        """Whether nothing similar enough follows the nearest with these similarities."""
        least = self._selection.min_similarity
        return least is not None and bool(similarities[-1] < np.float32(least))

    def close_full_groups(self, open_: Bools) -> None:
        """Clear, in (n,) marks, the items whose group has as many hits as it may have."""
        if self._room is not None:
            open_ &= self._room.left()

    def result(self, sort_rest: bool) -> tuple[UInt32s, Float32s, Float32s, int]:
        """Positions, scores, similarities, and how many of them the diffusion reached.

        Parameters
        ----------
        sort_rest:
            Put what was not reached in order: rounds of an approximate engine may be out of it.
        """
        positions = np.concatenate(self._pieces)
        scores = np.concatenate(self._scores)
        similarities = self._similarity(positions)
        if sort_rest:
            rest = np.lexsort((positions[self._reached :], -similarities[self._reached :]))
            order = np.concatenate([np.arange(self._reached), self._reached + rest])
            positions, similarities = positions[order], similarities[order]
        return positions, scores, similarities, self._reached


class _Room:
    """How many hits each group may still have."""

    def __init__(self, groups: Groups, size: int) -> None:
        self._groups = groups
        self._size = size
        self._taken: dict[int, int] = {}

    def has(self, positions: UInt32s) -> Bools:
        """Which of the items, (p,) best first, are hits if all before them are taken."""
        groups, inverse = np.unique(self._groups.of[positions], return_inverse=True)
        room = self._size - np.array([self._taken.get(g, 0) for g in groups.tolist()], np.int64)
        order = np.argsort(inverse, kind="stable")
        first = np.searchsorted(inverse[order], np.arange(groups.size))
        nth = np.empty(positions.size, dtype=np.int64)
        nth[order] = np.arange(positions.size) - first[inverse[order]]
        fits: Bools = nth < room[inverse]
        return fits

    def fill(self, positions: UInt32s) -> None:
        """Take items as hits."""
        for group in self._groups.of[positions].tolist():
            self._taken[group] = self._taken.get(group, 0) + 1

    def left(self) -> Bools:
        """Which items of the gallery belong to a group that has room, (n,)."""
        room = np.ones(self._groups.count, dtype=np.bool_)
        room[[group for group, count in self._taken.items() if count >= self._size]] = False
        result: Bools = room[self._groups.of]
        return result
