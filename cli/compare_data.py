"""What `kinfold compare` compares on: a gallery, queries that are not in it, and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexer import read_source
from indexer.sources import Columns
from kinfold.arrays import AnyArray, Bools, Float32s
from kinfold.errors import InputError
from kinfold.evaluate.label_codes import check_labels
from kinfold.validate import as_float32, normalised

DIGITS = "digits"
"""The name of the set that needs no file."""
DIGIT_QUERIES = 359
VECTORS, LABELS, MASK = "X", "y", "is_query"


@dataclass(frozen=True, slots=True)
class Sample:
    """A labelled set, split.

    Attributes
    ----------
    name:
        What tables call it.
    gallery, queries:
        (n, d) and (m, d) float32, rows of length one.
    labels, query_labels:
        (n,) and (m,) integers or strings.
    """

    name: str
    gallery: Float32s
    labels: AnyArray
    queries: Float32s
    query_labels: AnyArray

    @property
    def answered(self) -> int:
        """Queries whose label is in the gallery; the others have no average precision."""
        return int(np.isin(self.query_labels, self.labels).sum())


def read_samples(data: Sequence[str]) -> list[Sample]:
    """Read every set before any is worked on; two of one name are told apart by their paths."""
    samples: list[Sample] = []
    for place, one in enumerate(data):
        if one in data[:place]:
            raise InputError(f"{one}: expected every set once, found it twice")
        stems = [Path(other).stem for other in data]
        name = one if stems.count(Path(one).stem) > 1 else Path(one).stem
        samples.append(_digits() if one == DIGITS else _from_file(one, name))
    return samples


def _digits() -> Sample:
    """Scikit-learn's handwritten digits, 359 of 1,797 held out by a fixed permutation."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise InputError(
            "the digits come with scikit-learn: pip install 'kinfold[demo]', or give an .npz file"
        ) from None
    bunch = load_digits()
    asked = np.zeros(bunch.target.size, dtype=bool)
    order = np.random.default_rng(0).permutation(bunch.target.size)
    asked[order[:DIGIT_QUERIES]] = True
    return _split(DIGITS, DIGITS, bunch.data, bunch.target.astype(np.int64), asked)


def _from_file(path: str, name: str) -> Sample:
    if Path(path).suffix.lower() != ".npz":
        raise InputError(
            f"{path}: expected {DIGITS!r}, or an .npz file with the arrays {VECTORS} (vectors), "
            f"{LABELS} (labels) and {MASK} (true for queries)"
        )
    source = read_source(path, Columns(vectors=VECTORS, payload=(LABELS, MASK)))
    return _split(path, name, source.vectors, source.column(LABELS), source.mask(MASK))


def _split(path: str, name: str, vectors: AnyArray, labels: AnyArray, asked: Bools) -> Sample:
    checked = check_labels(labels, f"{path}: {LABELS}", vectors.shape[0])
    unit = normalised(as_float32(vectors, path, 0), path, 0)
    queries = int(asked.sum())
    if queries == 0:
        raise InputError(f"{path}: {MASK}: expected at least one query, found none of {asked.size}")
    if asked.size - queries < 2:
        raise InputError(
            f"{path}: {MASK}: expected at least 2 items that are no queries, "
            f"found {asked.size - queries} of {asked.size}"
        )
    sample = Sample(name, unit[~asked], checked[~asked], unit[asked], checked[asked])
    if sample.answered == 0:
        raise InputError(
            f"{path}: {LABELS}: expected queries whose label is in the gallery, found none; "
            "nothing could ever be right"
        )
    return sample
