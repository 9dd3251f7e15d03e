"""build: from vectors to a published version, one stage after the other."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from kinfold.arrays import AnyArray
from kinfold.config import BuildConfig
from kinfold.index import FORMAT_VERSION, VersionWriter
from kinfold.index.publish import VERSIONS
from kinfold.metric import Measure
from kinfold.neighbors import (
    NeighborLists,
    choose_engine,
    estimate_recall,
    scaled_measure,
    self_join,
)
from kinfold.pipeline.gallery import (
    make_engine,
    store_items,
    store_lists,
    store_vectors,
)
from kinfold.pipeline.inputs import ModelPlan, as_payload, plan_models, tuned
from kinfold.pipeline.model import write_model
from kinfold.pipeline.stopwatch import Stopwatch
from kinfold.progress import ProgressCallback, silent
from kinfold.search import Index, open_index
from kinfold.threads import limited_threads
from kinfold.validate import as_gallery, as_ids
from kinfold.version import __version__


def build(
    vectors: AnyArray,
    path: str | Path,
    ids: Sequence[int] | Sequence[str] | AnyArray | None = None,
    payload: Mapping[str, Sequence[Any]] | pa.Table | None = None,
    config: BuildConfig | None = None,
    progress: ProgressCallback | None = None,
    *,
    models: Mapping[str, BuildConfig] | None = None,
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
    models:
        Instead of `config`, several models by name, the default first: one kNN index, and a
        matrix C each. They must share `metric` and `neighbors`.
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
    version = publish(vectors, path, ids, payload, config, progress, models=models, threads=threads)
    return open_index(Path(path) / VERSIONS / version)


def publish(
    vectors: AnyArray,
    path: str | Path,
    ids: Sequence[int] | Sequence[str] | AnyArray | None = None,
    payload: Mapping[str, Sequence[Any]] | pa.Table | None = None,
    config: BuildConfig | None = None,
    progress: ProgressCallback | None = None,
    *,
    models: Mapping[str, BuildConfig] | None = None,
    threads: int | None = None,
) -> str:
    """As `build`, but returns the name of the version that went live instead of opening it."""
    gallery = as_gallery(vectors)
    rows = gallery.shape[0]
    plans = plan_models(config, models, rows)
    checked_ids = None if ids is None else as_ids(ids, rows)
    table = as_payload(payload, rows)
    given = [config or BuildConfig()] if models is None else list(models.values())
    with limited_threads(threads) as count, VersionWriter(Path(path)) as writer:
        plans = [
            tuned(plan, wanted, gallery, progress or silent, count)
            for plan, wanted in zip(plans, given, strict=True)
        ]
        return _write(writer, plans, gallery, checked_ids, table, progress or silent, count)


def _write(
    writer: VersionWriter,
    plans: Sequence[ModelPlan],
    gallery: AnyArray,
    ids: AnyArray | None,
    payload: pa.Table | None,
    progress: ProgressCallback,
    threads: int,
) -> str:
    """All stages; returns the version's name."""
    rows, dimension = gallery.shape
    first, watch = plans[0].config, Stopwatch()
    unscaled = Measure(first.metric)
    with watch.stage("vectors"):
        vectors = store_vectors(writer, gallery, unscaled, progress)
        store_items(writer, ids, payload)
    kind = choose_engine(first.neighbors, rows, dimension)
    with watch.stage("neighbors"):
        engine = make_engine(writer, kind, vectors, unscaled, progress)
        width = max(plan.width(rows) for plan in plans)
        raw = self_join(engine, vectors, unscaled, width, progress)
        recall = 1.0
        if kind != "exact":
            recall = estimate_recall(raw, vectors, unscaled, first.k_d)
        measure = scaled_measure(raw, unscaled, first.k_d)
        lists = NeighborLists(raw.ids, measure.similarity(raw.similarities))
        store_lists(writer, lists.first(max(plan.k_m for plan in plans)))
    infos = {
        plan.name: write_model(writer, plan, lists, vectors, measure, progress, threads)
        for plan in plans
    }
    return writer.publish(
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
        default_model=plans[0].name,
        models=infos,
        measured=watch.seconds,
    )
