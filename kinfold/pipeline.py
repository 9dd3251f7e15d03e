"""build: from vectors to a published version, one stage after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from kinfold.affinity import build_graph
from kinfold.arrays import AnyArray, Float32s
from kinfold.config import BuildConfig
from kinfold.diffusion import DiffusionReport, diffuse
from kinfold.errors import InputError
from kinfold.index import FORMAT_VERSION, ModelInfo, VersionWriter, layout
from kinfold.index.files import map_npy, write_npy_header
from kinfold.index.matrix import write_graph, write_matrix
from kinfold.index.publish import VERSIONS
from kinfold.metric import Measure
from kinfold.neighbors import (
    ExactEngine,
    FaissEngine,
    KnnEngine,
    NeighborLists,
    choose_engine,
    estimate_recall,
    self_join,
)
from kinfold.progress import Progress, ProgressCallback, silent
from kinfold.search import Index, open_index
from kinfold.similarity import SimilarityModel, apply_models, resolve
from kinfold.threads import limited_threads
from kinfold.validate import (
    as_float32,
    as_gallery,
    as_ids,
    check_lengths,
    normalised,
    row_chunks,
)
from kinfold.version import __version__

DEFAULT_MODEL = "default"


def build(
    vectors: AnyArray,
    path: str | Path,
    ids: Sequence[int] | Sequence[str] | AnyArray | None = None,
    payload: Mapping[str, Sequence[Any]] | pa.Table | None = None,
    config: BuildConfig | None = None,
    progress: ProgressCallback | None = None,
    *,
    threads: int | None = None,
) -> Index:
    """Build an index of a gallery and publish it at `path`; returns it, open.

    Parameters
    ----------
    vectors:
        (n, d), n >= 2; float16, float32, float64 or integers, finite. May be a memory map: it is
        read in pieces. For metric cosine no row may be all zeros; rows need not be normalised.
    path:
        The folder of the collection. An index that is there already stays live until the new
        version is complete, and keeps its own folder afterwards.
    ids:
        n unique integers or strings; None: the row numbers.
    payload:
        Columns of n values kept with the items: a mapping or an Arrow table.
    config:
        `BuildConfig`; None: the defaults. An explicit k_d must be smaller than n; the default is
        lowered for tiny galleries.
    progress:
        Called with `Progress` events, from the calling thread.
    threads:
        None: all cores that this process may use. The result does not depend on it.

    Raises
    ------
    InputError
        Anything about the data or parameters, with row and value.
    StorageError
        The disk is full or not writable; nothing published is touched.
    BusyError
        Another process builds at the same path.
    """
    return open_index(
        Path(path) / VERSIONS / publish(vectors, path, ids, payload, config, progress, threads)
    )


def publish(
    vectors: AnyArray,
    path: str | Path,
    ids: Sequence[int] | Sequence[str] | AnyArray | None,
    payload: Mapping[str, Sequence[Any]] | pa.Table | None,
    config: BuildConfig | None,
    progress: ProgressCallback | None,
    threads: int | None,
) -> str:
    """As `build`, but returns the name of the version that went live instead of opening it."""
    gallery = as_gallery(vectors)
    rows = gallery.shape[0]
    settings = fitted(config or BuildConfig(), rows)
    models = [resolve(spec) for spec in settings.similarity]
    checked_ids = None if ids is None else as_ids(ids, rows)
    table = as_payload(payload, rows)
    report = progress or silent
    with limited_threads(threads) as count, VersionWriter(Path(path)) as writer:
        return _Build(writer, settings, models, report, count).run(gallery, checked_ids, table)


def fitted(config: BuildConfig, rows: int) -> BuildConfig:
    """The configuration as it can be used on `rows` items; refuses an explicit k_d >= n."""
    if config.k_d < rows:
        return config
    if "k_d" in config.model_fields_set:
        raise InputError(
            f"k_d = {config.k_d} needs at least {config.k_d + 1} items, found {rows}; "
            f"set k_d to at most {rows - 1}"
        )
    lowered = {"k_d": rows - 1, "min_degree": min(config.min_degree, rows - 1)}
    return config.model_copy(update=lowered)


def as_payload(
    payload: Mapping[str, Sequence[Any]] | pa.Table | None, rows: int
) -> pa.Table | None:
    """Payload as an Arrow table of n rows, columns named once each."""
    if payload is None:
        return None
    try:
        table = payload if isinstance(payload, pa.Table) else pa.table(dict(payload))
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InputError(f"payload: cannot be kept as columns: {error}") from None
    if table.num_columns == 0:
        return None
    if table.num_rows != rows:
        raise InputError(f"payload: expected {rows} rows, one a vector, found {table.num_rows}")
    if len(set(table.column_names)) != table.num_columns:
        raise InputError(f"payload: expected unique column names, found {table.column_names}")
    return table


class _Build:
    """One build: its stages in order, and what they measured."""

    def __init__(
        self,
        writer: VersionWriter,
        config: BuildConfig,
        models: list[SimilarityModel],
        progress: ProgressCallback,
        threads: int,
    ) -> None:
        self._writer = writer
        self._config = config
        self._models = models
        self._progress = progress
        self._threads = threads
        self._seconds: dict[str, float] = {}

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._seconds[f"{name}_seconds"] = round(time.perf_counter() - start, 3)

    def run(self, gallery: AnyArray, ids: AnyArray | None, payload: pa.Table | None) -> str:
        """All stages; returns the version's name."""
        rows, dimension = gallery.shape
        measure = Measure(self._config.metric)
        with self._stage("vectors"):
            vectors = self._store_vectors(gallery, measure)
            self._store_items(ids, payload, rows)
        kind = choose_engine(self._config.neighbors, rows, dimension)
        with self._stage("neighbors"):
            engine = self._engine(kind, vectors, measure)
            raw = self_join(engine, vectors, measure, self._width(rows), self._progress)
            recall = 1.0
            if kind != "exact":
                recall = estimate_recall(raw, vectors, measure, self._config.k_d)
            measure, lists = self._scaled(raw, measure)
        with self._stage("similarity"):
            relative = NeighborLists(lists.ids, measure.relative(lists.similarities))
            recalculated = apply_models(
                self._models, relative.first(self._k_m(rows)), vectors, self._progress
            )
        info = self._model(lists, recalculated)
        return self._writer.publish(
            format_version=FORMAT_VERSION,
            kinfold_version=__version__,
            created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            rows=rows,
            dimension=dimension,
            metric=measure.metric,
            metric_scale=measure.scale,
            ids="rows" if ids is None else ("int64" if ids.dtype.kind == "i" else "string"),
            payload_columns=[] if payload is None else payload.column_names,
            engine=kind,
            neighbor_recall=recall,
            default_model=DEFAULT_MODEL,
            models={DEFAULT_MODEL: info},
            measured=self._seconds,
        )

    def _store_vectors(self, gallery: AnyArray, measure: Measure) -> Float32s:
        """Check, normalise and write the vectors piece by piece; returns them mapped."""
        rows, dimension = gallery.shape
        with self._writer.file(layout.VECTORS) as file:
            write_npy_header(file, np.dtype("<f4"), (rows, dimension))
            for piece in row_chunks(rows, dimension):
                chunk = as_float32(gallery[piece], "vectors", piece.start)
                if measure.normalises:
                    chunk = normalised(chunk, "vectors", piece.start)
                else:
                    check_lengths(chunk, "vectors", piece.start)
                file.write(np.ascontiguousarray(chunk))
                self._progress(Progress("vectors", piece.stop, rows))
        return map_npy(self._writer.folder / layout.VECTORS, "<f4", (rows, dimension))

    def _store_items(self, ids: AnyArray | None, payload: pa.Table | None, rows: int) -> None:
        if ids is not None:
            kind = pa.int64() if ids.dtype.kind == "i" else pa.large_string()
            column = pa.array(ids.tolist() if ids.dtype.kind == "U" else ids, type=kind)
            self._writer.table(layout.IDS, pa.table({layout.ID_COLUMN: column}))
            order = np.argsort(ids, kind="stable").astype(np.uint32)
            self._writer.array(layout.IDS_ORDER, order)
        if payload is not None:
            self._writer.table(layout.PAYLOAD, payload)

    def _engine(self, kind: str, vectors: Float32s, measure: Measure) -> KnnEngine:
        if kind == "exact":
            return ExactEngine(vectors, measure)
        engine = FaissEngine.empty("hnsw" if kind == "hnsw" else "ivf", vectors, measure)
        rows, dimension = vectors.shape
        for piece in row_chunks(rows, 64 * dimension):
            engine.add(vectors[piece])
            self._progress(Progress("knn index", piece.stop, rows))
        with self._writer.file(layout.ENGINE) as file:
            engine.save(file.write)
        return engine

    def _width(self, rows: int) -> int:
        """Neighbours that the self-join has to find: for graph, models and truncation."""
        config = self._config
        beyond = config.max_row - 1 if config.truncation == "nearest" else 0
        return min(max(self._k_m(rows), beyond), rows - 1)

    def _k_m(self, rows: int) -> int:
        """Neighbours handed to the models; a given k_m that is too small for one is refused."""
        config = self._config
        for model in self._models:
            if config.k_m is not None and config.k_m < model.least_neighbors():
                raise InputError(
                    f"k_m = {config.k_m} is too small for the similarity model {model.name!r}, "
                    f"which needs {model.least_neighbors()} neighbours with its parameters"
                )
        wanted = config.k_m or max(model.neighbors_needed() for model in self._models)
        return min(max(wanted, config.k_d), rows - 1)

    def _scaled(self, raw: NeighborLists, measure: Measure) -> tuple[Measure, NeighborLists]:
        """The measure with the scale that the gallery gives it, and similarities by it."""
        finite = raw.similarities[np.isfinite(raw.similarities)]
        scale = 1.0
        if measure.metric == "inner_product":
            scale = float(finite.max(initial=0.0))
        elif measure.metric == "l2":
            kth = raw.similarities[:, min(self._config.k_d, raw.k) - 1]
            known = kth[np.isfinite(kth)]
            scale = float(np.sqrt(np.mean(-known, dtype=np.float64))) if known.size else 1.0
        if not np.isfinite(scale) or scale <= 0:
            scale = 1.0
        scaled = Measure(measure.metric, scale)
        return scaled, NeighborLists(raw.ids, scaled.similarity(raw.similarities))

    def _model(self, lists: NeighborLists, recalculated: NeighborLists) -> ModelInfo:
        """Graph, diffusion, and C written as it comes."""
        config = self._config
        with self._stage("affinity"):
            graph = build_graph(
                recalculated, config.k_d, config.graph, config.min_degree, config.exponent
            )
        report = DiffusionReport()
        with self._stage("diffusion"):
            blocks = diffuse(
                graph.matrix,
                alpha=config.alpha,
                max_row=config.max_row,
                mass=config.mass,
                tolerance=config.tolerance,
                max_iterations=config.max_iterations,
                threads=self._threads,
                nearest=lists.ids if config.truncation == "nearest" else None,
                report=report,
                progress=self._progress,
            )
            rows = lists.ids.shape[0]
            first_rows, stored = write_matrix(
                self._writer, DEFAULT_MODEL, rows, blocks, config.dtype
            )
        write_graph(
            self._writer,
            DEFAULT_MODEL,
            recalculated.first(config.k_d),
            lists.thresholds(config.k_d),
        )
        return ModelInfo(
            config=config,
            blocks=first_rows,
            stored=stored,
            dtype=config.dtype,
            value_scale=layout.VALUE_SCALE if config.dtype == "float16" else 1.0,
            longest_row=report.longest_row,
            edges=graph.edges,
            isolated=graph.isolated,
            not_converged=report.not_converged,
            mean_iterations=round(report.iterations / rows, 2),
        )
