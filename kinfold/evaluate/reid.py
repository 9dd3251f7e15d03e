"""The protocol of person and vehicle re-identification: mAP, CMC and mINP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kinfold.arrays import Floats, Int64s
from kinfold.errors import InputError
from kinfold.evaluate.average_precision import score_ranks
from kinfold.evaluate.label_codes import LabelCodes, check_labels, encode_labels
from kinfold.evaluate.ranking import check_cutoffs, check_rankings, mean_of_scored


@dataclass(frozen=True, slots=True, eq=False)
class ReidScores:
    """What `reid` measured; every score is a share in [0, 1].

    Means are over the queries that another camera has seen, and NaN if there are none.

    Attributes
    ----------
    mean_average_precision:
        Mean of `average_precision` without its NaN.
    average_precision:
        (m,) float64, rectangle rule; NaN for a query that no other camera has seen.
    cmc:
        r → share of queries with a match among the best r (cumulative matching characteristic).
    mean_inverse_negative_penalty:
        mINP, the mean of R / (rank of the last of the R matches).
    queries:
        How many queries were scored.
    """

    mean_average_precision: float
    average_precision: Floats
    cmc: dict[int, float]
    mean_inverse_negative_penalty: float
    queries: int


def reid(
    rankings: npt.ArrayLike,
    query_ids: npt.ArrayLike,
    query_cameras: npt.ArrayLike,
    gallery_ids: npt.ArrayLike,
    gallery_cameras: npt.ArrayLike,
    ranks: Sequence[int] = (1, 5, 10),
) -> ReidScores:
    """Score rankings by identity across cameras.

    A gallery item matches if it has the query's id and another camera. It is junk, deleted from
    the ranking before it is scored, if it has the query's id and the same camera, or an id
    below 0 (the distractors that Market-1501 marks -1; Zheng et al., ICCV 2015). mINP is that
    of Ye et al. (TPAMI 2021); a query with a match missing from a truncated ranking counts 0,
    since the rank of its last match is not known.

    Parameters
    ----------
    rankings:
        (m, k) integers; gallery positions, best first, -1 at the end of short rows. May be
        truncated: items that are not listed count as not found. Not changed.
    query_ids:
        (m,) integers; a query with an id below 0 is not scored.
    query_cameras:
        (m,) integers or strings.
    gallery_ids:
        (n,) integers.
    gallery_cameras:
        (n,) integers or strings, of the same type.
    ranks:
        Ranks at which the CMC is read off, from 1, after the junk is deleted.

    Returns
    -------
    ReidScores

    Raises
    ------
    InputError
        If a shape, dtype, position or rank is wrong, an item is ranked twice for one query, or
        the number of ids or cameras does not fit.
    """
    cutoffs = check_cutoffs(ranks, "ranks")
    seen_ids = _check_ids(gallery_ids, "gallery_ids")
    checked = check_rankings(rankings, gallery_size=len(seen_ids))
    wanted_ids = _check_ids(query_ids, "query_ids", len(checked))
    seen_cameras = check_labels(gallery_cameras, "gallery_cameras")
    if len(seen_cameras) != len(seen_ids):
        raise InputError(
            f"gallery_cameras: expected {len(seen_ids)} cameras, one for each of gallery_ids, "
            f"found {len(seen_cameras)}; give them in the same order"
        )
    people = encode_labels(wanted_ids, seen_ids)
    cameras = encode_labels(
        check_labels(query_cameras, "query_cameras", len(checked)), seen_cameras
    )
    totals = people.totals - _both(people, cameras).totals
    totals[wanted_ids < 0] = 0

    scores = np.full(len(checked), np.nan)
    penalties = np.full(len(checked), np.nan)
    first_ranks = np.full(len(checked), np.inf)
    scored = np.flatnonzero(totals)
    distractor = seen_ids < 0
    for query in scored:
        total = int(totals[query])
        items = checked.row(query)
        same_id = people.gallery[items] == people.query[query]
        same_camera = cameras.gallery[items] == cameras.query[query]
        kept = ~(distractor[items] | (same_id & same_camera))
        match_ranks = np.flatnonzero(same_id[kept]) + 1
        scores[query] = score_ranks(match_ranks, total, "rectangle")
        penalties[query] = total / match_ranks[-1] if len(match_ranks) == total else 0.0
        if match_ranks.size:
            first_ranks[query] = match_ranks[0]
    return ReidScores(
        mean_average_precision=mean_of_scored(scores),
        average_precision=scores,
        cmc={
            r: float((first_ranks[scored] <= r).mean()) if scored.size else float("nan")
            for r in cutoffs
        },
        mean_inverse_negative_penalty=mean_of_scored(penalties),
        queries=len(scored),
    )


def _check_ids(ids: npt.ArrayLike, name: str, length: int | None = None) -> Int64s:
    checked = check_labels(ids, name, length)
    if checked.dtype != np.int64:
        raise InputError(
            f"{name}: expected integer ids, found dtype {checked.dtype}; "
            "number the identities, distractors -1"
        )
    return checked


def _both(people: LabelCodes, cameras: LabelCodes) -> LabelCodes:
    """Codes of the pair (id, camera)."""
    width = int(max(cameras.query.max(), cameras.gallery.max())) + 1
    return encode_labels(
        people.query * width + cameras.query, people.gallery * width + cameras.gallery
    )
