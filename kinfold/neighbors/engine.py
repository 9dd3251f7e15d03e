"""Engines that find the nearest gallery rows of queries: exact, or approximate by faiss.

All of them keep one contract (`KnnEngine`), so that a search does not care which one it has.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

import faiss
import numpy as np

from kinfold.arrays import NOTHING, AnyArray, Float32s, UInt8s, UInt32s
from kinfold.config import Neighbors
from kinfold.errors import CorruptIndexError
from kinfold.kernels.compare import (
    doubtful,
    scan,
    scan_parallel,
    score_lists,
    score_lists_parallel,
)
from kinfold.metric import Measure

EngineKind = Literal["exact", "hnsw", "ivf"]

EXACT_VALUES = 2.5e7
"""auto: values (n d) up to which a query is compared with every row: some milliseconds."""

SPARE = 8
"""Candidates beyond k that an exact engine is asked for."""

BLAS_QUERIES = 4
"""Queries from which comparing them with all rows as one matrix product beats one by one: the
vectors are then read once for all, which for 32 queries of 512 values takes a fifth of the time."""

HNSW_LINKS = 16
HNSW_BUILD_BEAM = 80
HNSW_SEARCH_BEAM = 64
IVF_PROBES = 16
IVF_PROBE_SHARE = 0.005
MOST_WIDENING = 8
"""By how much a beam grows at most where few rows may be given."""


class KnnEngine(Protocol):
    """Finds nearest gallery rows."""

    @property
    def kind(self) -> EngineKind:
        """Which engine this is, as the manifest names it."""
        ...

    def candidates(self, queries: Float32s, k: int) -> UInt32s:
        """The k nearest rows of each query, (m, k) uint32, in no promised order.

        `NOTHING` fills up lists that an approximate engine could not fill.
        """
        ...

    def candidates_among(self, queries: Float32s, k: int, bits: UInt8s, share: float) -> UInt32s:
        """As `candidates`, of the rows whose bit is set.

        Parameters
        ----------
        bits:
            One a row, the first of them the lowest of a byte.
        share:
            Of the rows, those whose bit is set.
        """
        ...


def choose_engine(wanted: Neighbors, rows: int, dimension: int) -> EngineKind:
    """The engine that `neighbors` stands for; auto decides by what one query is compared with."""
    if wanted != "auto":
        return wanted
    return "exact" if rows * dimension <= EXACT_VALUES else "ivf"


_COUNTS_VALUES = faiss.cvar.distance_compute_blas_threshold > 10_000
"""Whether faiss holds its threshold against queries × dimension (since 1.14), not queries."""


def _use_blas_from(queries: int, dimension: int) -> None:
    """Let faiss multiply matrices from so many queries on.

    Its threshold is one for the process, and the value here depends on the dimension alone: where
    two threads that search different galleries overtake each other, one search is slower.
    """
    threshold = queries * dimension if _COUNTS_VALUES else queries
    if faiss.cvar.distance_compute_blas_threshold != threshold:
        faiss.cvar.distance_compute_blas_threshold = threshold


def _faiss_metric(measure: Measure) -> int:
    metric: int = faiss.METRIC_L2 if measure.by_distance else faiss.METRIC_INNER_PRODUCT
    return metric


class ExactEngine:
    """Compares a query with every row; nothing is stored beside the vectors themselves."""

    kind: EngineKind = "exact"

    def __init__(self, vectors: Float32s, measure: Measure) -> None:
        self._vectors = vectors
        self._metric = _faiss_metric(measure)

    def candidates(self, queries: Float32s, k: int) -> UInt32s:
        """See `KnnEngine.candidates`."""
        _use_blas_from(BLAS_QUERIES, queries.shape[1])
        _, found = faiss.knn(queries, self._vectors, k, metric=self._metric)
        return _as_positions(found)

    def candidates_among(self, queries: Float32s, k: int, bits: UInt8s, share: float) -> UInt32s:
        """See `KnnEngine.candidates_among`."""
        rows, dimension = self._vectors.shape
        queries = np.ascontiguousarray(queries)
        closeness = np.empty((queries.shape[0], k), dtype=np.float32)
        found = np.empty((queries.shape[0], k), dtype=np.int64)
        arrays = (
            faiss.swig_ptr(queries), faiss.swig_ptr(self._vectors), dimension, queries.shape[0],
            rows, k, faiss.swig_ptr(closeness), faiss.swig_ptr(found),
        )  # fmt: skip
        allowed = _selector(bits)
        library: Any = faiss
        if self._metric == faiss.METRIC_L2:
            library.knn_L2sqr(*arrays, None, allowed)
        else:
            library.knn_inner_product(*arrays, allowed)
        return _as_positions(found)


class FaissEngine:
    """An approximate faiss index: a graph (hnsw) or an inverted file (ivf)."""

    def __init__(self, index: Any, kind: EngineKind) -> None:
        self._index = index
        self.kind: EngineKind = kind

    @classmethod
    def graph(cls, dimension: int, measure: Measure) -> FaissEngine:
        """An empty hnsw, ready for `add`."""
        index: Any = faiss.IndexHNSWFlat(dimension, HNSW_LINKS, _faiss_metric(measure))
        index.hnsw.efConstruction = HNSW_BUILD_BEAM
        index.hnsw.efSearch = HNSW_SEARCH_BEAM
        return cls(index, "hnsw")

    @classmethod
    def of_cells(cls, centroids: Float32s, measure: Measure) -> FaissEngine:
        """An inverted file of the gallery's own cells, ready for `add_to`: nothing is trained.

        Cells are chosen by distance whatever the measure, as the items' own cells are.
        """
        count, dimension = centroids.shape
        quantizer: Any = faiss.IndexFlatL2(dimension)
        quantizer.add(np.ascontiguousarray(centroids))
        index: Any = faiss.IndexIVFFlat(quantizer, dimension, count, _faiss_metric(measure))
        index.own_fields = True
        quantizer.this.disown()
        index.is_trained = True
        index.nprobe = min(count, max(IVF_PROBES, int(count * IVF_PROBE_SHARE)))
        return cls(index, "ivf")

    def add(self, vectors: Float32s) -> None:
        """Append rows; the first row added is row 0."""
        self._index.add(np.ascontiguousarray(vectors))

    def add_to(self, cells: UInt32s, vectors: Float32s) -> None:
        """Append rows to an inverted file, each to the cell that is known to be its nearest."""
        rows = np.ascontiguousarray(vectors)
        known = np.ascontiguousarray(cells, dtype=np.int64)
        self._index.add_core(rows.shape[0], faiss.swig_ptr(rows), None, faiss.swig_ptr(known))

    def candidates(self, queries: Float32s, k: int) -> UInt32s:
        """See `KnnEngine.candidates`."""
        parameters = None
        if self.kind == "hnsw" and k > HNSW_SEARCH_BEAM:
            parameters = faiss.SearchParametersHNSW(efSearch=2 * k)  # type: ignore[attr-defined]
        return self._search(queries, k, parameters)

    def candidates_among(self, queries: Float32s, k: int, bits: UInt8s, share: float) -> UInt32s:
        """See `KnnEngine.candidates_among`."""
        library: Any = faiss
        if self.kind == "hnsw":
            # A walk through the graph meets items that may be given as rarely as there are any.
            beam = int(max(HNSW_SEARCH_BEAM, 2 * k) * min(1 / share, MOST_WIDENING))
            parameters = library.SearchParametersHNSW(sel=_selector(bits), efSearch=beam)
        else:
            # The nearest that may be given lie in farther cells where few may.
            probes = int(self._index.nprobe * min(1 / share, MOST_WIDENING))
            probes = min(probes, self._index.nlist)
            parameters = library.SearchParametersIVF(sel=_selector(bits), nprobe=probes)
        return self._search(queries, k, parameters)

    def _search(self, queries: Float32s, k: int, parameters: Any) -> UInt32s:
        try:
            _, found = self._index.search(queries, k, params=parameters)
        except (RuntimeError, MemoryError) as error:
            reason = (str(error) or "it asks for too much memory").splitlines()[0]
            raise CorruptIndexError(
                f"the {self.kind} index is damaged: {reason}; run `kinfold verify`"
            ) from None
        if found.size and int(found.max()) >= self._index.ntotal:
            raise CorruptIndexError(
                f"the {self.kind} index is damaged: it names row {int(found.max())} of "
                f"{self._index.ntotal}; run `kinfold verify`"
            )
        return _as_positions(found)

    def save(self, write: Callable[[bytes], int]) -> None:
        """Hand the index to `write`, piece by piece.

        Not by name: faiss does not look at what closing its file says, and on a full disk calls an
        index written whose end is missing.
        """
        writer = faiss.PyCallbackIOWriter(write)  # type: ignore[attr-defined]
        faiss.write_index(self._index, writer)

    @classmethod
    def load(cls, path: Path, kind: EngineKind, rows: int, dimension: int) -> FaissEngine:
        """Open a written index by memory map, and hold it against what the manifest promises."""
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except (RuntimeError, MemoryError) as error:
            reason = (str(error) or "it asks for too much memory").splitlines()[0]
            raise CorruptIndexError(
                f"{path}: expected a faiss index, cannot be read: {reason}"
            ) from None
        if index.ntotal != rows or index.d != dimension:
            raise CorruptIndexError(
                f"{path}: expected {rows} vectors of dimension {dimension}, "
                f"found {index.ntotal} of dimension {index.d}"
            )
        return cls(index, kind)


def _selector(bits: UInt8s) -> Any:
    """What tells faiss which rows it may give."""
    library: Any = faiss
    selector = library.IDSelectorBitmap(bits.shape[0], faiss.swig_ptr(bits))
    selector.referenced_objects = [bits]  # faiss only points at them
    return selector


def _as_positions(found: AnyArray) -> UInt32s:
    """Faiss's int64 answers as uint32 positions; its -1 (nothing found) becomes `NOTHING`."""
    return np.where(found < 0, np.int64(NOTHING), found).astype(np.uint32)


def nearest(
    engine: KnnEngine, vectors: Float32s, measure: Measure, queries: Float32s, k: int
) -> tuple[UInt32s, Float32s]:
    """The k nearest rows of each query with their exact similarities, best first.

    Whatever the engine, and whether queries come one by one or in a batch, the same candidates
    get the same similarities to the last bit, and ties are ordered by position.

    Returns
    -------
    (m, k) uint32 positions (`NOTHING` at the end where fewer were found) and (m, k) float32
    similarities.
    """
    found, out = closest(engine, vectors, measure, queries, k, parallel=False)
    return found, measure.similarity(out)


def closest(
    engine: KnnEngine,
    vectors: Float32s,
    measure: Measure,
    queries: Float32s,
    k: int,
    *,
    parallel: bool,
) -> tuple[UInt32s, Float32s]:
    """As `nearest`, but with closeness: inner products, or negated squared distances.

    An exact engine is asked for some more than k. Where even the last of those might tie with the
    k-th (duplicates, or rounding), the rows are scanned one by one: the answer then depends
    neither on the order of an engine's additions nor on how many hits were asked for.
    """
    wide = min(k + SPARE, vectors.shape[0]) if engine.kind == "exact" else k
    found = engine.candidates(queries, wide)
    out = np.empty(found.shape, dtype=np.float32)
    score = score_lists_parallel if parallel else score_lists
    score(queries, vectors, found, measure.by_distance, out)
    if wide > k:
        doubt = np.empty(queries.shape[0], dtype=np.bool_)
        exhaustive = wide == vectors.shape[0]
        if not exhaustive and doubtful(queries, vectors, found, out, k, doubt):
            rows = np.flatnonzero(doubt)
            if parallel:
                scan_parallel(queries, rows, vectors, measure.by_distance, found, out)
            else:
                for row in rows:
                    scan(queries[row], vectors, measure.by_distance, found[row], out[row])
        found, out = np.ascontiguousarray(found[:, :k]), np.ascontiguousarray(out[:, :k])
    return found, out
