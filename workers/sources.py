"""Where builds may read: a folder of sources, uploads, and the live version itself."""

from __future__ import annotations

import stat
from pathlib import Path, PurePosixPath

import numpy as np

from indexer import Source, read_source
from indexer.sources import Columns
from indexer.sources.read import READERS
from kinfold.config import BuildConfig
from kinfold.errors import FormatError
from kinfold.index.publish import live_version
from kinfold.index.reader import StoredIndex, open_stored
from workers.errors import SourceError
from workers.jobs import BuildSpec
from workers.settings import WorkerSettings
from workers.uploads import find_upload


def check_source(settings: WorkerSettings, folder: Path, spec: BuildSpec) -> None:
    """Refuse a specification whose source is not there, before it becomes a job.

    Raises
    ------
    SourceError, UnknownUploadError
    """
    if spec.source is not None:
        find_source(settings.sources, spec.source)
    elif spec.upload is not None:
        find_upload(settings.data, spec.upload)
    else:
        try:
            live_version(folder)
        except FormatError:
            raise SourceError(
                f"collection {folder.name!r} has no live version that could be built anew; name a "
                "source or an upload"
            ) from None


def find_source(sources: Path | None, name: str) -> Path:
    """The file that a name stands for; raises `SourceError` for all that leads out of the folder.

    Parameters
    ----------
    sources:
        The folder of KINFOLD_SOURCES.
    name:
        Relative to it, with forward slashes.
    """
    if sources is None:
        raise SourceError(
            "source: KINFOLD_SOURCES is not set, so that builds read uploads only; PUT /v1/uploads"
        )
    parts = PurePosixPath(name).parts
    if (
        not parts
        or any(part == "" or part.startswith(".") for part in name.split("/"))
        or not name.isprintable()
        or "\\" in name
    ):
        raise SourceError(
            "source: expected the name of a file inside the folder of sources, as 'photos.npy' or "
            f"'2024/photos.parquet', found {name[:120]!r}"
        )
    if PurePosixPath(name).suffix.lower() not in READERS:
        raise SourceError(
            f"source: expected a file ending in {', '.join(READERS)}, found {name[:120]!r}"
        )
    missing = SourceError(f"source: the folder of sources has no file {name[:120]!r}")
    try:
        root = sources.resolve(strict=True)
        path = (root / name).resolve(strict=True)
        is_file = stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError, RuntimeError):
        raise missing from None
    # A link may stand in for a folder or a file, but only for one that is inside as well.
    if not is_file or not path.is_relative_to(root):
        raise missing
    return path


def read_for_build(
    settings: WorkerSettings, folder: Path, spec: BuildSpec
) -> tuple[Source, BuildConfig | None, dict[str, BuildConfig] | None]:
    """What a build is made of: its gallery, and the `config` or `models` that it names."""
    config, models = spec.configs()
    if spec.is_rebuild:
        check_source(settings, folder, spec)
        stored = open_stored(folder)
        if config is None and models is None:
            models = _same_models(stored)
        return _as_source(stored, folder.name), config, models
    if spec.source is not None:
        path = find_source(settings.sources, spec.source)
    else:
        path = find_upload(settings.data, spec.upload or "")
    names = spec.columns
    return read_source(path, Columns(names.vectors, names.ids, names.payload)), config, models


def _same_models(stored: StoredIndex) -> dict[str, BuildConfig]:
    manifest = stored.manifest
    names = [manifest.default_model, *(n for n in manifest.models if n != manifest.default_model)]
    return {name: manifest.models[name].config for name in names}


def _as_source(stored: StoredIndex, name: str) -> Source:
    rows = np.arange(stored.manifest.rows, dtype=np.uint32)
    ids = None if stored.manifest.ids == "rows" else stored.ids.of(rows)
    payload = None if stored.payload is None else stored.payload.take(rows)
    return Source(
        f"{name} {stored.version.name}", stored.vectors, ids, payload,
        [] if payload is None else payload.column_names,
    )  # fmt: skip
