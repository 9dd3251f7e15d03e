from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import dense
from oracles.galleries import GALLERIES

from kinfold.affinity import build_graph
from kinfold.arrays import NOTHING
from kinfold.neighbors import NeighborLists

KINDS = ["mutual", "union", "completed"]


def lists_of(ids, values):
    return NeighborLists(np.asarray(ids, dtype=np.uint32), np.asarray(values, dtype=np.float32))


def expected_S(lists, kind, min_degree, gamma):
    values = lists.similarities.astype(float)
    A = dense.affinity_matrix(
        lists.ids.astype(int), values, np.maximum(values, 0) ** gamma, kind, min_degree
    )
    return A, dense.normalised_affinity(A)


def check(lists, k_d, kind, min_degree=2, gamma=3.0):
    """Build, compare with the oracle, and hold the result against what is promised of it."""
    before = lists.ids.copy(), lists.similarities.copy()
    graph = build_graph(lists, k_d, kind, min_degree, gamma)
    np.testing.assert_array_equal(lists.ids, before[0])
    np.testing.assert_array_equal(lists.similarities, before[1])

    A, S = expected_S(lists.first(k_d), kind, min_degree, gamma)
    found = graph.matrix.toarray()
    np.testing.assert_array_equal(found != 0, A != 0)
    np.testing.assert_allclose(found, S, rtol=1e-5, atol=1e-7)
    assert graph.edges == np.count_nonzero(A) // 2
    assert graph.isolated == np.count_nonzero(~A.any(axis=1))
    assert graph.matrix.dtype == np.float32
    np.testing.assert_array_equal(found, found.T)
    assert not found.diagonal().any()
    assert (graph.matrix.data != 0).all()
    for begin, end in zip(graph.matrix.indptr[:-1], graph.matrix.indptr[1:], strict=True):
        assert (np.diff(graph.matrix.indices[begin:end]) > 0).all()
    return graph


@st.composite
def symmetric_similarities(draw):
    """(n, n) with few different values, zero and negative ones among them."""
    n = draw(st.integers(3, 14))
    levels = st.sampled_from([-0.5, 0.0, 0.25, 0.5, 0.75, 1.0])
    values = np.zeros((n, n))
    for i in range(n):
        for j in range(i):
            values[i, j] = values[j, i] = draw(levels)
    return values


@given(
    symmetric_similarities(), st.sampled_from(KINDS), st.integers(0, 3), st.sampled_from([1.0, 3.0])
)
def test_equals_the_definition(values, kind, min_degree, gamma):
    k = min(4, len(values) - 1)
    ids, found = dense.self_join(values, k)
    check(lists_of(ids, found), max(1, k - 1), kind, min(min_degree, max(1, k - 1)), gamma)


@given(symmetric_similarities(), st.sampled_from(KINDS), st.data())
def test_directions_that_disagree_are_averaged(values, kind, data):
    """A similarity model may judge i by j otherwise than j by i."""
    n = len(values)
    tilt = data.draw(st.lists(st.sampled_from([0.0, 0.05, 0.1]), min_size=n, max_size=n))
    ids, found = dense.self_join(values + np.array(tilt)[:, None], min(4, n - 1))
    check(lists_of(ids, found), ids.shape[1], kind, 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gallery", GALLERIES, ids=str)
def test_named_galleries(gallery, kind):
    rows = dense.prepared(gallery.vectors, gallery.metric)
    close = dense.closeness(rows, rows, gallery.metric)
    ids, values = dense.self_join(close, gallery.k_d)
    scale = dense.metric_scale(values, gallery.k_d, gallery.metric)
    values = dense.similarity(values, gallery.metric, scale)
    if gallery.metric == "inner_product":
        values = values / scale
    graph = check(lists_of(ids, values), gallery.k_d, kind, min(2, gallery.k_d))
    S = graph.matrix.toarray()
    assert set(gallery.isolated) <= set(np.flatnonzero(~S.any(axis=1)))
    if kind == "union" and gallery.parts is not None:
        assert len(np.unique(dense.components(S), axis=0)) == gallery.parts


def test_duplicates_are_mutual_although_no_list_holds_them_all():
    """Twenty equal items, lists of three: everybody lists the first ones, who accept them all."""
    ids = [[j for j in range(20) if j != i][:3] for i in range(20)]
    lists = lists_of(ids, np.ones((20, 3)))
    mutual = check(lists, 3, "mutual")
    assert mutual.edges == check(lists, 3, "union").edges == 3 * 20 - 6


def test_only_the_first_k_d_count():
    wide = lists_of([[1, 2], [0, 2], [1, 0]], [[0.9, 0.8], [0.9, 0.7], [0.7, 0.8]])
    assert check(wide, 1, "mutual").edges == 1
    assert check(wide, 2, "mutual").edges == 3


def test_neighbours_that_were_not_found_are_no_edges():
    lists = lists_of(
        [[1, 2], [0, NOTHING], [NOTHING, NOTHING]],
        [[0.9, 0.8], [0.9, -np.inf], [-np.inf, -np.inf]],
    )
    for kind in KINDS:
        graph = build_graph(lists, 2, kind, 1, 1.0).matrix.toarray()
        np.testing.assert_array_equal(graph != 0, [[0, 1, 1], [1, 0, 0], [1, 0, 0]])


def test_completing_gives_one_sided_edges_best_first():
    # Item 4 lists 0, 1 and 2, none of which lists it.
    ids = [[1, 2], [0, 2], [0, 1], [0, 1], [0, 1]]
    values = [[0.9, 0.8], [0.9, 0.8], [0.8, 0.8], [0.3, 0.2], [0.7, 0.6]]
    lists = lists_of(ids, values)
    assert check(lists, 2, "completed", 0).edges == check(lists, 2, "mutual").edges == 3
    one = check(lists, 2, "completed", 1).matrix.toarray()
    np.testing.assert_array_equal(np.flatnonzero(one[4]), [0])
    assert check(lists, 2, "completed", 2).edges == check(lists, 2, "union").edges == 7


def test_a_worthless_mutual_edge_does_not_stand_for_a_good_one():
    """Item 0 likes 1, who has better ones; its other neighbours are at right angles to it.

    Those are "mutual" at similarity 0, but 0 gets no edge from them: its edge to 1 has to be made.
    """
    similarity = np.zeros((6, 6))
    similarity[0, 1] = similarity[1, 0] = 0.5
    similarity[1, 3] = similarity[3, 1] = 0.9
    similarity[1, 4] = similarity[4, 1] = 0.9
    ids, values = dense.self_join(similarity, 2)
    graph = check(lists_of(ids, values), 2, "completed", 1)
    assert graph.matrix.toarray()[0, 1] > 0


@pytest.mark.parametrize("gamma", [0.5, 1.0, 3.0, 20.0])
def test_gamma_is_the_exponent_of_the_affinity(gamma):
    ids, values = [[1, 2], [0, 2], [0, 1]], [[0.9, 0.4], [0.9, 0.7], [0.4, 0.7]]
    S = check(lists_of(ids, values), 2, "mutual", gamma=gamma).matrix.toarray()
    a, b, c = (np.float64(v) ** gamma for v in (0.9, 0.4, 0.7))
    np.testing.assert_allclose(S[0, 1], a / np.sqrt((a + b) * (a + c)), rtol=1e-5)


def test_factors_cancel():
    """S = D^-1/2 A D^-1/2 does not know in which unit similarities were measured."""
    rng = np.random.default_rng(0)
    values = rng.uniform(0.1, 1, size=(30, 30))
    values = (values + values.T) / 2
    ids, found = dense.self_join(values, 5)
    one = build_graph(lists_of(ids, found), 5, "completed", 2, 3.0).matrix.toarray()
    other = build_graph(lists_of(ids, found / 64), 5, "completed", 2, 3.0).matrix.toarray()
    np.testing.assert_allclose(one, other, rtol=1e-6)
