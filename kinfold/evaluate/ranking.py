"""What every protocol needs first: rankings and position lists that can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kinfold.arrays import Floats, Int64s, Ints
from kinfold.errors import InputError

PADDING = -1
"""Fills the end of a row whose search returned fewer than k items."""


@dataclass(frozen=True, slots=True, eq=False)
class Rankings:
    """Checked rankings.

    Attributes
    ----------
    positions:
        (m, k) integers; gallery positions, best first, `PADDING` at the end of short rows.
    lengths:
        (m,) int64; how many entries of each row are not padding.
    """

    positions: Ints
    lengths: Int64s

    def __len__(self) -> int:
        return len(self.lengths)

    def row(self, query: int | np.integer[Any]) -> Ints:
        """The gallery positions of one query, best first, without the padding; a view."""
        items: Ints = self.positions[query, : self.lengths[query]]
        return items


def as_array(values: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    """Turn `values` into an array, or say that they have no regular shape.

    Raises
    ------
    InputError
        If the nested sequences differ in length.
    """
    try:
        return np.asarray(values)
    except ValueError as error:
        raise InputError(
            f"{name}: expected an array, found sequences of different lengths ({error}); "
            f"give rows of one length, rankings with {PADDING} at the end of short rows"
        ) from error


def as_integers(array: npt.NDArray[Any], name: str) -> Ints:
    """Refuse every dtype but the integers; uint64 becomes int64. Other dtypes are not copied.

    Raises
    ------
    InputError
        If the dtype is not an integer dtype, or a value exceeds the range of int64.
    """
    if array.dtype.kind not in "iu":
        raise InputError(
            f"{name}: expected integers, found dtype {array.dtype}; "
            "convert them (numpy.flatnonzero turns a mask into positions)"
        )
    if array.dtype == np.uint64:
        largest = int(array.max(initial=0))
        if largest > np.iinfo(np.int64).max:
            raise InputError(
                f"{name}: expected values that fit into int64, found {largest}; "
                "give row numbers, not hashes"
            )
        return array.astype(np.int64)
    return array


def check_rankings(rankings: npt.ArrayLike, *, gallery_size: int | None = None) -> Rankings:
    """Check rankings and find where each one ends.

    Parameters
    ----------
    rankings:
        (m, k) integers, m ≥ 1 and k ≥ 1; row q holds the gallery positions for query q, best
        first, each at most once; -1 fills the end of a short row. Not changed, not copied.
    gallery_size:
        n; where it is known, positions must be below it.

    Returns
    -------
    Rankings
        The same array, with the length of each row.

    Raises
    ------
    InputError
        If the shape or dtype is wrong, a position lies outside [-1, n), padding stands before
        an item, or an item is listed twice for one query.
    """
    array = as_array(rankings, "rankings")
    if array.ndim != 2 or array.size == 0:
        raise InputError(
            "rankings: expected shape (queries, items), neither of them 0, "
            f"found shape {array.shape}; give one row a query"
        )
    positions = as_integers(array, "rankings")
    top = _check_range(positions, gallery_size)
    lengths = np.empty(len(positions), dtype=np.int64)
    for query, row in enumerate(positions):
        length = int(np.count_nonzero(row >= 0))
        lengths[query] = length
        items = row[:length]
        if length < len(row) and (items < 0).any():
            raise InputError(
                f"rankings: expected {PADDING} only at the end of a row, found it in the row of "
                f"query {query} at rank {int((items < 0).argmax()) + 1}, before other items; "
                "move the padding to the end"
            )
        if _has_repeats(items, top):
            raise InputError(_describe_repeat(items, query))
    return Rankings(positions, lengths)


def _check_range(positions: Ints, gallery_size: int | None) -> int:
    """Return the largest position, or name the first entry outside [-1, n)."""
    lowest, top = int(positions.min()), int(positions.max())
    below_padding = lowest < PADDING
    if below_padding or (gallery_size is not None and top >= gallery_size):
        extreme = positions.argmin() if below_padding else positions.argmax()
        query, column = np.unravel_index(extreme, positions.shape)
        upper = "the gallery size" if gallery_size is None else str(gallery_size)
        raise InputError(
            f"rankings: expected positions in [{PADDING}, {upper}), found "
            f"{int(positions[query, column])} for query {query} at rank {int(column) + 1}; "
            "rank the same gallery that the ground truth describes"
        )
    return top


def _has_repeats(items: Ints, top: int) -> bool:
    """Whether an item is listed twice; counting beats sorting unless the positions are sparse."""
    if len(items) < 2:
        return False
    if top < 16 * len(items):
        return bool(np.bincount(items).max() > 1)
    ordered = np.sort(items)
    return bool((ordered[1:] == ordered[:-1]).any())


def _describe_repeat(items: Ints, query: int) -> str:
    by_position = np.argsort(items, kind="stable")
    ordered = items[by_position]
    place = int((ordered[1:] == ordered[:-1]).argmax())
    first, second = by_position[place], by_position[place + 1]
    return (
        f"rankings: expected each position once a query, found {int(items[first])} for query "
        f"{query} at ranks {int(first) + 1} and {int(second) + 1}; "
        "keep only its best rank"
    )


def check_positions(values: npt.ArrayLike, name: str) -> Int64s:
    """Check one list of gallery positions, in any order.

    Parameters
    ----------
    values:
        (r,) integers ≥ 0 without repeats; may be empty.
    name:
        What the list is called in messages.

    Returns
    -------
    (r,) int64

    Raises
    ------
    InputError
        If it is not one-dimensional, not of integers, or has a negative or repeated entry.
    """
    array = as_array(values, name)
    if array.ndim != 1:
        raise InputError(
            f"{name}: expected a list of gallery positions, found shape {array.shape}; "
            "give one list a query"
        )
    if array.size == 0:
        return np.empty(0, dtype=np.int64)
    positions = as_integers(array, name).astype(np.int64, copy=False)
    ordered = np.sort(positions)
    if ordered[0] < 0:
        raise InputError(
            f"{name}: expected positions from 0, found {int(ordered[0])}; leave padding out"
        )
    repeats = ordered[1:] == ordered[:-1]
    if repeats.any():
        raise InputError(
            f"{name}: expected each position once, found {int(ordered[1:][repeats][0])} "
            "more than once; remove the repeats"
        )
    return positions


def check_disjoint(first: Int64s, second: Int64s, names: tuple[str, str]) -> None:
    """Refuse a position that two lists of one query claim, e.g. as relevant and as junk.

    Raises
    ------
    InputError
        If the lists share a position.
    """
    shared = np.intersect1d(first, second, assume_unique=True)
    if shared.size:
        raise InputError(
            f"{names[0]} and {names[1]}: expected no position in both, found {int(shared[0])}; "
            "remove it from one of them"
        )


def check_cutoffs(cutoffs: Sequence[int], name: str) -> tuple[int, ...]:
    """Check the ranks at which a score is read off: integers from 1; returned as plain ints.

    Raises
    ------
    InputError
        If they are not a list, or one is not an integer, or is below 1.
    """
    if as_array(cutoffs, name).ndim != 1:
        raise InputError(
            f"{name}: expected a list of ranks, found {cutoffs!r}; give for example (1, 5, 10)"
        )
    for cutoff in cutoffs:
        if isinstance(cutoff, bool) or not isinstance(cutoff, int | np.integer) or cutoff < 1:
            raise InputError(
                f"{name}: expected integers from 1, found {cutoff!r}; ranks start at 1"
            )
    return tuple(int(cutoff) for cutoff in cutoffs)


def mean_of_scored(values: Floats) -> float:
    """Mean of `values` (m,) without the NaN of queries left out; NaN if all are left out."""
    scored = values[~np.isnan(values)]
    return float(scored.mean()) if scored.size else float("nan")
