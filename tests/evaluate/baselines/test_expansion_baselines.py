"""The methods that need no graph, each beside its plain twin, and the figures they must reach."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from kinfold.errors import InputError, UnknownNameError
from kinfold.evaluate import score_by_labels
from kinfold.evaluate.baselines import (
    DENSE_ROWS,
    Baseline,
    Prepared,
    baseline_names,
    best_first,
    refuse_large,
    register,
    resolve,
)
from kinfold.evaluate.baselines.linear_svm import svm_direction
from kinfold.threads import limited_threads
from kinfold.validate import normalised

from . import plain

MINE = ["alpha-qe", "aqe", "aqe-wd", "dqe", "knn", "knn-reranking", "superglobal"]


def clusters(rows, dimension, seed, queries=4):
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(5, dimension))
    items = centres[np.arange(rows + queries) % 5] + 0.6 * generator.normal(
        size=(rows + queries, dimension)
    )
    unit = normalised(items.astype(np.float32), "rows", 0)
    return unit[queries:], unit[:queries]


@pytest.fixture(params=[(60, 8, 0), (35, 5, 1)], ids=["60x8", "35x5"])
def data(request):
    return clusters(*request.param)


CASES = [
    ("knn", {}, plain.cosine, ()),
    ("aqe", {"n": 4}, plain.aqe, (4,)),
    ("aqe", {"n": 100}, plain.aqe, (100,)),
    ("aqe-wd", {"n": 6}, plain.aqe_with_decay, (6,)),
    ("alpha-qe", {"n": 7, "alpha": 2.5}, plain.alpha_qe, (7, 2.5)),
    ("dqe", {"n": 5, "negatives": 12, "C": 2.0}, plain.dqe, (5, 12, 2.0)),
    ("dqe", {"n": 3, "negatives": 500, "C": 0.1}, plain.dqe, (3, 500, 0.1)),
    ("knn-reranking", {"k": 5}, plain.knn_reranking, (5, 1)),
    ("knn-reranking", {"k": 4, "rounds": 3}, plain.knn_reranking, (4, 3)),
]


@pytest.mark.parametrize(("name", "parameters", "oracle", "arguments"), CASES)
def test_scores_are_those_of_the_formula(data, name, parameters, oracle, arguments):
    gallery, queries = data
    found = resolve(name, parameters).prepare(gallery).scores(queries)
    expected = [oracle(query, gallery, *arguments) for query in queries]
    np.testing.assert_allclose(found, expected, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize(("M", "K", "beta"), [(20, 4, 0.15), (7, 9, 0.5), (500, 3, 0.2)])
def test_superglobal_ranks_as_the_formula(data, M, K, beta):
    gallery, queries = data
    found = resolve("superglobal", {"M": M, "K": K, "beta": beta}).prepare(gallery).scores(queries)
    for query, scores in zip(queries, found, strict=True):
        order, expected = plain.superglobal(query, gallery, M, K, beta)
        np.testing.assert_array_equal(best_first(scores), order)
        nearest = plain.ranked(plain.cosine(query, gallery))[:M]
        # They may all be lifted above the rest, together.
        new = scores[nearest] - scores[nearest[0]]
        np.testing.assert_allclose(new, np.array(expected) - expected[0], atol=2e-5)


@pytest.mark.parametrize("name", MINE)
def test_every_method_keeps_the_contract(data, name):
    gallery, queries = data
    kept = gallery.copy(), queries.copy()
    gallery.flags.writeable = queries.flags.writeable = False
    method = resolve(name)
    prepared = method.prepare(gallery)
    scores = prepared.scores(queries)
    assert scores.dtype == np.float32
    assert scores.shape == (len(queries), len(gallery))
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(prepared.scores(queries), scores)
    for row, query in enumerate(queries):
        np.testing.assert_allclose(prepared.scores(query[None])[0], scores[row], atol=1e-5)
    np.testing.assert_array_equal(gallery, kept[0])
    np.testing.assert_array_equal(queries, kept[1])
    assert method.title
    assert method.source
    assert not method.transductive


@pytest.mark.parametrize("name", MINE)
@pytest.mark.parametrize("rows", [1, 2, 12], ids=lambda rows: f"{rows} items")
def test_tiny_galleries_duplicates_and_opposites(name, rows):
    x = np.zeros((rows, 3), dtype=np.float32)
    x[:, 0] = 1
    x[rows // 2 :, 0] = -1
    x[rows - 1] = (0, 1, 0)
    queries = np.array([[1, 0, 0], [-1, 0, 0]], dtype=np.float32)
    scores = resolve(name).prepare(x).scores(queries)
    assert scores.shape == (2, rows)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("k", [1, 2, 3, 5, 8, 30, None])
def test_best_first_keeps_ties_in_order(k):
    scores = np.array([2, 1, 3, 3, 2, 0, 2, 3], dtype=np.float32)
    assert best_first(scores, k).tolist() == [2, 3, 7, 0, 4, 6, 1, 5][:k]


@pytest.mark.parametrize("penalty", [0.01, 1.0, 100.0])
def test_the_machine_is_liblinears(penalty):
    generator = np.random.default_rng(3)
    x = generator.normal(size=(80, 6))
    y = np.where(x[:, 0] + 0.8 * generator.normal(size=80) > 0.3, 1.0, -1.0)
    theirs = LinearSVC(C=penalty, tol=1e-10, max_iter=1_000_000, dual=True).fit(x, y)
    np.testing.assert_allclose(svm_direction(x, y, penalty), theirs.coef_[0], rtol=1e-4, atol=1e-6)


def test_the_machine_meets_its_optimality_conditions():
    x, y = np.array([[2.0, 0.0], [0.0, 0.0]]), np.array([1.0, -1.0])
    # By hand for C = 1/2: β = (K + I)⁻¹ y with K = [[5, 1], [1, 1]].
    np.testing.assert_allclose(svm_direction(x, y, 0.5), [2 * 3 / 11, 0], rtol=1e-12)


def test_aqe_by_hand():
    gallery = np.array([[0.6, 0.8], [0.0, 1.0], [-1.0, 0.0]], dtype=np.float32)
    scores = resolve("aqe", {"n": 1}).prepare(gallery).scores(np.array([[1, 0]], dtype=np.float32))
    # (1, 0) + (.6, .8) has length √3.2.
    np.testing.assert_allclose(scores[0], np.array([1.6, 0.8, -1.6]) / 3.2**0.5, rtol=1e-6)


def test_knn_reranking_by_hand():
    """Ranks for the query 1, 2, 3; for its first neighbour 1, 2, 3; for the second 3, 1, 2."""
    angles = np.radians([10, 40, 65])
    gallery = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    query = np.array([[1, 0]], dtype=np.float32)
    scores = resolve("knn-reranking", {"k": 2}).prepare(gallery).scores(query)
    expected = [1 + 1 / 2 + 1 / 9, 1 / 2 + 1 / 4 + 1 / 3, 1 / 3 + 1 / 6 + 1 / 6]
    np.testing.assert_allclose(scores[0], expected, rtol=1e-6)


def mean_average_precision(folder, file, name, every):
    with np.load(folder / file, allow_pickle=False) as arrays:
        asked = arrays["is_query"].astype(bool)
        vectors = normalised(arrays["X"].astype(np.float32), file, 0)
        labels = arrays["y"]
    # Classes differ far more than queries of one class, so each is asked alike.
    shuffled = np.random.default_rng(0).permutation(np.flatnonzero(asked))
    some = shuffled[np.argsort(labels[shuffled], kind="stable")][::every]
    with limited_threads(1):
        scores = resolve(name).prepare(vectors[~asked]).scores(vectors[some])
    rankings = np.argsort(-scores, axis=1, kind="stable")
    return score_by_labels(rankings, labels[some], labels[~asked]).mean_average_precision


@pytest.mark.parametrize(
    ("file", "knn", "superglobal"),
    [
        ("mpeg7_lite0gem.npz", 0.743, 0.782),
        ("COIL20_px.npz", 0.607, 0.608),
        ("Palm_px.npz", 0.828, 0.874),
    ],
)
def test_published_figures(shared_data, file, knn, superglobal):
    """SuperGlobal of some queries only, so that it is quick."""
    if not (shared_data / file).is_file():
        pytest.skip(f"{shared_data} has no {file}")
    assert mean_average_precision(shared_data, file, "knn", 1) == pytest.approx(knn, abs=1e-3)
    found = mean_average_precision(shared_data, file, "superglobal", 3)
    assert found == pytest.approx(superglobal, abs=0.02)


def test_names():
    assert set(MINE) <= set(baseline_names())
    assert baseline_names() == sorted(baseline_names())


def test_an_unknown_name_is_refused_with_those_that_exist():
    with pytest.raises(UnknownNameError, match=r"unknown method 'aqee'; known are: .*\baqe, "):
        resolve("aqee")


@pytest.mark.parametrize(
    ("name", "parameters", "says"),
    [
        ("aqe", {"m": 3}, r"method 'aqe': m: .*; its parameters are: n"),
        ("aqe", {"n": 0}, r"method 'aqe': n: .* found 0"),
        ("aqe", {"n": "many"}, r"found 'many'"),
        ("alpha-qe", {"alpha": float("nan")}, r"alpha: .*finite.* found nan"),
        ("knn", {"k": 1}, r"its parameters are: none"),
        ("dqe", {"C": 0}, r"C: .*greater than 0"),
    ],
)
def test_bad_parameters_are_refused_by_name_and_value(name, parameters, says):
    with pytest.raises(InputError, match=says):
        resolve(name, parameters)


def test_a_name_is_registered_once():
    class Again(Baseline):
        name = "knn"
        title = source = "again"
        transductive = False

        def prepare(self, gallery) -> Prepared:
            raise NotImplementedError

    with pytest.raises(ValueError, match="two baselines are called 'knn'"):
        register(Again)


def test_dense_methods_say_how_much_is_too_much():
    refuse_large(DENSE_ROWS, "RDP")
    with pytest.raises(InputError, match=r"RDP .* at most 30,000 items.* found 30,001"):
        refuse_large(DENSE_ROWS + 1, "RDP")
