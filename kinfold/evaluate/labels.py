"""Scores where a gallery item is relevant if it has the query's label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kinfold.arrays import Floats, Int64s
from kinfold.evaluate.average_precision import Rule, check_rule, score_ranks
from kinfold.evaluate.label_codes import check_labels, encode_labels
from kinfold.evaluate.ranking import check_cutoffs, check_rankings, mean_of_scored


@dataclass(frozen=True, slots=True, eq=False)
class LabelScores:
    """What `score_by_labels` measured; every score is a share in [0, 1].

    Means are over the queries whose label occurs in the gallery, and NaN if there are none.

    Attributes
    ----------
    mean_average_precision:
        Mean of `average_precision` without its NaN.
    average_precision:
        (m,) float64; NaN for a query whose label does not occur in the gallery.
    precision_at:
        k → mean share of relevant items among the best k. Ranks past the end of a ranking
        count as misses.
    recall_at:
        k → mean share of all relevant items that are among the best k.
    queries:
        How many queries were scored.
    hits_by_rank:
        (k,) int64; how many of them have a relevant item at rank 1, 2, ….
    """

    mean_average_precision: float
    average_precision: Floats
    precision_at: dict[int, float]
    recall_at: dict[int, float]
    queries: int
    hits_by_rank: Int64s

    def precision_curve(self, max_k: int) -> Floats:
        """Mean precision at 1, 2, …, `max_k`.

        Parameters
        ----------
        max_k:
            The last rank, from 1; ranks past the end of the rankings count as misses.

        Returns
        -------
        (max_k,) float64
            NaN throughout if no query was scored.

        Raises
        ------
        InputError
            If `max_k` is not an integer from 1.
        """
        check_cutoffs([max_k], "max_k")
        return _precision_curve(self.hits_by_rank, self.queries, max_k)


def _precision_curve(hits_by_rank: Int64s, queries: int, max_k: int) -> Floats:
    if queries == 0:
        return np.full(max_k, np.nan)
    hits = np.zeros(max_k, dtype=np.int64)
    reached = min(max_k, len(hits_by_rank))
    hits[:reached] = hits_by_rank[:reached]
    curve: Floats = np.cumsum(hits) / (queries * np.arange(1, max_k + 1))
    return curve


def score_by_labels(
    rankings: npt.ArrayLike,
    query_labels: npt.ArrayLike,
    gallery_labels: npt.ArrayLike,
    ks: Sequence[int] = (1, 5, 10),
    rule: Rule = "rectangle",
) -> LabelScores:
    """Score rankings by labels: mAP, precision and recall.

    Time O(m·k), memory O(m + n + k) besides the input.

    Parameters
    ----------
    rankings:
        (m, k) integers; gallery positions, best first, -1 at the end of short rows. May be
        truncated: items that are not listed count as not found. Not changed.
    query_labels:
        (m,) integers or strings.
    gallery_labels:
        (n,) integers or strings, of the same type.
    ks:
        Ranks at which precision and recall are read off, from 1.
    rule:
        How AP is summed, see `average_precision`.

    Returns
    -------
    LabelScores

    Raises
    ------
    InputError
        If a shape, dtype, position, rank or rule is wrong, an item is ranked twice for one
        query, or the number of labels does not fit.
    """
    check_rule(rule)
    cutoffs = check_cutoffs(ks, "ks")
    gallery = check_labels(gallery_labels, "gallery_labels")
    checked = check_rankings(rankings, gallery_size=len(gallery))
    codes = encode_labels(check_labels(query_labels, "query_labels", len(checked)), gallery)

    scores = np.full(len(checked), np.nan)
    hits_by_rank = np.zeros(checked.positions.shape[1], dtype=np.int64)
    recall_sums = np.zeros(len(cutoffs))
    scored = np.flatnonzero(codes.totals)
    for query in scored:
        total = int(codes.totals[query])
        hits = codes.gallery[checked.row(query)] == codes.query[query]
        ranks = np.flatnonzero(hits) + 1
        scores[query] = score_ranks(ranks, total, rule)
        hits_by_rank[ranks - 1] += 1
        recall_sums += np.searchsorted(ranks, cutoffs, side="right") / total

    queries = len(scored)
    curve = _precision_curve(hits_by_rank, queries, max(cutoffs, default=1))
    return LabelScores(
        mean_average_precision=mean_of_scored(scores),
        average_precision=scores,
        precision_at={k: float(curve[k - 1]) for k in cutoffs},
        recall_at={
            k: float(found / queries) if queries else float("nan")
            for k, found in zip(cutoffs, recall_sums, strict=True)
        },
        queries=queries,
        hits_by_rank=hits_by_rank,
    )
