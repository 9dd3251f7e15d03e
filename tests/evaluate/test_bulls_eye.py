from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinfold.errors import InputError
from kinfold.evaluate import bulls_eye, score_by_labels

from .cases import Case, cases, cut


def slow_bulls_eye(case: Case, top: int) -> float:
    found = possible = 0
    for query, label in enumerate(case.query_labels):
        for item in case.row(query)[:top]:
            if case.gallery_labels[item] == label:
                found += 1
        for other in case.gallery_labels:
            if other == label:
                possible += 1
    return found / possible if possible else math.nan


@given(cases(), st.integers(1, 20))
def test_equals_counting(case: Case, top):
    found = bulls_eye(case.rankings, case.query_labels, case.gallery_labels, top)
    assert found == pytest.approx(slow_bulls_eye(case, top), nan_ok=True)
    assert math.isnan(found) or 0 <= found <= 1


@given(cases(truncated=False), st.integers(1, 20), st.integers(1, 14))
def test_a_truncated_ranking_never_scores_more(case: Case, top, width):
    full = bulls_eye(case.rankings, case.query_labels, case.gallery_labels, top)
    short = bulls_eye(cut(case.rankings, width), case.query_labels, case.gallery_labels, top)
    assert math.isnan(full) or short <= full
    if width >= top:
        np.testing.assert_equal(short, full)


def test_equals_recall_where_all_classes_have_one_size():
    labels = np.repeat(np.arange(7), 20)
    rng = np.random.default_rng(0)
    rankings = np.stack([rng.permutation(140) for _ in range(140)])
    recall = score_by_labels(rankings, labels, labels, ks=(40,)).recall_at[40]
    assert bulls_eye(rankings, labels, labels) == pytest.approx(recall)


def test_a_perfect_ranking_scores_one():
    labels = np.repeat(["bird", "key"], 20)
    rankings = np.argsort(labels[None, :] != np.array(["bird", "key"])[:, None], kind="stable")
    assert bulls_eye(rankings, ["bird", "key"], labels) == 1
    assert bulls_eye(rankings, ["bird", "key"], labels, top=10) == 0.5


def test_labels_that_never_match_give_no_score():
    assert math.isnan(bulls_eye([[0]], ["a"], ["b"]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"top": 0}, "top: expected integers from 1, found 0"),
        ({"query_labels": [1, 1]}, "query_labels: expected 1 labels"),
        ({"gallery_labels": []}, "gallery_labels: expected one label"),
        ({"rankings": [[0, 0]]}, "found 0 for query 0 at ranks 1 and 2"),
        ({"rankings": [0]}, r"found shape \(1,\)"),
    ],
)
def test_what_is_refused(change, message):
    good = {"rankings": [[0, 1]], "query_labels": [1], "gallery_labels": [1, 2]}
    with pytest.raises(InputError, match=message):
        bulls_eye(**(good | change))
