"""The graph baselines: each against a plain oracle, at its edges, and on published numbers."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from kinfold.errors import InputError
from kinfold.evaluate import score_by_labels
from kinfold.evaluate.baselines import DENSE_ROWS, baseline_names, resolve
from kinfold.evaluate.baselines import fsr as fsr_module
from kinfold.evaluate.baselines.cas import divergences, largest_entries
from kinfold.evaluate.baselines.dense import expanded, nearest, squared_distances, unit_rows
from tests.oracles import baselines as oracle

TOGETHER = ["cas", "gnn", "k-reciprocal", "rdp"]
OUTSIDE = ["dfs", "egt", "fsr"]
ALL = sorted(TOGETHER + OUTSIDE)


def unit(rows):
    rows = np.asarray(rows, dtype=np.float64)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def clusters(seed, n=42, m=5, dimension=6, spread=0.5):
    """(gallery, queries): six loose clusters that touch; no two distances are equal."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(6, dimension))
    rows = centres[rng.integers(6, size=n + m)] + spread * rng.normal(size=(n + m, dimension))
    rows = unit(rows)
    return rows[:n], rows[n:]


def scores(name, gallery, queries, **parameters):
    return resolve(name, parameters).prepare(gallery).scores(queries)


def behind(found, reached, gallery, queries):
    """Items that no seed reaches stand behind all others, in the order of similarity."""
    for row, (some, query) in enumerate(zip(reached, queries, strict=True)):
        if some.any() and not some.all():
            assert found[row, ~some].max() < found[row, some].min()
        order = np.argsort(-found[row, ~some], kind="stable")
        assert (order == np.argsort(-(gallery[~some] @ query), kind="stable")).all()


@pytest.fixture(params=[1, 2, 3])
def data(request):
    return clusters(request.param)


class TestAgainstOracles:
    @pytest.mark.parametrize("name", TOGETHER)
    def test_the_defaults(self, name, data):
        gallery, queries = data
        expected = getattr(oracle, name.replace("-", "_"))(np.concatenate(data), len(gallery))
        found = scores(name, gallery, queries)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=2e-5)

    @pytest.mark.parametrize(("k1", "k2", "share"), [(4, 3, 0.3), (7, 1, 0.0), (1, 2, 0.5)])
    def test_k_reciprocal(self, data, k1, k2, share):
        expected = oracle.k_reciprocal(np.concatenate(data), len(data[0]), k1, k2, share)
        found = scores("k-reciprocal", *data, k1=k1, k2=k2, **{"lambda": share})
        np.testing.assert_allclose(found, expected, atol=2e-6)

    @pytest.mark.parametrize(
        "parameters", [{"k1": 6, "k2": 3}, {"k1": 5, "k2": 8, "alpha": 1.5, "layers": 3}]
    )
    def test_gnn(self, data, parameters):
        expected = oracle.gnn(np.concatenate(data), len(data[0]), **parameters)
        np.testing.assert_allclose(scores("gnn", *data, **parameters), expected, atol=2e-6)

    @pytest.mark.parametrize("parameters", [{"k": 4, "mu": 0.1, "iterations": 7}, {"sigma": 0.2}])
    def test_rdp(self, data, parameters):
        expected = oracle.rdp(np.concatenate(data), len(data[0]), **parameters)
        np.testing.assert_allclose(scores("rdp", *data, **parameters), expected, atol=2e-6)

    @pytest.mark.parametrize(
        "parameters",
        [
            {"paths": 0, "k2": 7, "k3": 6, "k5": 8},
            {"paths": 3, "k1": 4, "k2": 5, "k3": 7, "k4": 2, "k5": 6, "beta": 0.2},
            {"paths": 4, "k1": 7, "k2": 3, "k3": 3, "omega": 0.0, "kappa": 0.0, "iterations": 3},
        ],
    )
    def test_cas(self, data, parameters):
        expected = oracle.cas(np.concatenate(data), len(data[0]), **parameters)
        np.testing.assert_allclose(scores("cas", *data, **parameters), expected, atol=2e-5)

    @pytest.mark.parametrize(("k_d", "k_q", "alpha"), [(3, 2, 0.99), (6, 5, 0.9), (60, 60, 0.5)])
    def test_dfs_solved_to_its_end_is_exact(self, data, k_d, k_q, alpha):
        gallery, queries = data
        expected, reached = oracle.diffusion(gallery, queries, k_d, k_q, alpha=alpha)
        parameters = {"k_d": k_d, "k_q": k_q, "alpha": alpha, "iterations": 500}
        found = scores("dfs", gallery, queries, tolerance=1e-10, **parameters)
        np.testing.assert_allclose(found[reached], expected[reached], rtol=1e-4)
        behind(found, reached, gallery, queries)

    @pytest.mark.parametrize("rank", [12, 25, 42, 1000])
    def test_fsr(self, data, rank):
        gallery, queries = data
        expected, reached = oracle.diffusion(gallery, queries, 6, 5, rank=rank)
        found = scores("fsr", gallery, queries, k_d=6, k_q=5, rank=rank)
        np.testing.assert_allclose(found[reached], expected[reached], atol=1e-5)
        behind(found, reached, gallery, queries)

    @pytest.mark.parametrize(
        ("k", "t", "p"), [(5, 0.9, 5000), (3, 0.7, 20), (4, 2.0, 5000), (250, 0.8, 9), (2, -1, 30)]
    )
    def test_egt(self, data, k, t, p):
        gallery, queries = data
        found = scores("egt", gallery, queries, k=k, t=t, p=p)
        for row, query in zip(found, queries, strict=True):
            assert np.argsort(-row).tolist() == oracle.egt(gallery, query, k, t, p)


class TestParts:
    def test_nearest_with_many_ties(self):
        rng = np.random.default_rng(4)
        distances = rng.integers(0, 4, size=(30, 30)).astype(np.float32)
        before = distances.copy()
        for k in (1, 2, 7, 30, 99):
            assert (nearest(distances, k) == oracle.order_of(distances)[:, :k]).all()
        assert (distances == before).all()

    def test_expanded_sets(self):
        items = np.concatenate(clusters(5))
        order = oracle.order_of(oracle.squared(items))
        found = expanded(nearest(squared_distances(items), 9), 9, 5)
        for i in range(len(items)):
            inside = set(found.indices[found.indptr[i] : found.indptr[i + 1]].tolist())
            assert inside == oracle.expanded_set(order, i, 9, 5)

    def test_divergences(self):
        rng = np.random.default_rng(6)
        dense = np.where(rng.random((8, 20)) < 0.4, rng.random((8, 20)), 0)
        dense[3] = dense[2]
        rows = unit_rows(sp.csr_array(dense))
        exact = oracle.share(dense)
        expected = [oracle.jensen_shannon(exact[2], exact[j]) for j in (7, 3, 2, 0)]
        found = divergences(rows, 2, np.array([7, 3, 2, 0]))
        np.testing.assert_allclose(found, expected, atol=1e-6)

    def test_largest_entries_keep_columns_in_order(self):
        dense = np.array([[3, 1, 3, 2, 3], [0, 0, 0, 0, 0], [0, 5, 0, 0, 4.0]])
        found = largest_entries(sp.csr_array(dense), 2)
        assert found.toarray().tolist() == [[3, 0, 3, 0, 0], [0] * 5, [0, 5, 0, 0, 4]]

    def test_lanczos_finds_what_the_whole_spectrum_holds(self, monkeypatch):
        gallery, queries = clusters(7, n=120)
        parameters = {"k_d": 5, "k_q": 4, "rank": 40}
        dense = scores("fsr", gallery, queries, **parameters)
        monkeypatch.setattr(fsr_module, "DENSE_SPECTRUM", 0)
        np.testing.assert_allclose(scores("fsr", gallery, queries, **parameters), dense, atol=1e-6)

    def test_a_rank_below_the_number_of_parts_keeps_the_largest_parts(self):
        graph = fsr_module.MutualGraph.build(clusters(8, n=60)[0], 2, 3.0)
        values, vectors = fsr_module.largest_eigenpairs(graph, 3)
        sizes = np.bincount(graph.part)
        assert (values == 1).all()
        np.testing.assert_allclose(graph.transition @ vectors, vectors, atol=1e-7)
        assert sorted((vectors != 0).sum(axis=0)) == sorted(np.sort(sizes)[-3:])


class TestEdges:
    @pytest.mark.parametrize("name", ALL)
    def test_registered_with_what_a_table_needs(self, name):
        method = resolve(name)
        assert name in baseline_names()
        assert method.title
        assert method.source
        assert method.transductive == (name in TOGETHER)

    @pytest.mark.parametrize("name", ALL)
    @pytest.mark.parametrize(("n", "m"), [(2, 1), (3, 2), (7, 1)])
    def test_fewer_items_than_k(self, name, n, m):
        gallery, queries = clusters(9, n=n, m=m)
        found = scores(name, gallery, queries)
        assert found.shape == (m, n)
        assert np.isfinite(found).all()

    @pytest.mark.parametrize("name", ALL)
    def test_duplicates(self, name):
        """More copies than any list holds, whether queries or items."""
        gallery, queries = clusters(10)
        gallery[5:35] = gallery[4]
        queries[1:] = gallery[4]
        found = scores(name, gallery, queries)
        assert np.isfinite(found).all()
        assert set(np.argsort(-found[2], kind="stable")[:3].tolist()) <= set(range(4, 35))

    @pytest.mark.parametrize("name", ALL)
    def test_all_items_equal(self, name):
        rows = unit(np.ones((12, 5)))
        found = scores(name, rows[:9], rows[9:])
        assert np.isfinite(found).all()

    @pytest.mark.parametrize("name", ALL)
    def test_items_that_share_nothing(self, name):
        """Right angles and opposite directions: similarities of 0 and below, no edge at all."""
        rows = np.concatenate([np.eye(8), -np.eye(8)]).astype(np.float32)
        found = scores(name, rows[:12], rows[10:])
        assert np.isfinite(found).all()

    @pytest.mark.parametrize("name", ALL)
    def test_a_query_that_is_a_gallery_item(self, name):
        """Its twin comes with the first; not as the first, where diffusion prefers the middle."""
        gallery, _ = clusters(11, spread=0.15)
        for twin in (3, 20):
            found = scores(name, gallery, gallery[[twin]])[0]
            alike = gallery @ gallery[twin] > 0.8
            assert twin in np.argsort(-found)[: alike.sum()]

    @pytest.mark.parametrize("name", ALL)
    def test_inputs_stay_as_they_are_and_answers_repeat(self, name):
        gallery, queries = clusters(12)
        gallery.flags.writeable = queries.flags.writeable = False
        prepared = resolve(name).prepare(gallery)
        assert (prepared.scores(queries) == prepared.scores(queries)).all()

    @pytest.mark.parametrize("name", ALL)
    def test_no_queries(self, name):
        gallery, queries = clusters(13)
        assert scores(name, gallery, queries[:0]).shape == (0, len(gallery))

    @pytest.mark.parametrize("name", OUTSIDE)
    def test_queries_outside_the_graph_do_not_meet(self, name):
        gallery, queries = clusters(14)
        prepared = resolve(name, {} if name == "egt" else {"k_d": 5}).prepare(gallery)
        alone = np.concatenate([prepared.scores(query[None]) for query in queries])
        np.testing.assert_allclose(prepared.scores(queries), alone, rtol=1e-5)

    @pytest.mark.parametrize("name", TOGETHER)
    def test_dense_methods_refuse_what_would_not_fit(self, name):
        rows = np.ones((DENSE_ROWS + 1, 1), dtype=np.float32)
        with pytest.raises(InputError, match="at most 30,000 items"):
            resolve(name).prepare(rows)
        prepared = resolve(name).prepare(rows[:-2])
        with pytest.raises(InputError, match="found 30,001"):
            prepared.scores(rows[:2])

    @pytest.mark.parametrize(
        ("name", "parameters"),
        [
            ("k-reciprocal", {"k1": 0}),
            ("k-reciprocal", {"lambda": 1.5}),
            ("gnn", {"k2": 0}),
            ("gnn", {"alpha": 0}),
            ("gnn", {"layers": 11}),
            ("rdp", {"mu": 0}),
            ("rdp", {"sigma": 0.01}),
            ("dfs", {"alpha": 1}),
            ("dfs", {"k_q": 0}),
            ("dfs", {"gamma": float("nan")}),
            ("fsr", {"rank": 0}),
            ("egt", {"t": float("inf")}),
            ("egt", {"p": 0}),
            ("cas", {"k1": 1}),
            ("cas", {"sigma": 0.1}),
            ("cas", {"paths": -1}),
            ("cas", {"k6": 3}),
        ],
    )
    def test_impossible_parameters_are_refused(self, name, parameters):
        with pytest.raises(InputError, match=next(iter(parameters))):
            resolve(name, parameters)


class TestEgt:
    def test_a_threshold_below_everything_is_plain_knn(self):
        gallery, queries = clusters(15)
        found = scores("egt", gallery, queries, t=-2.0)
        assert (np.argsort(-found) == np.argsort(-(queries @ gallery.T))).all()

    def test_without_one_the_threshold_comes_from_the_gallery(self):
        gallery, queries = clusters(16)
        tenth = np.sort(1 - oracle.squared(gallery) / 2, axis=1)[:, -11]
        given = scores("egt", gallery, queries, t=float(np.median(tenth)))
        assert (scores("egt", gallery, queries) == given).all()


class TestPublishedNumbers:
    """mAP of the published programs on three real sets, to within 2 points."""

    @pytest.mark.parametrize(
        ("name", "parameters", "expected"),
        [
            ("k-reciprocal", {}, (0.843, 0.702, 0.933)),
            ("gnn", {"k1": 20, "k2": 5}, (0.846, 0.694, 0.924)),
            ("rdp", {"k": 10}, (0.844, 0.778, 0.927)),
            ("cas", {}, (0.862, 0.914, 0.945)),
            ("dfs", {"k_d": 10, "k_q": 5, "iterations": 1000}, (0.795, 0.866, 0.916)),
            ("fsr", {"k_d": 10, "k_q": 5, "rank": 200}, (0.795, 0.866, 0.916)),
        ],
    )
    @pytest.mark.parametrize(
        ("place", "file"), list(enumerate(["mpeg7_lite0gem", "COIL20_px", "Palm_px"]))
    )
    def test_mean_average_precision(self, shared_data, name, parameters, expected, place, file):
        path = shared_data / f"{file}.npz"
        if not path.is_file():
            pytest.skip(f"no {path}")
        with np.load(path) as data:
            X, y, held_out = unit(data["X"]), data["y"], data["is_query"]
        found = scores(name, X[~held_out], X[held_out], **parameters)
        rankings = np.argsort(-found, axis=1, kind="stable").astype(np.int64)
        measured = score_by_labels(rankings, y[held_out], y[~held_out])
        assert measured.mean_average_precision == pytest.approx(expected[place], abs=0.02)
