"""The collection that everything is tried on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import kinfold
from benchmarks.galleries import curved_manifolds
from kinfold.config import Neighbors

NAME = "photos"
SEARCH = f"/v1/collections/{NAME}/search?k=10"


@dataclass(frozen=True)
class Place:
    """A temporary folder with a data folder in it that holds the collection."""

    folder: Path
    data: Path
    vectors: np.ndarray
    queries: np.ndarray

    @property
    def collection(self) -> Path:
        """The collection's folder."""
        return self.data / NAME

    def save(self, path: Path) -> None:
        """Write the vectors into a file that a build can read."""
        np.save(path, self.vectors)

    def log(self, name: str) -> Path:
        """Where a process writes its log."""
        return self.folder / f"{name}.log"


@contextmanager
def place(
    rows: int,
    dimension: int = 64,
    versions: int = 1,
    names: Sequence[str] = (NAME,),
    neighbors: Neighbors = "auto",
) -> Iterator[Place]:
    """Build collections, with so many versions each; everything is removed in the end."""
    gallery = curved_manifolds(rows, dimension, queries=100)
    payload = {"camera": [f"camera {i % 7}" for i in range(rows)], "number": np.arange(rows)}
    with tempfile.TemporaryDirectory(prefix="kinfold-") as folder:
        data = Path(folder) / "data"
        for name in names:
            for number in range(versions):
                alpha = 0.98 - 0.01 * number
                config = kinfold.BuildConfig(alpha=alpha, max_row=100, neighbors=neighbors)
                kinfold.build(gallery.vectors, data / name, config=config, payload=payload)
        yield Place(Path(folder), data, gallery.vectors, gallery.queries)
