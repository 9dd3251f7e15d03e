"""Models in passes: how rows are cut into blocks, and who computes them, changes nothing."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
from oracles import models as oracle

from kinfold.arrays import NOTHING
from kinfold.blocks import LocalRunner, MemoryPasses, cut
from kinfold.config import SimilaritySpec
from kinfold.neighbors import NeighborLists
from kinfold.similarity import apply_models, flat, resolve
from kinfold.similarity.flat import in_memory
from kinfold.similarity.reciprocal import expanded_sets, reciprocal_sets

MODELS = [
    ("mean", {}),
    ("cas", {"k1": 6, "keep": 12}),
    ("cas", {"k1": 6, "bsd": False, "omega": 0.3}),
    ("cas", {"k1": 6, "nss": False, "propagate": False}),
    ("k-reciprocal", {"k1": 5, "k2": 3, "keep": 9}),
]


class ReadOnly(MemoryPasses):
    """As results come from a disk; and every task goes to another process and back."""

    def __init__(self, threads):
        super().__init__(LocalRunner(threads))
        self.names = []

    def run(self, name, task, arrays, blocks, rows=None):
        self.names.append(name)
        assert blocks[-1][1] == len(next(iter(arrays.values()))) or "ids" not in arrays
        task = pickle.loads(pickle.dumps(task))  # noqa: S301
        result = super().run(name, task, arrays, blocks, rows)
        for array in result.values():
            array.flags.writeable = False
        return result


class Remembering(ReadOnly):
    """Passes of a build that was killed in round 3 of a repeated pass, and goes on."""

    def __init__(self, threads):
        super().__init__(threads)
        self.kept, self.stop = {}, True

    def last_round(self, name):
        return self.kept.get(name)

    def next_round(self, name, number, task, arrays, blocks):
        if number == 3 and self.stop:
            self.stop = False
            raise InterruptedError
        result = super().next_round(name, number, task, arrays, blocks)
        self.kept[name] = (number, result)
        return result


def rough(n=170, k=20, seed=0):
    """Lists with ties, duplicates, holes, items that nobody lists, and two sides that disagree."""
    generator = np.random.default_rng(seed)
    places = np.repeat(generator.normal(size=(n // 2, 4)), 2, axis=0)
    places[: n // 3] += 0.3 * generator.normal(size=(n // 3, 4))
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    close = np.round(places @ places.T, 2) + 0.01 * generator.integers(0, 2, size=(n, n))
    np.fill_diagonal(close, -9)
    ids = np.argsort(-close, axis=1, kind="stable")[:, :k]
    values = np.minimum(np.take_along_axis(close, ids, axis=1), 1).astype(np.float32)
    ids = ids.astype(np.uint32)
    known = np.full(n, k)
    known[::7] = generator.integers(0, k, size=len(known[::7]))
    known[:2] = 0, 1
    hole = np.arange(k) >= known[:, None]
    ids[hole], values[hole] = NOTHING, -np.inf
    return NeighborLists(ids, values)


@pytest.fixture(params=MODELS, ids=lambda given: f"{given[0]}-{len(given[1])}")
def model(request):
    name, parameters = request.param
    return resolve(SimilaritySpec(name=name, parameters=parameters))


def test_neither_blocks_nor_threads_nor_read_only_arrays_change_a_bit(model, monkeypatch):
    lists = rough()
    expected = model.recalculate(lists, None)
    assert np.isfinite(expected).all()
    assert (expected[lists.ids == NOTHING] == 0).all()
    lists.ids.flags.writeable = lists.similarities.flags.writeable = False
    for step, threads in ((1 << 15, 2), (64, 1), (37, 3)):
        monkeypatch.setattr(flat, "BLOCK_ROWS", step)
        found = model.recalculate(lists, None, passes=ReadOnly(threads))
        np.testing.assert_array_equal(found, expected)


def test_views_of_wider_lists_will_do(model):
    lists = rough()
    narrow = lists.first(12)
    copied = NeighborLists(narrow.ids.copy(), narrow.similarities.copy())
    np.testing.assert_array_equal(model.recalculate(narrow, None), model.recalculate(copied, None))


def test_names_of_passes_are_their_own():
    """Two members of the same kind, in a chain of two models: no name twice."""
    twice = SimilaritySpec(
        name="mean", parameters={"of": [{"name": "cas"}, {"name": "cas", "parameters": {"k1": 5}}]}
    )
    passes = ReadOnly(1)
    chain = [resolve(twice), resolve(SimilaritySpec(name="k-reciprocal", parameters={"k1": 5}))]
    lists = apply_models(chain, rough(), None, passes=passes)
    assert len(set(passes.names)) == len(passes.names)
    assert all(re.fullmatch(r"[A-Za-z0-9-]+", name) for name in passes.names)
    assert {name.split("-")[0] for name in passes.names} == {"0", "1"}
    plain = apply_models(chain, rough(), None)
    np.testing.assert_array_equal(lists.ids, plain.ids)
    np.testing.assert_array_equal(lists.similarities, plain.similarities)


def test_a_killed_diffusion_goes_on_where_it_was():
    model = resolve(SimilaritySpec(name="cas", parameters={"k1": 6}))
    passes = Remembering(2)
    with pytest.raises(InterruptedError):
        model.recalculate(rough(), None, passes=passes)
    first = passes.names.count("bsd-0")
    found = model.recalculate(rough(), None, passes=passes)
    assert passes.names.count("bsd-0") == first == 1
    np.testing.assert_array_equal(found, model.recalculate(rough(), None))
    # Done already: not one round more.
    rounds = sum(name.startswith("bsd-") for name in passes.names)
    model.recalculate(rough(), None, passes=passes)
    assert sum(name.startswith("bsd-") for name in passes.names) == rounds


@pytest.mark.parametrize("k", [1, 4, 7])
def test_sets_are_those_of_the_definition(k):
    generator = np.random.default_rng(k)
    n = 80
    # Any order at all: lists without symmetry.
    order = np.array([[j for j in generator.permutation(n) if j != i] for i in range(n)])
    close = np.abs(order - np.arange(n)[:, None]) % 20
    order = np.take_along_axis(order, np.argsort(close, axis=1, kind="stable"), axis=1)
    lists = NeighborLists(order.astype(np.uint32), np.zeros(order.shape, dtype=np.float32))
    passes = in_memory()
    pairs = reciprocal_sets(lists, k, passes)
    sets, grown = oracle.expanded(order, k)
    for found, expected in (
        (pairs.sets, sets),
        (pairs.half, oracle.reciprocal(order, max(1, round(k / 2)))),
        (expanded_sets(lists, pairs, passes, both=False), grown),
        (expanded_sets(lists, pairs, passes, both=True), grown | grown.T),
    ):
        assert found.indptr.dtype == np.int64
        assert found.columns.dtype == np.uint32
        for i in range(n):
            row = found.columns[found.indptr[i] : found.indptr[i + 1]]
            np.testing.assert_array_equal(row, np.flatnonzero(expected[i]))


def test_blocks_cover_all_rows():
    assert cut(10, 4) == [(0, 4), (4, 8), (8, 10)]
    assert flat.blocks_of(rough(), flat.in_memory())[-1][1] == 170
