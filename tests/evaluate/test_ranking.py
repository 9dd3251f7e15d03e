from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinfold.errors import InputError
from kinfold.evaluate import check_rankings
from kinfold.evaluate.ranking import check_cutoffs

from .cases import Case, cases


@given(cases())
def test_rows_come_back_without_their_padding(case: Case):
    checked = check_rankings(case.rankings, gallery_size=len(case.gallery_labels))
    assert len(checked) == len(case.rankings)
    for query in range(len(checked)):
        assert checked.row(query).tolist() == case.row(query)
        assert checked.lengths[query] == len(case.row(query))


def test_the_array_is_neither_copied_nor_changed():
    rankings = np.array([[2, 0, -1], [-1, -1, -1]], dtype=np.int32)
    rankings.setflags(write=False)
    assert check_rankings(rankings, gallery_size=3).positions is rankings


@given(st.lists(st.integers(0, 6), min_size=1, max_size=7), st.sampled_from([1, 10**15]))
def test_repeats_are_found_however_large_the_positions(row, scale):
    items = [item * scale for item in row]
    if len(set(items)) == len(items):
        check_rankings([items])
    else:
        with pytest.raises(InputError, match="expected each position once a query"):
            check_rankings([items])


@pytest.mark.parametrize("scale", [1, 10**12])
def test_a_repeat_is_named_with_its_query_and_ranks(scale):
    rankings = np.array([[0, 1, 2, 3, -1], [3, 2, 0, 2, 1]]) * scale
    rankings[0, -1] = -1
    message = f"found {2 * scale} for query 1 at ranks 2 and 4"
    with pytest.raises(InputError, match=message):
        check_rankings(rankings)


@pytest.mark.parametrize(
    ("rankings", "message"),
    [
        ([0, 1, 2], r"found shape \(3,\)"),
        (5, r"found shape \(\)"),
        (np.zeros((1, 2, 2), dtype=int), r"found shape \(1, 2, 2\)"),
        (np.zeros((0, 4), dtype=int), r"neither of them 0, found shape \(0, 4\)"),
        (np.zeros((4, 0), dtype=int), r"found shape \(4, 0\)"),
        ([], r"found shape \(0,\)"),
        ([[0, 1], [0]], "sequences of different lengths"),
        ([[0.0, 1.0]], "expected integers, found dtype float64"),
        ([[True, False]], "expected integers, found dtype bool"),
        ([["a", "b"]], "expected integers, found dtype <U1"),
        (np.array([[2**63, 1]], dtype=np.uint64), "fit into int64, found 9223372036854775808"),
        ([[0, 1], [0, -2]], r"\[-1, 4\), found -2 for query 1 at rank 2"),
        ([[0, 1], [4, 0]], r"\[-1, 4\), found 4 for query 1 at rank 1"),
        ([[0, 1, 2], [3, -1, 0]], "in the row of query 1 at rank 2, before other items"),
        ([[0, 1, 0]], "found 0 for query 0 at ranks 1 and 3"),
    ],
)
def test_what_is_refused(rankings, message):
    with pytest.raises(InputError, match=message):
        check_rankings(rankings, gallery_size=4)


def test_without_a_gallery_size_only_the_lower_bound_is_checked():
    assert check_rankings([[10**9, 0]]).lengths.tolist() == [2]
    with pytest.raises(InputError, match=r"\[-1, the gallery size\), found -7"):
        check_rankings([[0, -7]])


@pytest.mark.parametrize("cutoffs", [10, [0], [1, -1], [1.5], [True], ["1"], [[1]], [[1], [1, 2]]])
def test_ranks_to_read_scores_at(cutoffs):
    with pytest.raises(InputError, match="ks: expected"):
        check_cutoffs(cutoffs, "ks")


def test_ranks_may_be_an_array_or_none_at_all():
    assert check_cutoffs(np.array([1, 20]), "ks") == (1, 20)
    assert check_cutoffs((), "ks") == ()
