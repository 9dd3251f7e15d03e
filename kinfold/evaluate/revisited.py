"""The protocol of Revisited Oxford and Paris: Easy, Medium and Hard (Radenović et al., CVPR 2018).

Each query has three lists of gallery positions: `easy` and `hard` show the landmark clearly or
with difficulty, `junk` shows it too poorly to count. A protocol takes some as positives and
deletes others from the ranking:

======  ===========  ============
name    positives    deleted
======  ===========  ============
easy    easy         hard + junk
medium  easy + hard  junk
hard    hard         easy + junk
======  ===========  ============
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kinfold.arrays import Floats, Int64s
from kinfold.errors import InputError
from kinfold.evaluate.average_precision import ranks_of, score_ranks
from kinfold.evaluate.ground_truth import check_entry
from kinfold.evaluate.ranking import (
    Rankings,
    check_cutoffs,
    check_rankings,
    mean_of_scored,
)

_PROTOCOLS = {
    "easy": (("easy",), ("hard", "junk")),
    "medium": (("easy", "hard"), ("junk",)),
    "hard": (("hard",), ("easy", "junk")),
}


@dataclass(frozen=True, slots=True, eq=False)
class ProtocolScores:
    """What one protocol measured; every score is a share in [0, 1].

    Means are over the queries that have positives, and NaN if there are none.

    Attributes
    ----------
    mean_average_precision:
        Mean of `average_precision` without its NaN.
    average_precision:
        (m,) float64, trapezoid rule; NaN for a query without positives.
    precision_at:
        k → mP@k, the mean of the precision at min(k, rank of the last positive).
    queries:
        How many queries were scored.
    """

    mean_average_precision: float
    average_precision: Floats
    precision_at: dict[int, float]
    queries: int


def revisited(
    rankings: npt.ArrayLike,
    ground_truth: Sequence[Mapping[str, npt.ArrayLike]],
    ks: Sequence[int] = (1, 5, 10),
) -> dict[str, ProtocolScores]:
    """Score rankings by the Easy, Medium and Hard protocols.

    AP is summed by the trapezoid rule. Precision at k is read at rank min(k, r), r the rank of
    the last positive, so a query with few positives can reach 1. A truncated ranking that
    misses a positive does not show r; its precision is then read at k itself, which never
    exceeds that of the full ranking and equals it unless the ranking ends before k.

    Parameters
    ----------
    rankings:
        (m, k) integers; gallery positions, best first, -1 at the end of short rows. May be
        truncated: items that are not listed count as not found. Not changed.
    ground_truth:
        m mappings with the keys ``easy``, ``hard`` and ``junk``, each a list of gallery
        positions; other keys are ignored.
    ks:
        Ranks at which precision is read off, from 1, after the junk is deleted.

    Returns
    -------
    dict
        ``"easy"``, ``"medium"`` and ``"hard"`` → `ProtocolScores`.

    Raises
    ------
    InputError
        If a shape, dtype, position or rank is wrong, a key is missing, the number of mappings
        is not m, or the lists of one query share a position.
    """
    cutoffs = check_cutoffs(ks, "ks")
    checked = check_rankings(rankings)
    if len(ground_truth) != len(checked):
        raise InputError(
            f"ground_truth: expected one entry for each of the {len(checked)} rows of rankings, "
            f"found {len(ground_truth)}; rank every query, in the order of the ground truth"
        )
    entries = [check_entry(entry, query) for query, entry in enumerate(ground_truth)]
    return {
        name: _score_protocol(checked, entries, positives, deleted, cutoffs)
        for name, (positives, deleted) in _PROTOCOLS.items()
    }


def _score_protocol(
    checked: Rankings,
    entries: list[dict[str, Int64s]],
    positives: tuple[str, ...],
    deleted: tuple[str, ...],
    cutoffs: tuple[int, ...],
) -> ProtocolScores:
    scores = np.full(len(checked), np.nan)
    precisions = np.full((len(cutoffs), len(checked)), np.nan)
    for query, entry in enumerate(entries):
        relevant = np.concatenate([entry[key] for key in positives])
        if relevant.size == 0:
            continue
        junk = np.concatenate([entry[key] for key in deleted])
        ranks = ranks_of(checked.row(query), relevant, junk)
        scores[query] = score_ranks(ranks, len(relevant), "trapezoid")
        precisions[:, query] = [_precision(ranks, len(relevant), k) for k in cutoffs]
    return ProtocolScores(
        mean_average_precision=mean_of_scored(scores),
        average_precision=scores,
        precision_at={k: mean_of_scored(row) for k, row in zip(cutoffs, precisions, strict=True)},
        queries=int(np.count_nonzero(~np.isnan(scores))),
    )


def _precision(ranks: Int64s, total: int, k: int) -> float:
    all_found = len(ranks) == total
    depth = min(k, int(ranks[-1])) if all_found else k
    return float(np.searchsorted(ranks, depth, side="right") / depth)
