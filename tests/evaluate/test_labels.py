from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinfold.errors import InputError
from kinfold.evaluate import average_precisions, score_by_labels

from .cases import Case, cases, cut

KS = (1, 2, 5, 30)


def slow_scores(case: Case) -> dict[str, object]:
    """Precision and recall, counted item by item."""
    precision: dict[int, list[float]] = {k: [] for k in KS}
    recall: dict[int, list[float]] = {k: [] for k in KS}
    for query, label in enumerate(case.query_labels):
        total = sum(1 for other in case.gallery_labels if other == label)
        if total == 0:
            continue
        for k in KS:
            found = 0
            for item in case.row(query)[:k]:
                if case.gallery_labels[item] == label:
                    found += 1
            precision[k].append(found / k)
            recall[k].append(found / total)
    return {"precision": precision, "recall": recall}


def mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def score(case: Case, **options):
    return score_by_labels(case.rankings, case.query_labels, case.gallery_labels, KS, **options)


@given(cases(), st.sampled_from(["rectangle", "trapezoid"]))
def test_equals_counting(case: Case, rule):
    scores = score(case, rule=rule)
    slow = slow_scores(case)
    curve = scores.precision_curve(max(KS))
    for k in KS:
        assert scores.precision_at[k] == pytest.approx(mean(slow["precision"][k]), nan_ok=True)
        assert scores.recall_at[k] == pytest.approx(mean(slow["recall"][k]), nan_ok=True)
        assert curve[k - 1] == pytest.approx(scores.precision_at[k], nan_ok=True)
    assert scores.queries == len(slow["recall"][1])
    relevant = [case.same_label(query) for query in range(len(case.rankings))]
    expected = average_precisions(case.rankings, relevant, rule=rule)
    np.testing.assert_array_equal(scores.average_precision, expected)
    assert scores.mean_average_precision == pytest.approx(
        mean([value for value in expected if not math.isnan(value)]), nan_ok=True
    )


@given(cases(truncated=False), st.integers(1, 14))
def test_a_truncated_ranking_never_scores_more(case: Case, width):
    full = score(case)
    case.rankings = cut(case.rankings, width)
    short = score(case)
    if full.queries:
        assert short.mean_average_precision <= full.mean_average_precision + 1e-12
        for k in KS:
            assert short.recall_at[k] <= full.recall_at[k] + 1e-12
            assert short.precision_at[k] <= full.precision_at[k] + 1e-12


@given(cases())
def test_names_score_like_numbers(case: Case):
    numbers = score(case)
    names = np.array(["café", "b", "", "a longer name", "z"])
    variants = [names, names.astype(object), np.char.encode(names, "utf-8")]
    variants.append(names.astype(np.dtypes.StringDType()))
    for kind in variants:
        case_by_name = score_by_labels(
            case.rankings, kind[case.query_labels], kind[case.gallery_labels], KS
        )
        np.testing.assert_array_equal(case_by_name.average_precision, numbers.average_precision)
        np.testing.assert_equal(case_by_name.precision_at, numbers.precision_at)
        np.testing.assert_equal(case_by_name.recall_at, numbers.recall_at)


def test_by_hand():
    rankings = [[0, 1, 2, 3], [3, 2, 1, 0], [0, 1, 2, 3]]
    scores = score_by_labels(rankings, ["a", "b", "none"], ["a", "b", "a", "b"], ks=(1, 2, 4))
    np.testing.assert_allclose(scores.average_precision, [5 / 6, 5 / 6, np.nan])
    assert scores.mean_average_precision == pytest.approx(5 / 6)
    assert scores.precision_at == {1: 1.0, 2: 0.5, 4: 0.5}
    assert scores.recall_at == {1: 0.5, 2: 0.5, 4: 1.0}
    assert scores.queries == 2
    assert scores.hits_by_rank.tolist() == [2, 0, 2, 0]
    np.testing.assert_allclose(scores.precision_curve(5), [1, 1 / 2, 2 / 3, 1 / 2, 2 / 5])


def test_a_perfect_ranking_scores_one():
    labels = np.repeat(np.arange(5), 4)
    rankings = np.argsort(labels[None, :] != np.arange(5)[:, None], axis=1, kind="stable")
    for rule in ("rectangle", "trapezoid"):
        scores = score_by_labels(rankings, np.arange(5), labels, ks=(4,), rule=rule)
        assert scores.mean_average_precision == 1
        assert scores.precision_at == {4: 1.0}
        assert scores.recall_at == {4: 1.0}


def test_labels_that_never_match_give_no_score():
    scores = score_by_labels([[0]], [1], [2], ks=(1,))
    assert scores.queries == 0
    assert math.isnan(scores.mean_average_precision)
    assert math.isnan(scores.precision_at[1])
    assert math.isnan(scores.recall_at[1])
    assert np.isnan(scores.precision_curve(3)).all()


def test_booleans_and_large_unsigned_labels():
    assert score_by_labels([[1, 0]], [True], [0, 1]).mean_average_precision == 1
    large = np.array([2**62 + 1, 2**62], dtype=np.uint64)
    assert score_by_labels([[0, 1]], large[1:], large).mean_average_precision == 0.5


def test_no_ranks_to_read_off():
    scores = score_by_labels([[0]], [1], [1], ks=())
    assert scores.precision_at == scores.recall_at == {}


GOOD = {"rankings": [[0, 1], [1, 0]], "query_labels": [0, 1], "gallery_labels": [0, 1]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query_labels": [0]}, r"query_labels: expected 2 labels, .* found shape \(1,\)"),
        ({"query_labels": [0, 1, 1]}, r"query_labels: expected 2 labels, .* found shape \(3,\)"),
        ({"gallery_labels": [0]}, r"\[-1, 1\), found 1 for query 0 at rank 2"),
        ({"gallery_labels": []}, r"gallery_labels: expected one label .* found shape \(0,\)"),
        ({"gallery_labels": [[0, 1]]}, r"gallery_labels: .* found shape \(1, 2\)"),
        ({"gallery_labels": ["a", "b"]}, "found integers for queries and strings for the gallery"),
        ({"gallery_labels": [0.0, 1.0]}, "expected integers or strings, found dtype float64"),
        ({"gallery_labels": [None, "a"]}, "found other or mixed types"),
        ({"gallery_labels": [[0], [1, 2]]}, "sequences of different lengths"),
        ({"rankings": [[0, 0], [1, 0]]}, "found 0 for query 0 at ranks 1 and 2"),
        ({"rankings": [0, 1]}, r"expected shape \(queries, items\)"),
        ({"ks": (0,)}, "ks: expected integers from 1, found 0"),
        ({"rule": "square"}, "found 'square'"),
    ],
)
def test_what_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        score_by_labels(**(GOOD | change))


@pytest.mark.parametrize("max_k", [0, -1, 2.5])
def test_a_curve_starts_at_rank_one(max_k):
    with pytest.raises(InputError, match="max_k: expected integers from 1"):
        score_by_labels(**GOOD).precision_curve(max_k)


def test_unsigned_labels_beyond_int64_are_refused():
    with pytest.raises(InputError, match="fit into int64"):
        score_by_labels([[0]], [1], np.array([2**63], dtype=np.uint64))
