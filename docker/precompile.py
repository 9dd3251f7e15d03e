"""Compile the kernels once, when the image is built, so that no start waits for them.

Builds and searches tiny galleries in every way that the parameters offer; Numba keeps what it
compiles beside the sources. ``try.sh`` checks that a build and a search in the image compile
nothing more.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

import kinfold
from kinfold import BuildConfig
from kinfold.config import SimilaritySpec
from kinfold.similarity import model_names

WAYS = (
    {"auto": True},
    {"truncation": "nearest", "dtype": "float32", "graph": "union"},
    {"metric": "l2", "graph": "mutual", "unit_diagonal": False},
    {"metric": "inner_product", "neighbors": "hnsw"},
    {"neighbors": "ivf"},
)


def main() -> None:
    """Build and search."""
    start = time.perf_counter()
    random = np.random.default_rng(0)
    centres = random.standard_normal((20, 16))
    vectors = (np.repeat(centres, 40, axis=0) + 0.3 * random.standard_normal((800, 16))).astype(
        np.float32
    )
    models = {
        f"m{number}": BuildConfig(similarity=[SimilaritySpec(name=name)])
        for number, name in enumerate(model_names())
    }
    with tempfile.TemporaryDirectory() as folder:
        ways = [BuildConfig.model_validate(way) for way in WAYS]
        for number, config in enumerate([None, *ways]):
            search(kinfold.build(vectors, Path(folder) / f"way-{number}", config=config), vectors)
        for name, config in models.items():
            search(kinfold.build(vectors, Path(folder) / name, config=config), vectors)
    print(f"compiled the kernels in {time.perf_counter() - start:.0f} s")


def search(index: kinfold.Index, vectors: np.ndarray) -> None:
    """In every way; as mapped from disk, which is read-only, and as given."""
    index.warm_up()
    for seeds in ("plain", "reciprocal", "soft"):
        index.search(vectors[:3], k=5, seeds=seeds)
    index.search_by_id(index.search(vectors[:1], k=2).ids[0], k=5)
    for fusion in ("rrf", "score"):
        index.search(vectors[:3], k=100, model=[*index.models[:1], "knn"], fusion=fusion)


if __name__ == "__main__":
    main()
