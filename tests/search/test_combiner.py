from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from oracles.galleries import BY_NAME
from oracles.reading import counted_matrix

import kinfold
from kinfold.search.combine import Combiner, entry
from kinfold.search.index import Index

from .conftest import built


@pytest.fixture(scope="module", params=["float8", "float16", "float32"])
def index(request, tmp_path_factory):
    return built(BY_NAME["two parts"], tmp_path_factory.mktemp("index"), dtype=request.param)


def combined(combiner, model, seeds, weights, k):
    found = np.full(k, 77, dtype=np.uint32)
    scores = np.full(k, -1, dtype=np.float32)
    size = combiner.combine(
        model, np.array(seeds, dtype=np.uint32), np.array(weights, dtype=np.float32), found, scores
    )
    return size, found, scores


def test_equals_the_dense_product(index):
    C = counted_matrix(index)
    model = index._stored.models["default"]
    combiner = Combiner(len(index))
    rng = np.random.default_rng(0)
    for _ in range(50):
        seeds = rng.permutation(len(index))[: rng.integers(1, 9)]
        weights = rng.uniform(0, 1, size=len(seeds)) * (rng.random(len(seeds)) < 0.8)
        F = weights @ C[seeds]
        k = int(rng.integers(1, len(index) + 1))
        size, found, scores = combined(combiner, model, seeds, weights, k)
        assert size == min(k, np.count_nonzero(F))
        np.testing.assert_allclose(scores[:size], F[found[:size]], rtol=1e-5)
        np.testing.assert_allclose(scores[:size], np.sort(F)[::-1][:size], rtol=1e-5)
        # What lies behind the last hit is not its business.
        assert set(found[size:]) <= {77}
        assert set(scores[size:]) <= {-1}
        assert not combiner._scratch().scores.any()


def test_scratch_grows_with_the_query(index):
    model = index._stored.models["default"]
    combiner = Combiner(len(index))
    everything = np.arange(len(index))
    stored = int(model.indptr[-1])
    assert stored > 1024
    size, found, _ = combined(combiner, model, everything, np.ones(len(index)), len(index))
    assert size == len(index)
    assert sorted(found.tolist()) == everything.tolist()
    assert combiner._scratch().touched.size > stored


def test_entries(index):
    C = counted_matrix(index)
    model = index._stored.models["default"]
    found = [[entry(model, i, j) for j in range(len(index))] for i in range(len(index))]
    np.testing.assert_allclose(found, C, rtol=1e-7)


def with_model(index, **changes):
    """The same index with some of a model's arrays altered, as a damaged file would have them."""
    model = dataclasses.replace(index._stored.models["default"], **changes)
    return Index(dataclasses.replace(index._stored, models={"default": model}))


def test_a_damaged_row_is_reported_and_leaves_no_trace(index):
    """The queries before and after it, on the same thread, are answered as ever."""
    gallery = BY_NAME["two parts"]
    good, bad = gallery.queries[0], gallery.queries[1]
    hit = int(index.search(bad, 1, "knn").positions[0, 0])
    model = index._stored.models["default"]
    columns = model.columns[0].copy()
    assert len(index) < 128
    columns[model.row(model.slot(hit)).end - 1] = 127
    damaged = with_model(index, columns=[columns])
    before = damaged.search(good, 10, k_q=1)
    for _ in range(2):
        with pytest.raises(kinfold.CorruptIndexError, match=f"out of the gallery of {len(index)}"):
            damaged.search(bad, 10, k_q=1)
        after = damaged.search(good, 10, k_q=1)
        np.testing.assert_array_equal(after.positions, before.positions)
        np.testing.assert_array_equal(after.scores, before.scores)
    with pytest.raises(kinfold.CorruptIndexError, match="cannot be read"):
        list(damaged.iterate_rows())


@pytest.mark.parametrize("item", [70, 71, 2**31, 2**32 - 1])
def test_a_damaged_order_is_reported_and_leaves_no_trace(index, item):
    """Of the items: no position outside comes out, with a filter or without."""
    queries = BY_NAME["two parts"].queries
    model = index._stored.models["default"]
    order = model.order.copy()
    order[model.slot(int(index.search(queries[1], 1, "knn").positions[0, 0]))] = item
    damaged = with_model(index, order=order)
    for allowed in (None, np.ones(len(index), dtype=np.bool_)):
        combiner = Combiner(len(index))
        found, scores = np.zeros(9, dtype=np.uint32), np.zeros(9, dtype=np.float32)
        weights = np.ones(len(index), dtype=np.float32)
        everything = np.arange(len(index), dtype=np.uint32)
        with pytest.raises(kinfold.CorruptIndexError, match="order leads out of the gallery"):
            combiner.combine(
                damaged._stored.models["default"], everything, weights,
                np.zeros(len(index), dtype=np.uint32), np.zeros(len(index), dtype=np.float32),
                allowed,
            )  # fmt: skip
        assert not combiner._scratch().scores.any()
        assert combiner.combine(model, everything, weights, found, scores, allowed) == 9
    with pytest.raises(kinfold.CorruptIndexError, match="order leads out of the gallery"):
        list(damaged.iterate_rows())


def test_a_slot_outside_is_reported(index):
    model = index._stored.models["default"]
    places = model.places.copy()
    places[3] = len(index)
    damaged = with_model(index, places=places)
    for read in (
        lambda: damaged.search(index.vectors[3], 5, k_q=1, seeds="plain"),
        lambda: damaged.explain(index.vectors[3], 0, seeds="plain"),
        lambda: list(damaged.iterate_rows()),
    ):
        with pytest.raises(kinfold.CorruptIndexError, match=f"item 3 claims slot {len(index)}"):
            read()


@pytest.mark.parametrize(("name", "what"), [("indptr", "values"), ("starts", "bytes")])
def test_a_row_that_ends_outside_its_block_is_reported(index, name, what):
    model = index._stored.models["default"]
    ends = getattr(model, name).copy()
    ends[5] = ends[-1] + 1
    damaged = dataclasses.replace(model, **{name: ends})
    with pytest.raises(
        kinfold.CorruptIndexError, match=rf"slot 4 claims {what} .*`kinfold verify`"
    ):
        damaged.row(4)
    assert model.row(4).block == 0


def test_rows_of_several_blocks(index):
    """As a large matrix is stored: split in blocks, each row found in the right one."""
    model = index._stored.models["default"]
    cuts = [0, 1, 30, 69]
    ends = [*cuts[1:], len(index)]
    rows = list(zip(cuts, ends, strict=True))
    split = dataclasses.replace(
        model,
        first_rows=cuts,
        columns=[model.columns[0][int(model.starts[a]) : int(model.starts[b])] for a, b in rows],
        values=[model.values[0][int(model.indptr[a]) : int(model.indptr[b])] for a, b in rows],
    )
    several = Index(dataclasses.replace(index._stored, models={"default": split}))
    np.testing.assert_array_equal(counted_matrix(several), counted_matrix(index))
    queries = BY_NAME["two parts"].queries
    # Block by block, rows are added up in another order: the last bit may differ.
    np.testing.assert_allclose(
        several.search(queries, 30).scores, index.search(queries, 30).scores, rtol=5e-7
    )
