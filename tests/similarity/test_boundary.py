"""Boundary filtering on galleries of very many clusters, which are found in parts."""

from __future__ import annotations

import numpy as np
import pytest

from kinfold.similarity import boundary as module
from kinfold.similarity.boundary import Boundary
from kinfold.threads import limited_threads
from kinfold.validate import normalised


@pytest.fixture
def vectors(monkeypatch):
    """3,000 items, and "very many" is more than 60 clusters."""
    monkeypatch.setattr(module, "_PLAIN", 60)
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(150, 12))
    noise = 0.4 * generator.normal(size=(3000, 12))
    return normalised((centres[np.arange(3000) % 150] + noise).astype("f4"), "rows", 0)


def spread(vectors, cluster):
    """Mean squared distance to the mean of the own cluster."""
    return sum(
        ((vectors[cluster == c] - vectors[cluster == c].mean(axis=0)) ** 2).sum()
        for c in np.unique(cluster)
    ) / len(vectors)


def test_parts_make_clusters_as_good(vectors, monkeypatch):
    cluster, risk = Boundary().boundary_risk(vectors, 150)
    assert ((risk >= 0) & (risk <= 1)).all()
    assert 130 <= len(np.unique(cluster)) <= 165
    monkeypatch.setattr(module, "_PLAIN", 1000)
    plain, plain_risk = Boundary().boundary_risk(vectors, 150)
    assert spread(vectors, cluster) < 1.05 * spread(vectors, plain)
    assert abs(risk.mean() - plain_risk.mean()) < 0.05


def test_parts_do_not_depend_on_the_threads(vectors):
    found = []
    for threads in (1, 2, 1):
        with limited_threads(threads):
            found.append(Boundary().boundary_risk(vectors, 150))
    for cluster, risk in found[1:]:
        np.testing.assert_array_equal(cluster, found[0][0])
        np.testing.assert_array_equal(risk, found[0][1])


def test_duplicates_cannot_be_divided(vectors):
    same = np.repeat(vectors[:1], 2500, axis=0)
    cluster, risk = Boundary().boundary_risk(np.concatenate([same, vectors[:500]]), 150)
    assert (cluster[:2500] == cluster[0]).all()
    assert np.isfinite(risk).all()
