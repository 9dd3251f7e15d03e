"""Average precision (AP) of a ranking, and its mean over queries (mAP)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from kinfold.arrays import Floats, Int64s, Ints
from kinfold.errors import InputError
from kinfold.evaluate.ranking import (
    as_array,
    as_integers,
    check_disjoint,
    check_positions,
    check_rankings,
    mean_of_scored,
)

Rule: TypeAlias = Literal["rectangle", "trapezoid"]
"""How the area under the precision-recall curve is summed."""


def average_precision(
    hits: npt.ArrayLike,
    total: int,
    rule: Rule = "rectangle",
    ranks: npt.ArrayLike | None = None,
) -> float:
    r"""Average precision of one ranking.

    With the relevant items found at ranks :math:`r_1 < r_2 < \dots` (from 1) and R relevant
    items in the gallery,

    .. math::

        AP_{rectangle} = \frac1R \sum_j \frac{j}{r_j}, \qquad
        AP_{trapezoid} = \frac1R \sum_j \frac12 \left( \frac{j-1}{r_j-1} + \frac{j}{r_j} \right),

    where (j-1)/(r_j-1) counts as 1 at r_j = 1. Relevant items that the ranking does not reach
    add nothing, so the AP of a truncated ranking is a lower bound.

    Parameters
    ----------
    hits:
        (k,) bool; whether each ranked item is relevant, best first. Not changed.
    total:
        R, the number of relevant items in the gallery, found or not.
    rule:
        ``"rectangle"`` or ``"trapezoid"``; the latter is that of Oxford5k and its revision
        (Philbin et al., CVPR 2007; Radenović et al., CVPR 2018).
    ranks:
        (k,) integers, strictly increasing from 1 or above; the rank of each entry of `hits`.
        Ranks that are not named hold items that are not relevant. Default: 1, 2, …, k.

    Returns
    -------
    float
        In [0, 1]; NaN if `total` is 0.

    Raises
    ------
    InputError
        If a shape, dtype or rule is wrong, `ranks` do not increase, or there are more hits
        than `total`.

    Examples
    --------
    >>> round(average_precision([True, False, True], total=2), 4)
    0.8333
    >>> round(average_precision([True, False, True], total=2, rule="trapezoid"), 4)
    0.7917
    """
    check_rule(rule)
    found = as_array(hits, "hits")
    if found.ndim != 1 or (found.size and found.dtype.kind != "b"):
        raise InputError(
            f"hits: expected a one-dimensional array of booleans, found shape {found.shape}, "
            f"dtype {found.dtype}; give True where the ranked item is relevant"
        )
    if isinstance(total, bool) or not isinstance(total, int | np.integer) or total < 0:
        raise InputError(
            f"total: expected the number of relevant items, an integer from 0, found {total!r}; "
            "count all of them, also those that were not found"
        )
    hit_columns = np.flatnonzero(found)
    if hit_columns.size > total:
        raise InputError(
            f"total: expected at least the {hit_columns.size} hits that were found, found {total}; "
            "count every relevant item of the gallery"
        )
    hit_ranks = hit_columns + 1 if ranks is None else _check_ranks(ranks, found.size)[hit_columns]
    return score_ranks(hit_ranks, int(total), rule)


def _check_ranks(ranks: npt.ArrayLike, count: int) -> Ints:
    array = as_array(ranks, "ranks")
    if array.shape != (count,):
        raise InputError(
            f"ranks: expected one rank for each of the {count} entries of hits, "
            f"found shape {array.shape}; leave ranks out if they are 1, 2, …"
        )
    if count == 0:
        return np.empty(0, dtype=np.int64)
    checked = as_integers(array, "ranks").astype(np.int64, copy=False)
    if checked[0] < 1 or (np.diff(checked) <= 0).any():
        raise InputError(
            f"ranks: expected strictly increasing integers from 1, found {checked[:10].tolist()}"
            f"{' …' if count > 10 else ''}; sort hits and ranks by rank"
        )
    return checked


def score_ranks(ranks: Ints, total: int, rule: Rule) -> float:
    """AP from the ranks of the relevant items found; nothing is checked.

    `ranks`: (found,) integers from 1, increasing, not changed. `total`: R ≥ found. Returns NaN
    if R = 0. See `average_precision` for the equation.
    """
    if total == 0:
        return float("nan")
    found = np.arange(1, len(ranks) + 1)
    heights = found / ranks
    if rule == "trapezoid":
        before = np.ones(len(ranks))
        np.divide(found - 1, ranks - 1, out=before, where=ranks > 1)
        heights = (before + heights) / 2
    return float(heights.sum() / total)


def check_rule(rule: str) -> None:
    """Refuse a rule that does not exist.

    Raises
    ------
    InputError
        If `rule` is neither ``"rectangle"`` nor ``"trapezoid"``.
    """
    if rule not in get_args(Rule):
        raise InputError(
            f"rule: expected one of {', '.join(map(repr, get_args(Rule)))}, found {rule!r}; "
            "published protocols name theirs"
        )


def ranks_of(items: Ints, relevant: Int64s, junk: Int64s) -> Int64s:
    """Ranks of the relevant items once the junk is deleted; nothing is checked.

    `items`: (k,) gallery positions, best first, no padding. `relevant`, `junk`: gallery
    positions, disjoint. Nothing is changed. Returns (found,) int64, increasing, from 1.
    """
    if junk.size:
        items = items[~np.isin(items, junk)]
    return np.flatnonzero(np.isin(items, relevant)) + 1


def average_precisions(
    rankings: npt.ArrayLike,
    relevant: Sequence[npt.ArrayLike],
    *,
    junk: Sequence[npt.ArrayLike] | None = None,
    rule: Rule = "rectangle",
) -> Floats:
    """Average precision of each query.

    Parameters
    ----------
    rankings:
        (m, k) integers; gallery positions, best first, -1 at the end of short rows. May be
        truncated: items that are not listed count as not found. Not changed.
    relevant:
        m lists of gallery positions, in any order; a list may be empty.
    junk:
        m lists of gallery positions that are deleted from the ranking before it is scored,
        so they neither help nor harm. Default: none.
    rule:
        See `average_precision`.

    Returns
    -------
    (m,) float64
        In [0, 1]; NaN for a query without relevant items.

    Raises
    ------
    InputError
        If a shape, dtype, position or rule is wrong, the number of lists is not m, a position
        is repeated, or is both relevant and junk.
    """
    check_rule(rule)
    checked = check_rankings(rankings)
    relevant_lists = _check_lists(relevant, "relevant", len(checked))
    no_junk = np.empty(0, dtype=np.int64)
    junk_lists = [no_junk] * len(checked)
    if junk is not None:
        junk_lists = _check_lists(junk, "junk", len(checked))
    scores = np.empty(len(checked), dtype=np.float64)
    for query, (good, ignored) in enumerate(zip(relevant_lists, junk_lists, strict=True)):
        check_disjoint(good, ignored, (f"relevant[{query}]", f"junk[{query}]"))
        scores[query] = score_ranks(ranks_of(checked.row(query), good, ignored), len(good), rule)
    return scores


def _check_lists(lists: Sequence[npt.ArrayLike], name: str, count: int) -> list[Int64s]:
    if len(lists) != count:
        raise InputError(
            f"{name}: expected one list for each of the {count} rows of rankings, "
            f"found {len(lists)}; give an empty list to a query that has none"
        )
    return [check_positions(values, f"{name}[{query}]") for query, values in enumerate(lists)]


def mean_average_precision(
    rankings: npt.ArrayLike,
    relevant: Sequence[npt.ArrayLike],
    *,
    junk: Sequence[npt.ArrayLike] | None = None,
    rule: Rule = "rectangle",
) -> float:
    """Mean of `average_precisions` over the queries that have a relevant item.

    Parameters and errors are those of `average_precisions`.

    Returns
    -------
    float
        In [0, 1]; NaN if no query has a relevant item.
    """
    return mean_of_scored(average_precisions(rankings, relevant, junk=junk, rule=rule))
