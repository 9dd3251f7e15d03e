"""mAP on the real sets, queries held out: defaults, both truncations, both value types.

python -m benchmarks.quality

Digits come with scikit-learn. The others are read from the folder that KINFOLD_TEST_DATA names
(COIL20_px.npz, Palm_px.npz, mpeg7_lite0gem.npz) and left out where it has none.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np

import kinfold
from benchmarks.common import finish
from benchmarks.galleries import Gallery, curved_manifolds, unequal_clusters
from kinfold.evaluate import score_by_labels

NEAREST = {"truncation": "nearest", "max_row": 1000, "mass": 1.0}
GRAPH = {"truncation": "graph", "max_row": 200, "mass": 1.0}
PUBLISHED = {
    "similarity": ["cosine"], "k_d": 10, "rank_scale": 0, "unit_diagonal": False, "alpha": 0.99,
    "k_q": 10, "seeds": "plain", "graph": "mutual", **NEAREST,
}  # fmt: skip
"""Offline diffusion as published (Yang et al., AAAI 2019), but for its k_d of 50."""


def main() -> None:
    """Run and print."""
    results = []
    for name, gallery in (sets() | made()).items():
        row: dict[str, object] = {"what": name, "items": gallery.labels.size}
        row["kNN"] = 100 * quality(gallery, {}, "knn")[0]
        row["default"], row["values/row"] = quality(gallery, {}, None)
        row["default"] = 100 * float(row["default"])  # type: ignore[arg-type]
        row["float32"] = 100 * quality(gallery, {"dtype": "float32"}, None)[0]
        row["cosine"] = 100 * quality(gallery, {"similarity": ["cosine"]}, None)[0]
        row["published"] = 100 * quality(gallery, PUBLISHED, None)[0]
        row["nearest T=1000"] = 100 * quality(gallery, NEAREST, None)[0]
        row["graph T=200"] = 100 * quality(gallery, GRAPH, None)[0]
        results.append(row)
    finish("quality", "mAP (%) of full rankings, queries not in the gallery", results)


def quality(
    gallery: Gallery, parameters: dict[str, object], model: str | None
) -> tuple[float, float]:
    """(mAP, values a row) of a build with these parameters."""
    with tempfile.TemporaryDirectory() as folder:
        config = kinfold.BuildConfig.checked(parameters)
        index = kinfold.build(gallery.vectors, folder, config=config)
        positions = index.search(gallery.queries, len(index), model).positions
        scores = score_by_labels(positions.astype(np.int64), gallery.query_labels, gallery.labels)
        return scores.mean_average_precision, index.manifest.models["default"].stored / len(index)


def sets() -> dict[str, Gallery]:
    """The sets that can be had here."""
    found = {"digits": digits()}
    folder = os.environ.get("KINFOLD_TEST_DATA")
    if folder is None:
        return found
    for name, file in (
        ("MPEG-7 (CNN)", "mpeg7_lite0gem.npz"),
        ("COIL-20 (pixels)", "COIL20_px.npz"),
        ("Palm (pixels)", "Palm_px.npz"),
    ):
        path = Path(folder) / file
        if path.is_file():
            with np.load(path) as data:
                asked = data["is_query"].astype(bool)
                vectors, labels = data["X"], data["y"]
            found[name] = Gallery(vectors[~asked], labels[~asked], vectors[asked], labels[asked])
    return found


def made() -> dict[str, Gallery]:
    """Sets of our own making: curved manifolds among distractors, clusters of unequal size."""
    return {"arcs": curved_manifolds(8000, 64, queries=200), "unequal": unequal_clusters()}


def digits() -> Gallery:
    """1,438 handwritten digits and 359 held-out queries."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = np.random.default_rng(0).permutation(bunch.target.size)
    asked, kept = order[:359], order[359:]
    return Gallery(bunch.data[kept], bunch.target[kept], bunch.data[asked], bunch.target[asked])


if __name__ == "__main__":
    main()
