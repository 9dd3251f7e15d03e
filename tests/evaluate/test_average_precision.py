from __future__ import annotations

import doctest
import importlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinfold.errors import InputError
from kinfold.evaluate import average_precision, average_precisions, mean_average_precision

from .cases import Case, agree, cases, cut, pad, ranked_hits

RULES = st.sampled_from(["rectangle", "trapezoid"])


def slow_average_precision(hits: list[bool], total: int, rule: str) -> float:
    """Walk along the precision-recall curve, one ranked item at a time."""
    if total == 0:
        return math.nan
    area, found, last_recall, last_precision = 0.0, 0, 0.0, 1.0
    for rank, hit in enumerate(hits, start=1):
        found += hit
        recall, precision = found / total, found / rank
        height = precision if rule == "rectangle" else (last_precision + precision) / 2
        area += (recall - last_recall) * height
        last_recall, last_precision = recall, precision
    return area


@pytest.mark.parametrize(("rule", "expected"), [("trapezoid", 0.7917), ("rectangle", 0.8333)])
def test_the_two_rules_differ_where_the_second_hit_is_third(rule, expected):
    assert round(average_precision([True, False, True], 2, rule), 4) == expected
    assert round(average_precision([True, True], 2, rule, ranks=[1, 3]), 4) == expected
    assert round(mean_average_precision([[7, 2, 5]], [[5, 7]], rule=rule), 4) == expected


@pytest.mark.parametrize(
    ("hits", "total", "rectangle", "trapezoid"),
    [
        ([], 3, 0.0, 0.0),
        ([False, False], 1, 0.0, 0.0),
        ([False, True], 1, 1 / 2, 1 / 4),
        ([True], 4, 1 / 4, 1 / 4),
        ([True, True], 2, 1.0, 1.0),
    ],
)
def test_by_hand(hits, total, rectangle, trapezoid):
    assert average_precision(hits, total) == pytest.approx(rectangle)
    assert average_precision(hits, total, "trapezoid") == pytest.approx(trapezoid)


@given(ranked_hits(), RULES)
def test_equals_the_walk_along_the_curve(case, rule):
    hits, total = case
    found = average_precision(hits, total, rule)
    expected = slow_average_precision(hits, total, rule)
    assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert math.isnan(found) if total == 0 else 0 <= found <= 1


@given(ranked_hits(), RULES)
def test_ranks_may_skip_what_is_not_relevant(case, rule):
    hits, total = case
    ranks = [rank for rank, hit in enumerate(hits, start=1) if hit]
    skipped = average_precision([True] * len(ranks), total, rule, ranks=ranks)
    assert agree(skipped, average_precision(hits, total, rule))


@given(ranked_hits(), st.integers(0, 10), RULES)
def test_irrelevant_items_at_the_end_change_nothing(case, extra, rule):
    hits, total = case
    longer = average_precision(hits + [False] * extra, total, rule)
    assert agree(longer, average_precision(hits, total, rule))


@given(ranked_hits(), st.integers(0, 20), RULES)
def test_a_truncated_ranking_never_scores_more(case, length, rule):
    hits, total = case
    if total:
        cut_short = average_precision(hits[:length], total, rule)
        assert cut_short <= average_precision(hits, total, rule) + 1e-12


@given(st.integers(1, 30), st.integers(0, 30), RULES)
def test_a_perfect_ranking_scores_one(total, others, rule):
    assert average_precision([True] * total + [False] * others, total, rule) == 1


def test_without_relevant_items_there_is_no_score():
    assert math.isnan(average_precision([False, False], 0))
    assert math.isnan(average_precision([], 0))
    assert math.isnan(mean_average_precision([[0, 1]], [[]]))


@given(cases(), RULES)
def test_rankings_score_like_their_hits(case: Case, rule):
    relevant = [case.same_label(query) for query in range(len(case.rankings))]
    scores = average_precisions(case.rankings, relevant, rule=rule)
    expected = [
        slow_average_precision([item in good for item in case.row(query)], len(good), rule)
        for query, good in enumerate(relevant)
    ]
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-12)
    scored = [score for score in expected if not math.isnan(score)]
    mean = mean_average_precision(case.rankings, relevant, rule=rule)
    assert mean == pytest.approx(sum(scored) / len(scored) if scored else math.nan, nan_ok=True)


@given(cases(), RULES)
def test_junk_counts_as_if_it_had_been_deleted(case: Case, rule):
    queries = range(len(case.rankings))
    relevant = [case.same_label(query) for query in queries]
    junk = [
        [
            item
            for item, camera in enumerate(case.gallery_cameras)
            if camera == case.query_cameras[query] and item not in relevant[query]
        ]
        for query in queries
    ]
    deleted = pad([[item for item in case.row(q) if item not in junk[q]] for q in queries])
    with_junk = average_precisions(case.rankings, relevant, junk=junk, rule=rule)
    np.testing.assert_array_equal(with_junk, average_precisions(deleted, relevant, rule=rule))
    unmoved = average_precisions(case.rankings, relevant, rule=rule)
    assert all(np.isnan(with_junk) | (with_junk >= unmoved - 1e-12))


@given(cases(truncated=False), st.integers(1, 14), RULES)
def test_truncated_rankings_never_score_more(case: Case, width, rule):
    relevant = [case.same_label(query) for query in range(len(case.rankings))]
    full = average_precisions(case.rankings, relevant, rule=rule)
    short = average_precisions(cut(case.rankings, width), relevant, rule=rule)
    assert all(np.isnan(full) | (short <= full + 1e-12))


def test_queries_without_relevant_items_are_left_out_of_the_mean():
    rankings = np.array([[0, 1, 2], [2, 1, 0], [1, 0, 2]])
    relevant = [[0], [], [0]]
    scores = average_precisions(rankings, relevant)
    np.testing.assert_array_equal(scores, [1, np.nan, 0.5])
    assert mean_average_precision(rankings, relevant) == 0.75


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64, np.uint16, np.uint64])
def test_every_integer_dtype_is_read_and_left_alone(dtype):
    rankings = np.array([[3, 1, 0], [2, 0, 1]], dtype=dtype)
    relevant = [np.array([1], dtype=dtype), np.array([2, 1], dtype=dtype)]
    rankings.setflags(write=False)
    relevant[1].setflags(write=False)
    np.testing.assert_allclose(average_precisions(rankings, relevant), [1 / 2, (1 + 2 / 3) / 2])


def test_positions_far_apart_need_no_table():
    far = 10**17
    assert mean_average_precision([[far, 5, 3 * far]], [[5, far]], junk=[[3 * far]]) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: average_precision([True], 1, "middle"),
            "'rectangle', 'trapezoid', found 'middle'",
        ),
        (lambda: average_precision([1, 0], 1), "booleans, found shape .2,., dtype int64"),
        (lambda: average_precision([[True]], 1), "one-dimensional"),
        (lambda: average_precision([True], -1), "integer from 0, found -1"),
        (lambda: average_precision([True], 1.5), "integer from 0, found 1.5"),
        (lambda: average_precision([True], True), "integer from 0, found True"),
        (lambda: average_precision([True, True], 1), "at least the 2 hits"),
        (lambda: average_precision([True], 1, ranks=[1, 2]), "each of the 1 entries"),
        (lambda: average_precision([True, True], 2, ranks=[2, 2]), "strictly increasing"),
        (lambda: average_precision([True, True], 2, ranks=[0, 1]), "integers from 1"),
        (
            lambda: average_precision([True], 1, ranks=[1.0]),
            "expected integers, found dtype float64",
        ),
    ],
)
def test_what_one_ranking_refuses(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_an_empty_ranking_takes_empty_ranks():
    assert average_precision([], 2, ranks=[]) == 0


@pytest.mark.parametrize(
    ("relevant", "options", "message"),
    [
        ([[0]], {}, "relevant: expected one list for each of the 2 rows of rankings, found 1"),
        ([[0], [0, 0]], {}, r"relevant\[1\]: expected each position once, found 0"),
        ([[0], [-1]], {}, r"relevant\[1\]: expected positions from 0, found -1"),
        ([[0.5], [0]], {}, r"relevant\[0\]: expected integers, found dtype float64"),
        ([[True], [0]], {}, r"relevant\[0\]: expected integers, found dtype bool"),
        ([0, 1], {}, r"relevant\[0\]: expected a list of gallery positions"),
        ([[0], [1]], {"junk": [[1]]}, "junk: expected one list for each of the 2 rows"),
        ([[0], [1]], {"junk": [[1], [1]]}, r"relevant\[1\] and junk\[1\]: .* found 1"),
        ([[0], [1]], {"rule": "other"}, "rule: expected one of"),
    ],
)
def test_what_lists_refuse(relevant, options, message):
    with pytest.raises(InputError, match=message):
        mean_average_precision([[0, 1], [1, 0]], relevant, **options)


def test_the_examples_in_the_documentation():
    module = importlib.import_module("kinfold.evaluate.average_precision")
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0
