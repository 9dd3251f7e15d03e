"""One build of one collection, from source to published version."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from indexer.collection import collection_path
from indexer.estimate import Estimate, check_fits, estimate
from indexer.sources import Source
from kinfold.config import BuildConfig
from kinfold.errors import InputError
from kinfold.index import Manifest
from kinfold.index.manifest import read_manifest
from kinfold.index.publish import VERSIONS
from kinfold.pipeline import publish
from kinfold.progress import ProgressCallback, silent
from kinfold.tuning.auto import choosing_seconds
from kinfold.tuning.candidates import candidates


@dataclass(frozen=True, slots=True)
class BuildSummary:
    """What a build left behind.

    Attributes
    ----------
    path:
        The folder of the collection.
    version:
        The version that went live.
    manifest:
        All that is known of it.
    seconds:
        Wall time.
    bytes:
        On disk.
    """

    path: Path
    version: str
    manifest: Manifest
    seconds: float
    bytes: int


def build_collection(
    source: Source,
    data: str | Path,
    collection: str,
    config: BuildConfig | None = None,
    progress: ProgressCallback = silent,
    *,
    models: Mapping[str, BuildConfig] | None = None,
    threads: int | None = None,
) -> BuildSummary:
    """Build `source` into a collection of the data folder and let the new version go live.

    Either `config` says how, or `models`: several by name, the default first.

    Raises
    ------
    InputError
        Bad data or parameters; the message begins with the source's name.
    CapacityError
        The build cannot fit into memory or disk; nothing was started.
    """
    path = collection_path(data, collection)
    if source.vectors.ndim == 2:
        rows, dimension = source.vectors.shape
        configs = list((models or {}).values()) or [config or BuildConfig()]
        check_fits(estimate_models(rows, dimension, configs, path, source.item_bytes))
    start = time.perf_counter()
    try:
        version = publish(
            source.vectors, path, source.ids, source.payload, config, progress,
            models=models, threads=threads,
        )  # fmt: skip
    except InputError as error:
        raise InputError(f"{source.name}: {error}") from None
    folder = path / VERSIONS / version
    return BuildSummary(
        path=path,
        version=version,
        manifest=read_manifest(folder),
        seconds=time.perf_counter() - start,
        bytes=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
    )


def estimate_models(
    rows: int, dimension: int, configs: Sequence[BuildConfig], path: Path, item_bytes: int = 0
) -> Estimate:
    """Estimate a build of several models of one gallery, at least one.

    They are made one after the other: memory is that of the largest. Vectors, payload and the
    search for neighbours count once; disk is a little high, since ids, links of the kNN index and
    headers count for every model.
    """
    each = [_estimate(rows, dimension, config, path, item_bytes) for config in configs]
    first, *others = each
    if not others:
        return first
    once = _shared_bytes(first, item_bytes)
    search = estimate(rows, dimension, _least(configs[0]), path).seconds
    return replace(
        first,
        seconds=first.seconds + sum(max(0.0, figures.seconds - search) for figures in others),
        memory=max(figures.memory for figures in each),
        disk=first.disk + sum(max(0, figures.disk - once) for figures in others),
    )


def _estimate(
    rows: int, dimension: int, config: BuildConfig, path: Path, item_bytes: int = 0
) -> Estimate:
    """An estimate of one model; with `auto` of the most that it may choose, and of choosing."""
    if not config.auto:
        return estimate(rows, dimension, config, path, item_bytes)
    each = [estimate(rows, dimension, one, path, item_bytes) for one in candidates(config, rows)]
    return replace(
        each[0],
        seconds=max(figures.seconds for figures in each) + choosing_seconds(rows),
        memory=max(figures.memory for figures in each),
        disk=max(figures.disk for figures in each),
    )


def check_added_fits(manifest: Manifest, config: BuildConfig, path: Path) -> None:
    """Refuse a further model of the index at `path` that cannot fit; raises `CapacityError`."""
    alike = config.model_copy(update={"metric": manifest.metric, "neighbors": manifest.engine})
    figures = _estimate(manifest.rows, manifest.dimension, alike, path)
    check_fits(replace(figures, disk=max(0, figures.disk - _shared_bytes(figures))))


def _shared_bytes(figures: Estimate, item_bytes: int = 0) -> int:
    """What the models of an index hold together: vectors, once more in a kNN index, and payload."""
    vectors = 4 * figures.rows * figures.dimension
    return item_bytes + (vectors if figures.engine == "exact" else 2 * vectors)


def _least(config: BuildConfig) -> BuildConfig:
    """A model that costs little beside the search for neighbours."""
    return BuildConfig(
        metric=config.metric,
        neighbors=config.neighbors,
        similarity=["cosine"],
        k_d=1,
        min_degree=1,
        max_row=1,
    )
