"""One build of one collection, from source to published version."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from indexer.collection import collection_path
from indexer.estimate import check_fits, estimate
from indexer.sources import Source
from kinfold.config import BuildConfig
from kinfold.errors import InputError
from kinfold.index import Manifest
from kinfold.index.manifest import read_manifest
from kinfold.index.publish import VERSIONS
from kinfold.pipeline import publish
from kinfold.progress import ProgressCallback, silent


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
    threads: int | None = None,
) -> BuildSummary:
    """Build `source` into a collection of the data folder and let the new version go live.

    Raises
    ------
    InputError
        Bad data or parameters; the message begins with the source's name.
    CapacityError
        The build cannot fit into memory or disk; nothing was started.
    """
    path = collection_path(data, collection)
    settings = config or BuildConfig()
    if source.vectors.ndim == 2:
        rows, dimension = source.vectors.shape
        check_fits(estimate(rows, dimension, settings, path, source.item_bytes))
    start = time.perf_counter()
    try:
        version = publish(
            source.vectors, path, source.ids, source.payload, settings, progress, threads=threads
        )
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
