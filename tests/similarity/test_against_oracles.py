"""Every model beside its dense oracle, on lists that hold the whole gallery."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from oracles import models as oracle

from kinfold.affinity import build_graph
from kinfold.config import SimilaritySpec
from kinfold.metric import Measure
from kinfold.neighbors import NeighborLists, self_join
from kinfold.similarity import resolve
from kinfold.similarity.bsd import affinity
from kinfold.similarity.cas import Cas
from kinfold.similarity.flat import in_memory
from kinfold.similarity.reciprocal import expanded_sets, reciprocal_sets
from kinfold.validate import normalised

SIZES = [(40, 8, 0), (90, 16, 1), (120, 6, 2)]


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def gallery(request):
    rows, dimension, seed = request.param
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(6, dimension))
    noise = 0.5 * generator.normal(size=(rows, dimension))
    return normalised((centres[np.arange(rows) % 6] + noise).astype(np.float32), "rows", 0)


def whole(vectors):
    measure = Measure("cosine")
    lists = self_join(vectors, measure, len(vectors) - 1)
    return lists, *oracle.full_of(lists, len(vectors))


def listed(matrix, lists):
    return np.take_along_axis(matrix, lists.ids.astype(np.int64), axis=1)


def dense(rows, n):
    return sp.csr_array(
        (rows.values, rows.columns.astype(np.int64), rows.indptr), shape=(n, n)
    ).toarray()


def model(name, **parameters):
    return resolve(SimilaritySpec(name=name, parameters=parameters))


@pytest.mark.parametrize(("k1", "k2", "share"), [(10, 4, 0.3), (20, 6, 0.0), (5, 1, 0.5)])
def test_k_reciprocal(gallery, k1, k2, share):
    lists, full, order = whole(gallery)
    found = model("k-reciprocal", k1=k1, k2=k2, **{"lambda": share}).recalculate(lists, gallery)
    expected = oracle.k_reciprocal(full, order, k1, k2, share)
    np.testing.assert_allclose(found, listed(expected, lists), atol=2e-6)


@pytest.mark.parametrize(
    ("k1", "k2", "mu", "beta", "kappa"), [(8, 3, 0.11, 0.1, 1.0), (5, 2, 0.5, 0.02, 0.3)]
)
def test_cas(gallery, k1, k2, mu, beta, kappa):
    lists, full, order = whole(gallery)
    settings = {"k1": k1, "k2": k2, "mu": mu, "beta": beta, "kappa": kappa, "power": 0}
    found = model(
        "cas", **settings, keep=len(gallery), tolerance=1e-12, iterations=2000
    ).recalculate(lists, gallery)
    rows = oracle.cas_rows(full, order, k1, k2, mu, beta, kappa)
    expected = 1 - oracle.jensen_shannon(rows)
    np.testing.assert_allclose(found, listed(expected, lists), atol=1e-5)


@pytest.mark.parametrize("alpha", [0.5, 0.9, 0.99])
def test_bsd_satisfies_the_lyapunov_equation_inside_the_clusters(gallery, alpha):
    lists, _, _ = whole(gallery)
    cas = Cas(k1=8, mu=1 / alpha - 1, tolerance=1e-13, iterations=20_000)
    passes, n = in_memory(), len(gallery)
    walk = affinity(lists, 8, cas.scale(lists), passes)
    clusters = expanded_sets(lists, reciprocal_sets(lists, 8, passes), passes, both=True)
    support = dense(clusters._replace(values=np.ones(clusters.columns.size)), n)
    np.testing.assert_array_equal(support, support.T)
    f = dense(cas.diffuse(lists, walk, clusters, passes), n)
    roots = 1 / np.sqrt(walk.degrees)
    # To the last bit what the kernel multiplies by: float32.
    s = (dense(walk.walk, n) * np.outer(roots, roots)).astype(np.float32).astype(np.float64)
    step = np.eye(n) - alpha * s
    residual = step @ f + f @ step - 2 * (1 - alpha) * np.eye(n)
    inside = support > 0
    assert np.abs(residual[inside]).max() < 1e-9
    assert not f[~inside].any()
    np.testing.assert_allclose(f, f.T, atol=1e-15)
    assert (f[inside] > 0).any()


def test_the_parts_of_cas_can_be_switched_off(gallery):
    lists, _, _ = whole(gallery)
    seen = [
        model("cas", k1=8, k2=3, **{part: False}).recalculate(lists, gallery)
        for part in ("bsd", "nss", "propagate")
    ]
    seen.append(model("cas", k1=8, k2=3).recalculate(lists, gallery))
    for a in range(len(seen)):
        for b in range(a):
            assert np.abs(seen[a] - seen[b]).max() > 1e-3


@pytest.mark.parametrize(("k1", "k2", "layers"), [(10, 2, 2), (6, 5, 1), (10, 3, 3)])
def test_conaff(gallery, k1, k2, layers):
    lists, full, order = whole(gallery)
    found = model("conaff", k1=k1, k2=k2, layers=layers, keep=len(gallery)).recalculate(
        lists, gallery
    )
    expected = oracle.conaff(full, order, k1, k2, 2.0, layers)
    np.testing.assert_allclose(found, listed(expected, lists), atol=2e-6)


def test_rdp(gallery):
    lists, _, _ = whole(gallery)
    found = model("rdp", k=8, alpha=0.9, iterations=6, keep=len(gallery)).recalculate(
        lists, gallery
    )
    symmetric = build_graph(lists, 8, "union", 0, 3.0).matrix.toarray()
    expected = oracle.rdp(symmetric, 0.9, 6)
    np.testing.assert_allclose(found, listed(expected, lists), atol=2e-5)


def test_alpha_qe(gallery):
    lists, full, order = whole(gallery)
    found = model("alpha-qe", n=5, alpha=3.0).recalculate(lists, gallery)
    expected = np.clip(oracle.alpha_qe(gallery, full, order, 5, 3.0), 0, 1)
    np.testing.assert_allclose(found, listed(expected, lists), atol=2e-6)


@pytest.mark.parametrize(("neighbors", "beta", "width"), [(9, 0.15, 25), (3, 0.5, 10)])
def test_superglobal(gallery, neighbors, beta, width):
    lists = whole(gallery)[0].first(width)
    lists = NeighborLists(np.ascontiguousarray(lists.ids), np.ascontiguousarray(lists.similarities))
    found = model("superglobal", K=neighbors, beta=beta).recalculate(lists, gallery)
    for i in range(len(gallery)):
        expected = oracle.superglobal(
            gallery.astype(np.float64), lists.ids[i].astype(np.int64), i, neighbors, beta
        )
        np.testing.assert_allclose(found[i], np.clip(expected, 0, 1), atol=2e-6)


def test_boundary_weakens_edges_between_clusters_only(gallery):
    lists, _, _ = whole(gallery)
    boundary = model("boundary", clusters=6, passes=4)
    found = boundary.recalculate(lists, gallery)
    cluster, risk = boundary.boundary_risk(gallery, 6)
    inside = cluster[lists.ids.astype(np.int64)] == cluster[:, None]
    plain = np.clip(lists.similarities, 0, 1)
    np.testing.assert_array_equal(found[inside], plain[inside])
    assert (found[~inside] <= plain[~inside] * 1.000001).all()
    positive = plain > 0
    assert (found[positive] >= plain[positive] / 4 * 0.999).all()
    passes = boundary.first_pass(risk)
    assert passes.min() == 0
    assert passes.max() <= 3
    assert (np.diff(passes[np.argsort(risk, kind="stable")]) >= 0).all()
