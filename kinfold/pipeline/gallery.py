"""What all models of a version share: vectors, items, the kNN index and the neighbour lists."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from kinfold.arrays import AnyArray, Float32s
from kinfold.blocks import Passes
from kinfold.index import layout
from kinfold.index.extras import Extras
from kinfold.index.files import write_npy_header
from kinfold.index.writing import FileWriter
from kinfold.metric import Measure
from kinfold.neighbors import (
    Cells,
    FaissEngine,
    JoinKind,
    NeighborLists,
    estimate_recall,
    make_cells,
    scaled_measure,
    self_join,
)
from kinfold.neighbors.engine import EngineKind
from kinfold.pipeline.stages import (
    CENTROIDS,
    IN_CELLS,
    WIDE,
    ItemsResult,
    NeighborsResult,
    Nothing,
    Outcome,
)
from kinfold.pipeline.stopwatch import Stopwatch
from kinfold.progress import Progress, ProgressCallback
from kinfold.validate import as_float32, check_lengths, normalised, row_chunks


def make_vectors(
    writer: FileWriter, gallery: AnyArray, measure: Measure, progress: ProgressCallback
) -> Outcome:
    """Check, normalise and write the vectors piece by piece."""
    rows, dimension = gallery.shape
    watch = Stopwatch()
    with watch.stage("vectors"), writer.file(layout.VECTORS) as file:
        write_npy_header(file, np.dtype("<f4"), (rows, dimension))
        for piece in row_chunks(rows, dimension):
            chunk = as_float32(gallery[piece], "vectors", piece.start)
            if measure.normalises:
                chunk = normalised(chunk, "vectors", piece.start)
            else:
                check_lengths(chunk, "vectors", piece.start)
            file.write(np.ascontiguousarray(chunk))
            progress(Progress("vectors", piece.stop, rows))
    return Outcome(Nothing(), watch.seconds)


def make_items(writer: FileWriter, ids: AnyArray | None, payload: pa.Table | None) -> Outcome:
    """Write ids, their order, and the payload, those that there are."""
    watch = Stopwatch()
    with watch.stage("items"):
        _write_items(writer, ids, payload)
    result = ItemsResult(
        ids="rows" if ids is None else ("int64" if ids.dtype.kind == "i" else "string"),
        payload_columns=[] if payload is None else payload.column_names,
    )
    return Outcome(result, watch.seconds)


def _write_items(writer: FileWriter, ids: AnyArray | None, payload: pa.Table | None) -> None:
    if ids is not None:
        kind = pa.int64() if ids.dtype.kind == "i" else pa.large_string()
        column = pa.array(ids.tolist() if ids.dtype.kind == "U" else ids, type=kind)
        writer.table(layout.IDS, pa.table({layout.ID_COLUMN: column}))
        order = np.argsort(ids, kind="stable").astype(np.uint32)
        writer.array(layout.IDS_ORDER, order)
    if payload is not None:
        writer.table(layout.PAYLOAD, payload)


def make_extras(writer: FileWriter, extras: Extras) -> Outcome:
    """Write thumbnails, encoder and projection, those that there are."""
    watch = Stopwatch()
    with watch.stage("extras"):
        extras.write(writer)
    return Outcome(Nothing(), watch.seconds)


def find_cells(writer: FileWriter, vectors: Float32s, passes: Passes) -> Outcome:
    """Train centroids, and write them and the nearest of them to every item."""
    watch = Stopwatch()
    with watch.stage("cells"):
        cells = make_cells(vectors, passes)
        writer.array(CENTROIDS, cells.centroids)
        writer.array(IN_CELLS, cells.nearest)
    return Outcome(Nothing(), watch.seconds)


def make_engine(
    writer: FileWriter,
    kind: EngineKind,
    vectors: Float32s,
    measure: Measure,
    cells: Cells | None,
    progress: ProgressCallback,
) -> Outcome:
    """Make and write the kNN index, unless it is the vectors themselves.

    Parameters
    ----------
    cells:
        For an inverted file.
    """
    if kind == "exact":
        return Outcome(Nothing(), {})
    watch = Stopwatch()
    with watch.stage("knn"):
        rows, dimension = vectors.shape
        engine = (
            FaissEngine.graph(dimension, measure)
            if cells is None
            else FaissEngine.of_cells(cells.centroids, measure)
        )
        for piece in row_chunks(rows, 64 * dimension):
            if cells is None:
                engine.add(vectors[piece])
            else:
                engine.add_to(cells.nearest[piece, 0], vectors[piece])
            progress(Progress("knn index", piece.stop, rows))
        with writer.file(layout.ENGINE) as file:
            engine.save(file.write)
    return Outcome(Nothing(), watch.seconds)


def make_neighbors(
    writer: FileWriter,
    vectors: Float32s,
    measure: Measure,
    *,
    how: JoinKind,
    width: int,
    stored: int,
    k_d: int,
    cells: Cells | None,
    passes: Passes,
) -> Outcome:
    """Find every item's `width` nearest neighbours and write the first `stored` of them.

    Parameters
    ----------
    measure:
        Without a scale, which is part of the result.
    k_d:
        Neighbours that the estimate of recall, and the scale, look at.
    cells:
        For how = cells.
    """
    watch = Stopwatch()
    with watch.stage("neighbors"):
        raw = self_join(vectors, measure, width, how=how, cells=cells, passes=passes)
        recall = 1.0
        if how != "exact":
            recall = estimate_recall(raw, vectors, measure, k_d)
        scaled = scaled_measure(raw, measure, k_d)
        lists = NeighborLists(raw.ids, scaled.similarity(raw.similarities))
        store_lists(writer, lists.first(stored))
        if width > stored:
            writer.array(WIDE, lists.ids)
    return Outcome(NeighborsResult(recall=recall, scale=scaled.scale), watch.seconds)


def store_lists(writer: FileWriter, lists: NeighborLists) -> None:
    """Write the neighbours of every item: for seeds, and for models that are added later."""
    writer.array(layout.NEIGHBORS, lists.ids)
    writer.array(layout.SIMILARITIES, lists.similarities)
