"""What all models of a version share: vectors, items, the kNN index and the neighbour lists."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from kinfold.arrays import AnyArray, Float32s
from kinfold.index import VersionWriter, layout
from kinfold.index.files import map_npy, write_npy_header
from kinfold.metric import Measure
from kinfold.neighbors import ExactEngine, FaissEngine, KnnEngine, NeighborLists
from kinfold.progress import Progress, ProgressCallback
from kinfold.validate import as_float32, check_lengths, normalised, row_chunks


def store_vectors(
    writer: VersionWriter, gallery: AnyArray, measure: Measure, progress: ProgressCallback
) -> Float32s:
    """Check, normalise and write the vectors piece by piece; returns them mapped."""
    rows, dimension = gallery.shape
    with writer.file(layout.VECTORS) as file:
        write_npy_header(file, np.dtype("<f4"), (rows, dimension))
        for piece in row_chunks(rows, dimension):
            chunk = as_float32(gallery[piece], "vectors", piece.start)
            if measure.normalises:
                chunk = normalised(chunk, "vectors", piece.start)
            else:
                check_lengths(chunk, "vectors", piece.start)
            file.write(np.ascontiguousarray(chunk))
            progress(Progress("vectors", piece.stop, rows))
    return map_npy(writer.folder / layout.VECTORS, "<f4", (rows, dimension))


def store_items(writer: VersionWriter, ids: AnyArray | None, payload: pa.Table | None) -> None:
    """Write ids, their order, and the payload, those that there are."""
    if ids is not None:
        kind = pa.int64() if ids.dtype.kind == "i" else pa.large_string()
        column = pa.array(ids.tolist() if ids.dtype.kind == "U" else ids, type=kind)
        writer.table(layout.IDS, pa.table({layout.ID_COLUMN: column}))
        order = np.argsort(ids, kind="stable").astype(np.uint32)
        writer.array(layout.IDS_ORDER, order)
    if payload is not None:
        writer.table(layout.PAYLOAD, payload)


def make_engine(
    writer: VersionWriter,
    kind: str,
    vectors: Float32s,
    measure: Measure,
    progress: ProgressCallback,
) -> KnnEngine:
    """The kNN index, written unless it is the vectors themselves."""
    if kind == "exact":
        return ExactEngine(vectors, measure)
    engine = FaissEngine.empty("hnsw" if kind == "hnsw" else "ivf", vectors, measure)
    rows, dimension = vectors.shape
    for piece in row_chunks(rows, 64 * dimension):
        engine.add(vectors[piece])
        progress(Progress("knn index", piece.stop, rows))
    with writer.file(layout.ENGINE) as file:
        engine.save(file.write)
    return engine


def store_lists(writer: VersionWriter, lists: NeighborLists) -> None:
    """Write the neighbours of every item: for seeds, and for models that are added later."""
    writer.array(layout.NEIGHBORS, lists.ids)
    writer.array(layout.SIMILARITIES, lists.similarities)
