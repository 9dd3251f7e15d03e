"""The collections of `benchmarks.http`: built once, kept in the output folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import sparse

import kinfold
from benchmarks.common import OUTPUT
from benchmarks.galleries import curved_manifolds

DIMENSION = 512
QUERIES = 2000
K_Q = 10


def prepared(rows: int) -> Path:
    """A folder with data/{exact,hnsw}, queries.npy, and for the plain service vectors and C."""
    folder = OUTPUT / f"http-{rows}"
    if (folder / "done").exists():
        return folder
    gallery = curved_manifolds(rows, DIMENSION, queries=QUERIES)
    folder.mkdir(parents=True, exist_ok=True)
    for engine in ("exact", "hnsw"):
        print(f"building {rows:,} × {DIMENSION}, {engine} ...", flush=True)
        config = kinfold.BuildConfig(neighbors=engine, seeds="plain", k_q=K_Q)
        kinfold.build(gallery.vectors, folder / "data" / engine, config=config)
    index = kinfold.open(folder / "data" / "exact")
    np.save(folder / "queries.npy", gallery.queries)
    np.save(folder / "vectors.npy", index.vectors)
    sparse.save_npz(folder / "rows.npz", _matrix(index), compressed=False)
    np.save(folder / "gamma.npy", index.manifest.models["default"].config.seed_exponent)
    (folder / "done").touch()
    return folder


def _matrix(index: kinfold.Index) -> sparse.csr_matrix:
    """C with its scales, as anybody would keep it."""
    rows = list(index.iterate_rows())
    indptr = np.concatenate([[0], np.cumsum([columns.size for columns, _ in rows])])
    columns = np.concatenate([columns for columns, _ in rows]).astype(np.int32)
    values = np.concatenate([values for _, values in rows])
    model = index._stored.models["default"]
    scales = np.asarray(model.scales)[model.places]
    values = values * scales[columns] * np.repeat(scales, np.diff(indptr))
    return sparse.csr_matrix((values, columns, indptr), shape=(len(index), len(index)))
