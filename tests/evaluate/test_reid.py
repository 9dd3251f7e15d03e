from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinfold.errors import InputError
from kinfold.evaluate import average_precisions, reid

from .cases import Case, cases, cut, pad

RANKS = (1, 2, 5)


def slow_reid(case: Case):
    """Delete the junk and count, one query and one item at a time."""
    precisions, penalties, firsts = [], [], []
    for query, identity in enumerate(case.query_labels):
        camera = case.query_cameras[query]
        matches, junk = [], []
        for item, other in enumerate(case.gallery_labels):
            if other < 0 or (other == identity and case.gallery_cameras[item] == camera):
                junk.append(item)
            elif other == identity:
                matches.append(item)
        if not matches:
            precisions.append(math.nan)
            continue
        kept = [item for item in case.row(query) if item not in junk]
        ranks = [rank for rank, item in enumerate(kept, start=1) if item in matches]
        area = 0.0
        for found, rank in enumerate(ranks, start=1):
            area += found / rank
        precisions.append(area / len(matches))
        penalties.append(len(matches) / ranks[-1] if len(ranks) == len(matches) else 0.0)
        firsts.append(ranks[0] if ranks else math.inf)
    return precisions, penalties, firsts


def score(case: Case):
    return reid(
        case.rankings,
        case.query_labels,
        case.query_cameras,
        case.gallery_labels,
        case.gallery_cameras,
        RANKS,
    )


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


@given(cases())
def test_equals_counting(case: Case):
    scores = score(case)
    precisions, penalties, firsts = slow_reid(case)
    np.testing.assert_allclose(scores.average_precision, precisions, rtol=0, atol=1e-12)
    scored = [value for value in precisions if not math.isnan(value)]
    assert scores.queries == len(scored)
    assert scores.mean_average_precision == pytest.approx(mean(scored), nan_ok=True)
    assert scores.mean_inverse_negative_penalty == pytest.approx(mean(penalties), nan_ok=True)
    for rank in RANKS:
        reached = mean([float(first <= rank) for first in firsts])
        assert scores.cmc[rank] == pytest.approx(reached, nan_ok=True)


@given(cases())
def test_junk_counts_as_if_it_had_been_deleted(case: Case):
    with_junk = score(case)
    rows = []
    for query, identity in enumerate(case.query_labels):
        rows.append(
            [
                item
                for item in case.row(query)
                if case.gallery_labels[item] >= 0
                and not (
                    case.gallery_labels[item] == identity
                    and case.gallery_cameras[item] == case.query_cameras[query]
                )
            ]
        )
    case.rankings = pad(rows)
    deleted = score(case)
    np.testing.assert_array_equal(with_junk.average_precision, deleted.average_precision)
    np.testing.assert_equal(with_junk.cmc, deleted.cmc)
    np.testing.assert_equal(
        with_junk.mean_inverse_negative_penalty, deleted.mean_inverse_negative_penalty
    )


@given(cases(truncated=False), st.integers(1, 14))
def test_a_truncated_ranking_never_scores_more(case: Case, width):
    full = score(case)
    case.rankings = cut(case.rankings, width)
    short = score(case)
    if full.queries:
        assert short.mean_average_precision <= full.mean_average_precision + 1e-12
        assert short.mean_inverse_negative_penalty <= full.mean_inverse_negative_penalty + 1e-12
        assert all(short.cmc[rank] <= full.cmc[rank] for rank in RANKS)


@given(cases())
def test_agrees_with_average_precision_over_lists(case: Case):
    matches, junk = [], []
    for identity, camera in zip(case.query_labels, case.query_cameras, strict=True):
        same = (case.gallery_labels == identity) & (identity >= 0)
        here = case.gallery_cameras == camera
        matches.append(np.flatnonzero(same & ~here))
        junk.append(np.flatnonzero((same & here) | (case.gallery_labels < 0)))
    expected = average_precisions(case.rankings, matches, junk=junk)
    np.testing.assert_array_equal(score(case).average_precision, expected)


def test_by_hand():
    # Kept of the ranking: id 8, id 7 (match), id 8, id 7 (match); R = 2.
    gallery_ids = [7, 8, -1, 7, 8, 7]
    gallery_cameras = ["north", "north", "south", "south", "south", "east"]
    rankings = [[0, 2, 1, 3, 4, 5], [0, 1, 2, 3, 4, 5]]
    scores = reid(rankings, [7, 9], ["north", "north"], gallery_ids, gallery_cameras)
    np.testing.assert_allclose(scores.average_precision, [(1 / 2 + 2 / 4) / 2, np.nan])
    assert scores.mean_average_precision == 0.5
    assert scores.cmc == {1: 0.0, 5: 1.0, 10: 1.0}
    assert scores.mean_inverse_negative_penalty == 0.5
    assert scores.queries == 1


def test_a_perfect_ranking_scores_one():
    scores = reid([[2, 0, 1, 3]], [5], [1], [5, 6, 5, 6], [2, 2, 3, 1])
    assert scores.mean_average_precision == 1
    assert scores.mean_inverse_negative_penalty == 1
    assert scores.cmc == {1: 1.0, 5: 1.0, 10: 1.0}


def test_seen_by_one_camera_only_gives_no_score():
    scores = reid([[0, 1]], [5], [1], [5, 5], [1, 1])
    assert scores.queries == 0
    assert math.isnan(scores.mean_average_precision)
    assert math.isnan(scores.mean_inverse_negative_penalty)
    assert math.isnan(scores.cmc[1])


GOOD = {
    "rankings": [[0, 1]],
    "query_ids": [1],
    "query_cameras": [0],
    "gallery_ids": [1, 2],
    "gallery_cameras": [1, 1],
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rankings": [[0, 0]]}, "found 0 for query 0 at ranks 1 and 2"),
        ({"rankings": [[0, 2]]}, r"\[-1, 2\), found 2"),
        ({"rankings": [[]]}, r"found shape \(1, 0\)"),
        ({"query_ids": [1, 2]}, "query_ids: expected 1 labels"),
        ({"query_ids": ["a"]}, "query_ids: expected integer ids, found dtype <U1"),
        ({"gallery_ids": ["a", "b"]}, "gallery_ids: expected integer ids"),
        ({"gallery_ids": []}, "gallery_ids: expected one label a gallery item"),
        ({"query_cameras": []}, "query_cameras: expected 1 labels"),
        ({"gallery_cameras": [1]}, "gallery_cameras: expected 2 cameras, .* found 1"),
        ({"gallery_cameras": ["a", "b"]}, "found integers for queries and strings"),
        ({"ranks": [0]}, "ranks: expected integers from 1"),
    ],
)
def test_what_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        reid(**(GOOD | change))
