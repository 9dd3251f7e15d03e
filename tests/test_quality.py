"""Mean average precision on real images: what the library is for.

Queries are held out of the gallery, rankings are complete, labels decide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.datasets import load_digits

import kinfold
from kinfold import BuildConfig


@dataclass(frozen=True)
class Split:
    gallery: np.ndarray
    labels: np.ndarray
    queries: np.ndarray
    query_labels: np.ndarray

    def mean_average_precision(self, index, model=None, **how):
        hits = index.search(self.queries, k=len(index), model=model, **how)
        return kinfold.evaluate.score_by_labels(
            hits.positions.astype(np.int64), self.query_labels, self.labels
        ).mean_average_precision


def shared(folder, name):
    path = folder / f"{name}.npz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    with np.load(path) as data:
        X, y, held_out = data["X"], data["y"], data["is_query"]
    return Split(X[~held_out], y[~held_out], X[held_out], y[held_out])


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    queries, gallery = order[:359], order[359:]
    return Split(X[gallery], y[gallery], X[queries], y[queries])


@pytest.fixture(scope="module")
def mpeg7(shared_data):
    return shared(shared_data, "mpeg7_lite0gem")


@pytest.fixture(scope="module")
def palm(shared_data):
    return shared(shared_data, "Palm_px")


@pytest.fixture(scope="module")
def coil20(shared_data):
    return shared(shared_data, "COIL20_px")


@pytest.fixture
def split(request):
    return request.getfixturevalue(request.param)


SETS = ["digits", "mpeg7", "coil20", "palm"]
PUBLISHED = {
    "similarity": ["cosine"], "k_d": 8, "rank_scale": 0, "unit_diagonal": False, "alpha": 0.99,
    "k_q": 5, "seeds": "reciprocal",
}  # fmt: skip
"""Offline diffusion without what is ours in the graph, in C and in the seeds."""


@pytest.mark.parametrize(
    ("split", "least"),
    [("digits", 0.86), ("mpeg7", 0.85), ("coil20", 0.88), ("palm", 0.94)],
    indirect=["split"],
)
def test_mean_average_precision_of_the_defaults(split, least, tmp_path):
    index = kinfold.build(split.gallery, tmp_path)
    found = split.mean_average_precision(index)
    plain = split.mean_average_precision(index, "knn")
    assert found >= least
    assert found > plain + 0.05
    assert index.manifest.models["default"].not_converged == 0


def test_published_diffusion_on_long_manifolds(coil20, tmp_path):
    index = kinfold.build(coil20.gallery, tmp_path, config=BuildConfig(**PUBLISHED))
    assert coil20.mean_average_precision(index) >= 0.87


@pytest.mark.parametrize("k_q", [5, 10])
@pytest.mark.parametrize("split", SETS, indirect=True)
def test_soft_seeds_are_worth_the_better_of_both_others(split, k_q, tmp_path):
    index = kinfold.build(split.gallery, tmp_path)
    found = {
        seeds: split.mean_average_precision(index, k_q=k_q, seeds=seeds)
        for seeds in ("plain", "reciprocal", "soft")
    }
    assert found["soft"] >= max(found.values()) - 0.005


@pytest.mark.parametrize("settings", [{}, PUBLISHED], ids=["default", "published"])
@pytest.mark.parametrize("split", ["digits", "mpeg7", "coil20"], indirect=True)
def test_half_precision_costs_nothing(split, settings, tmp_path):
    half, single = (
        split.mean_average_precision(
            kinfold.build(
                split.gallery, tmp_path / dtype, config=BuildConfig(dtype=dtype, **settings)
            )
        )
        for dtype in ("float16", "float32")
    )
    assert half == pytest.approx(single, abs=0.001)


@pytest.mark.parametrize("settings", [{}, PUBLISHED], ids=["default", "published"])
@pytest.mark.parametrize("split", ["digits", "mpeg7", "coil20"], indirect=True)
def test_short_rows_along_the_graph_are_worth_long_ones_by_distance(split, settings, tmp_path):
    """T = 200 chosen by a walk, against the published T = 1000 nearest neighbours."""
    found = {
        truncation: split.mean_average_precision(
            kinfold.build(
                split.gallery,
                tmp_path / truncation,
                config=BuildConfig(truncation=truncation, max_row=max_row, mass=1, **settings),
            )
        )
        for truncation, max_row in (("graph", 200), ("nearest", 1000))
    }
    assert found["graph"] >= found["nearest"] - 0.005
