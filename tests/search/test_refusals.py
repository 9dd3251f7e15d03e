"""What a search refuses, each with the class it should have and the value that was wrong."""

from __future__ import annotations

import numpy as np
import pytest

import kinfold
from kinfold.errors import InputError, UnknownNameError

ROWS, DIMENSION = 25, 4


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(0).normal(size=(ROWS, DIMENSION))


@pytest.fixture(scope="module")
def index(vectors, tmp_path_factory):
    return kinfold.build(vectors, tmp_path_factory.mktemp("numbers"))


@pytest.fixture(scope="module")
def named(vectors, tmp_path_factory):
    names = [f"item {row}" for row in range(ROWS)]
    return kinfold.build(vectors, tmp_path_factory.mktemp("names"), ids=names)


@pytest.fixture(scope="module")
def by_product(vectors, tmp_path_factory):
    config = kinfold.BuildConfig(metric="inner_product")
    return kinfold.build(vectors, tmp_path_factory.mktemp("products"), config=config)


def queries_with(row, column, value):
    queries = np.ones((6, DIMENSION))
    queries[row, column] = value
    return queries


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        (queries_with(4, 2, np.nan), "found nan in row 4, column 2"),
        (queries_with(0, 3, np.inf), "found inf in row 0, column 3"),
        (queries_with(5, 0, -np.inf), "found -inf in row 5, column 0"),
        (queries_with(1, 1, 1e39), r"float32 values, found 1e\+39 in row 1, column 1"),
        (queries_with(2, slice(None), 0), "row 2 is all zeros"),
        (np.zeros(DIMENSION), "row 0 is all zeros"),
        (np.ones((2, 5)), "index has dimension 4, the query has 5"),
        (np.ones(3), "index has dimension 4, the query has 3"),
        (1.0, r"shape \(\)"),
        (np.ones((2, 3, 4)), r"shape \(2, 3, 4\)"),
        (np.ones((2, 4), dtype=object), "dtype object"),
        (np.ones((2, 4), dtype=complex), "dtype complex128"),
        (np.ones((2, 4), dtype=bool), "dtype bool"),
        (np.full((2, 4), "1"), "dtype <U1"),
        ("picture.jpg", "dtype <U11"),
        (None, "dtype object"),
        ([], "dimension 0"),
        (np.empty((3, 0)), "dimension 0"),
    ],
)
@pytest.mark.parametrize("model", ["default", "knn"])
def test_queries(index, queries, message, model):
    with pytest.raises(InputError, match=message):
        index.search(queries, 3, model)


def test_rows_of_different_lengths(index):
    with pytest.raises(InputError, match="queries"):
        index.search([[1, 2, 3, 4], [1, 2, 3]])


@pytest.mark.parametrize("k", [0, -1, ROWS + 1, 10**12, 2.0, "3", None, True, np.nan])
def test_k(index, k):
    for search in (index.search, lambda _, k: index.search_by_id([0], k)):
        with pytest.raises(InputError, match=f"k.*{k!r}"):
            search(np.ones(DIMENSION), k)


def test_k_is_held_against_the_gallery(index):
    with pytest.raises(InputError, match="k = 26, but the gallery holds 25 items"):
        index.search(np.ones(DIMENSION), 26)
    with pytest.raises(InputError, match="k = 25, but the gallery holds 24 items besides the item"):
        index.search_by_id([0], 25)
    assert index.search(np.ones(DIMENSION), np.int64(25)).positions.shape == (1, 25)
    assert index.search_by_id([0], 24).positions.shape == (1, 24)


@pytest.mark.parametrize("k_q", [0, -2, ROWS + 1, 1.5, "x", True])
def test_k_q(index, k_q):
    message = f"k_q.*{k_q!r}"
    with pytest.raises(InputError, match=message):
        index.search(np.ones(DIMENSION), 3, k_q=k_q)
    with pytest.raises(InputError, match=message):
        index.search_by_id([0], 3, k_q=k_q)
    with pytest.raises(InputError, match=message):
        index.explain(np.ones(DIMENSION), 0, k_q=k_q)
    assert index.search(np.ones(DIMENSION), 3, k_q=ROWS).positions.shape == (1, 3)


@pytest.mark.parametrize("seeds", ["", "mutual", "Plain", 3])
def test_seeds(index, seeds):
    message = f"expected 'plain' or 'reciprocal' or 'soft', found {seeds!r}"
    with pytest.raises(InputError, match=message):
        index.search(np.ones(DIMENSION), 3, seeds=seeds)
    with pytest.raises(InputError, match=message):
        index.explain(np.ones(DIMENSION), 0, seeds=seeds)


@pytest.mark.parametrize("model", ["", "KNN", "other"])
def test_models(index, model):
    message = f"no model '{model}' in this index; it has: default, knn"
    for call in (
        lambda: index.search(np.ones(DIMENSION), 3, model),
        lambda: index.search_by_id([0], 3, model),
        lambda: index.explain(np.ones(DIMENSION), 0, model),
        lambda: list(index.iterate_rows(model)),
    ):
        with pytest.raises(UnknownNameError, match=message):
            call()


def test_knn_has_nothing_to_explain(index):
    with pytest.raises(InputError, match="plain kNN has nothing to explain"):
        index.explain(np.ones(DIMENSION), 0, "knn")
    with pytest.raises(InputError, match="plain kNN has no matrix C"):
        list(index.iterate_rows("knn"))


def test_only_one_query_is_explained(index):
    with pytest.raises(InputError, match="expected one query, found 2"):
        index.explain(np.ones((2, DIMENSION)), 0)


@pytest.mark.parametrize("item", [-1, ROWS, 10**30, "7", "item 7", 2.0, None])
def test_unknown_ids_of_an_index_of_numbers(index, item):
    message = f"no item has the id {item!r} .*row numbers 0 to 24"
    with pytest.raises(UnknownNameError, match=message):
        index.position(item)
    with pytest.raises(UnknownNameError, match=message):
        index.search_by_id([0, item], 3)
    with pytest.raises(UnknownNameError, match=message):
        index.explain(np.ones(DIMENSION), item)


@pytest.mark.parametrize("item", ["item 25", "item", "", "Item 3", "item 3 ", "ÿ", 3, None, 3.5])
def test_unknown_ids_of_an_index_of_strings(named, item):
    message = f"no item has the id {item!r} .*strings"
    with pytest.raises(UnknownNameError, match=message):
        named.position(item)
    with pytest.raises(UnknownNameError, match=message):
        named.search_by_id(["item 1", item], 3)
    with pytest.raises(UnknownNameError, match=message):
        named.explain(np.ones(DIMENSION), item)


@pytest.mark.parametrize("items", [3, "item 3", np.int64(3)])
def test_one_id_is_no_list_of_ids(index, items):
    with pytest.raises(InputError, match=f"expected a list of ids.*{items}"):
        index.search_by_id(items, 3)


def test_unknown_ids_of_ones_own_numbers(vectors, tmp_path):
    index = kinfold.build(vectors, tmp_path, ids=range(100, 100 + ROWS))
    assert index.position(100) == 0
    for item in (0, 99, 125, "100"):
        with pytest.raises(UnknownNameError, match=f"{item!r} .*integers"):
            index.position(item)


def test_a_zero_query_has_a_product_with_everything(by_product):
    """It is refused where it has no direction, and nowhere else."""
    hits = by_product.search(np.zeros(DIMENSION), ROWS)
    assert hits.reached.tolist() == [0]
    assert sorted(hits.positions[0].tolist()) == list(range(ROWS))


def test_a_refused_query_leaves_the_index_in_order(index):
    before = index.search(np.ones(DIMENSION), 5)
    with pytest.raises(InputError):
        index.search(queries_with(4, 2, np.nan))
    np.testing.assert_array_equal(index.search(np.ones(DIMENSION), 5).scores, before.scores)
