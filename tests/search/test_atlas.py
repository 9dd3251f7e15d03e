"""The map of a gallery: relatives beside each other, the same every time, inside the frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import kinfold
from kinfold.errors import InputError, UnknownNameError
from kinfold.search import Index
from kinfold.search.atlas import make_atlas

LABELS = np.arange(240) % 8


def clusters(metric: str = "cosine") -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(8, 10)) * (3 if metric == "l2" else 1)
    return (centres[LABELS] + 0.15 * rng.normal(size=(240, 10))).astype("f4")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return kinfold.build(clusters(), tmp_path_factory.mktemp("atlas") / "x")


def near(places: np.ndarray, labels: np.ndarray) -> float:
    """The share of items whose nearest on the map has their label."""
    distance = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    return float((labels[distance.argmin(axis=1)] == labels).mean())


def test_relatives_lie_together(index: Index) -> None:
    atlas = make_atlas(index)
    assert atlas.positions.tolist() == list(range(240))
    assert atlas.places.min() >= 0
    assert atlas.places.max() <= 1
    assert near(atlas.places, LABELS) > 0.97
    centres = np.array([atlas.places[label == LABELS].mean(axis=0) for label in range(8)])
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=2)[~np.eye(8, dtype=bool)]
    spread = max(
        np.linalg.norm(atlas.places[label == LABELS] - centres[label], axis=1).mean()
        for label in range(8)
    )
    assert apart.min() > spread


def test_edges_are_those_of_relatives(index: Index) -> None:
    edges = make_atlas(index).edges
    assert (edges[:, 0] < edges[:, 1]).all()
    assert len(np.unique(edges, axis=0)) == len(edges)
    assert (LABELS[edges[:, 0]] == LABELS[edges[:, 1]]).mean() > 0.97


def test_the_same_every_time(index: Index) -> None:
    once, again = make_atlas(index), make_atlas(index)
    assert (once.places == again.places).all()


@pytest.mark.parametrize("metric", ["cosine", "l2", "inner_product"])
def test_of_a_large_gallery_a_sample(metric: str, tmp_path: Path) -> None:
    config = kinfold.BuildConfig(metric=metric)
    index = kinfold.build(clusters(metric), tmp_path / "x", config=config)
    atlas = make_atlas(index, most=61)
    assert atlas.positions.size == 61
    assert (np.diff(atlas.positions.astype(int)) >= 1).all()
    assert (atlas.positions[0], atlas.positions[-1]) == (0, 239)
    assert near(atlas.places, LABELS[atlas.positions]) > (0.8 if metric != "inner_product" else 0.5)


def test_knn_has_a_map_too(index: Index) -> None:
    assert near(make_atlas(index, "knn").places, LABELS) > 0.97
    with pytest.raises(UnknownNameError):
        make_atlas(index, "best")
    with pytest.raises(InputError, match="at least 2"):
        make_atlas(index, most=1)


@pytest.mark.parametrize(
    "vectors", [np.eye(2), np.ones((5, 3)), np.eye(12), np.array([[1.0], [2.0], [-1.0]])]
)
def test_small_and_odd_galleries(vectors: np.ndarray, tmp_path: Path) -> None:
    index = kinfold.build(vectors, tmp_path / "x")
    places = make_atlas(index).places
    assert places.shape == (len(vectors), 2)
    assert np.isfinite(places).all()
    assert len(np.unique(places, axis=0)) == len(vectors)
