"""One contract for every similarity model that the registry knows, whatever it computes."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from oracles.galleries import BY_NAME, GALLERIES

import kinfold
from kinfold.arrays import NOTHING
from kinfold.config import SimilaritySpec
from kinfold.errors import InputError, UnknownNameError
from kinfold.metric import Measure
from kinfold.neighbors import NeighborLists, self_join
from kinfold.similarity import (
    SimilarityModel,
    apply_models,
    model_names,
    register,
    registry,
    resolve,
)
from kinfold.threads import limited_threads
from kinfold.validate import normalised

COSINE_GALLERIES = [gallery for gallery in GALLERIES if gallery.metric == "cosine"]
K_M = 20


@pytest.fixture(params=model_names())
def model(request):
    return resolve(SimilaritySpec(name=request.param))


@pytest.fixture(params=COSINE_GALLERIES, ids=str)
def gallery(request):
    return request.param


def lists_of(vectors, k=K_M):
    prepared = normalised(np.asarray(vectors, dtype=np.float32), "vectors", 0)
    measure = Measure("cosine")
    return self_join(prepared, measure, k), prepared


def width(model):
    return max(K_M, model.neighbors_needed())


def test_shape_dtype_and_range(model, gallery):
    lists, vectors = lists_of(gallery.vectors, width(model))
    found = model.recalculate(lists, vectors)
    assert found.shape == lists.ids.shape
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert (found <= 1).all()
    assert found.any()


def test_its_input_is_left_alone(model, gallery):
    lists, vectors = lists_of(gallery.vectors, width(model))
    ids, values, rows = lists.ids.copy(), lists.similarities.copy(), vectors.copy()
    apply_models([model], lists, vectors)
    np.testing.assert_array_equal(lists.ids, ids)
    np.testing.assert_array_equal(lists.similarities, values)
    np.testing.assert_array_equal(vectors, rows)


def test_read_only_arrays_will_do(model, gallery):
    """Vectors are a memory map in a build."""
    lists, vectors = lists_of(gallery.vectors, width(model))
    expected = model.recalculate(lists, vectors)
    for array in (lists.ids, lists.similarities, vectors):
        array.flags.writeable = False
    np.testing.assert_array_equal(model.recalculate(lists, vectors), expected)


def test_deterministic_whatever_the_threads(model, gallery):
    lists, vectors = lists_of(gallery.vectors, width(model))
    results = []
    for threads in (1, 2, 1):
        with limited_threads(threads):
            results.append(model.recalculate(lists, vectors))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_applied_lists_hold_the_same_ids_in_order(model, gallery):
    lists, vectors = lists_of(gallery.vectors, width(model))
    new = apply_models([model], lists, vectors)
    np.testing.assert_array_equal(np.sort(new.ids, axis=1), np.sort(lists.ids, axis=1))
    assert (np.diff(new.similarities, axis=1) <= 0).all()
    tied = np.diff(new.similarities, axis=1) == 0
    assert (np.diff(new.ids.astype(np.int64), axis=1) > 0)[tied].all()
    raw = model.recalculate(lists, vectors)
    for row in range(len(vectors)):
        before = dict(zip(lists.ids[row].tolist(), raw[row].tolist(), strict=True))
        after = dict(zip(new.ids[row].tolist(), new.similarities[row].tolist(), strict=True))
        assert before == after


def pairs():
    """All pairs on all galleries; every fourth pair on one of them is enough for each change."""
    for i, first in enumerate(model_names()):
        for j, second in enumerate(model_names()):
            for number, gallery in enumerate(COSINE_GALLERIES):
                short = (i + j) % 4 == 0 and (i + j) % len(COSINE_GALLERIES) == number
                marks = () if short else pytest.mark.long
                name = f"{first}-{second}-{gallery}"
                yield pytest.param(first, second, gallery, marks=marks, id=name)


@pytest.mark.parametrize(("first", "second", "gallery"), list(pairs()))
def test_models_chain(first, second, gallery):
    model, then = (resolve(SimilaritySpec(name=name)) for name in (first, second))
    lists, vectors = lists_of(gallery.vectors, max(width(model), width(then)))
    step = apply_models([then], apply_models([model], lists, vectors), vectors)
    chain = apply_models([model, then], lists, vectors)
    np.testing.assert_array_equal(chain.ids, step.ids)
    np.testing.assert_array_equal(chain.similarities, step.similarities)
    assert (chain.similarities >= 0).all()
    assert (chain.similarities <= 1).all()


@pytest.mark.parametrize("name", ["alpha-qe", "boundary", "cosine", "superglobal"])
def test_duplicates_are_as_alike_as_can_be(name):
    """Among equal items there is no order of likeness, and nobody else comes before them.

    Models that compare neighbourhoods cannot promise it: of a group larger than a list, the lists
    hold different members.
    """
    model = resolve(SimilaritySpec(name=name))
    gallery = BY_NAME["duplicates"]
    lists, vectors = lists_of(gallery.vectors, width(model))
    found = model.recalculate(lists, vectors)
    for row in range(len(vectors)):
        same = (vectors[lists.ids[row]] == vectors[row]).all(axis=1)
        if same.any() and not same.all():
            assert found[row][same].min() >= found[row][~same].max() - 1e-6
    group = np.flatnonzero((vectors == vectors[59]).all(axis=1))
    assert len(group) == 15
    values = found[group][np.isin(lists.ids[group], group)]
    np.testing.assert_allclose(values, values[0], rtol=1e-5)


def test_places_where_nothing_was_found(model):
    """An approximate search leaves holes at the end of a list; they are worth nothing."""
    lists, vectors = lists_of(BY_NAME["clusters"].vectors, width(model))
    known = np.random.default_rng(0).integers(0, lists.k + 1, size=len(vectors))
    known[:3] = 0, 1, lists.k
    hole = np.arange(lists.k) >= known[:, None]
    holed = NeighborLists(
        np.where(hole, NOTHING, lists.ids),
        np.where(hole, np.float32(-np.inf), lists.similarities),
    )
    found = model.recalculate(holed, vectors)
    assert np.isfinite(found).all()
    assert (found[hole] == 0).all()
    assert ((found >= 0) & (found <= 1)).all()
    new = apply_models([model], holed, vectors)
    np.testing.assert_array_equal(np.sort(new.ids, axis=1), np.sort(holed.ids, axis=1))


def test_the_shortest_lists_it_says_it_can_work_with(model):
    lists, vectors = lists_of(BY_NAME["clusters"].vectors, model.least_neighbors())
    assert model.recalculate(lists, vectors).shape == (len(vectors), model.least_neighbors())


def test_a_build_with_it(model, tmp_path):
    gallery = BY_NAME["clusters"]
    spec = [{"name": model.name}]
    config = kinfold.BuildConfig(similarity=spec, k_m=width(model), k_d=7, dtype="float32")
    index = kinfold.build(gallery.vectors, tmp_path, config=config)
    assert kinfold.verify(tmp_path).ok
    hits = index.search(gallery.vectors, k=5)
    assert (hits.reached > 0).all()
    same_cluster = hits.positions // 22 == np.arange(198)[:, None] // 22
    assert same_cluster.mean() > 0.8


@pytest.mark.parametrize("name", model_names())
def test_an_unknown_parameter_is_refused(name):
    with pytest.raises(InputError, match=rf"'{name}'.*wibble.*found 3"):
        resolve(SimilaritySpec(name=name, parameters={"wibble": 3}))


@pytest.mark.parametrize("name", ["", "wibble", "Cosine", "cosine "])
def test_an_unknown_name_is_refused_with_those_that_are_known(name, tmp_path):
    with pytest.raises(UnknownNameError, match=f"unknown similarity model '{name}'.*cosine"):
        resolve(SimilaritySpec(name=name))
    config = kinfold.BuildConfig(similarity=["cosine", name])
    with pytest.raises(UnknownNameError, match=f"'{name}'"):
        kinfold.build(np.eye(20, dtype=np.float32), tmp_path / "never", config=config)
    assert not (tmp_path / "never").exists()


def test_names_are_sorted_and_hold_the_plain_one():
    assert model_names() == sorted(set(model_names()))
    assert "cosine" in model_names()


def test_the_plain_model_clips():
    lists = NeighborLists(
        np.array([[1, 2, 3, NOTHING]], dtype=np.uint32),
        np.array([[1.0000001, 0.5, -0.2, -np.inf]], dtype=np.float32),
    )
    plain = resolve(SimilaritySpec(name="cosine"))
    found = plain.recalculate(lists, np.ones((4, 2), dtype=np.float32))
    assert found.tolist() == [[1, 0.5, 0, 0]]


class Rank(SimilarityModel):
    """A model of a user's own: the nearest item is worth `top`, the others less, by rank."""

    name: ClassVar[str] = "test rank"
    top: float = 1.0

    def neighbors_needed(self):
        return 25

    def recalculate(self, lists, vectors, progress=None, passes=None):
        assert lists.k >= 25, f"{lists.k} neighbours, but 25 needed"
        ranks = np.arange(lists.k, dtype=np.float32)
        return np.tile(self.top * (1 - ranks / lists.k), (len(vectors), 1)).astype(np.float32)


@pytest.fixture
def rank(monkeypatch):
    monkeypatch.setattr(registry, "_MODELS", dict(registry._MODELS))
    return register(Rank)


def test_a_model_of_ones_own(rank, tmp_path):
    assert rank.name in model_names()
    assert resolve(SimilaritySpec(name=rank.name, parameters={"top": 0.5})) == rank(top=0.5)
    with pytest.raises(InputError, match=r"top.*found nan"):
        resolve(SimilaritySpec(name=rank.name, parameters={"top": float("nan")}))
    with pytest.raises(ValueError, match="two similarity models are called 'test rank'"):
        register(Rank)
    config = kinfold.BuildConfig(similarity=[{"name": rank.name}], k_m=25, k_d=7)
    index = kinfold.build(BY_NAME["clusters"].vectors, tmp_path, config=config)
    assert index.manifest.models["default"].config.exponent == 1.0


def test_a_model_gets_as_many_neighbours_as_it_needs(rank, tmp_path):
    """k_m is None: "as many as the models need"."""
    config = kinfold.BuildConfig(similarity=[{"name": rank.name}], k_d=7)
    index = kinfold.build(BY_NAME["clusters"].vectors, tmp_path, config=config)
    assert len(index) == len(BY_NAME["clusters"].vectors)


def test_a_model_that_reverses_the_order_decides_about_the_graph(monkeypatch, tmp_path):
    """k_m neighbours go in, and the k_d best by the new similarity make the graph."""

    class Reversed(SimilarityModel):
        name: ClassVar[str] = "test reversed"

        def recalculate(self, lists, vectors, progress=None, passes=None):
            return np.tile((1 + np.arange(lists.k, dtype=np.float32)) / lists.k, (len(vectors), 1))

    monkeypatch.setattr(registry, "_MODELS", dict(registry._MODELS))
    register(Reversed)
    line = np.arange(30, dtype=np.float32)[:, None] ** 2
    config = kinfold.BuildConfig(
        metric="l2", similarity=["test reversed"], k_m=6, k_d=1, min_degree=0, graph="union"
    )
    index = kinfold.build(line, tmp_path, config=config)
    near = np.array([np.argsort(abs(line[:, 0] - x), kind="stable")[6] for x in line[:, 0]])
    for row, (columns, _) in enumerate(index.iterate_rows()):
        assert near[row] in columns
    assert index.manifest.models["default"].edges == len(
        {frozenset((row, int(j))) for row, j in enumerate(near)}
    )
