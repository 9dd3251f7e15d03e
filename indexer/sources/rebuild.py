"""A version as the source of the next one: its own vectors, ids and payload."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from indexer.sources.source import Source
from kinfold.arrays import AnyArray
from kinfold.errors import CorruptIndexError
from kinfold.index import layout, live_version
from kinfold.index.columns import open_arrow
from kinfold.index.extras import open_extras
from kinfold.index.files import map_npy
from kinfold.index.manifest import Manifest, read_manifest


def rebuild_source(path: str | Path) -> Source:
    """The live version at `path` (or the version that `path` is) as a source, mapped.

    Vectors are as the version has them: of length one for cosine. A build of them with other
    parameters takes over all stages that the parameters leave alone.

    Raises
    ------
    FormatError
        No index at `path`, or a damaged one.
    """
    version = live_version(Path(path))
    manifest = read_manifest(version)
    shape = (manifest.rows, manifest.dimension)
    names = list(manifest.payload_columns)
    columns = None
    if names:
        columns = _sound(version / layout.PAYLOAD, manifest.rows, names)
    return Source(
        name=f"version {version.name}",
        vectors=map_npy(version / layout.VECTORS, "<f4", shape),
        ids=_ids(version, manifest),
        columns=columns,
        payload_names=names,
        extras=open_extras(version, manifest),
    )


def _ids(version: Path, manifest: Manifest) -> AnyArray | None:
    if manifest.ids == "rows":
        return None
    table = _sound(version / layout.IDS, manifest.rows, [layout.ID_COLUMN])
    column = table.column(layout.ID_COLUMN)
    if column.null_count:
        raise CorruptIndexError(f"{version / layout.IDS}: corrupt: an id is missing")
    if manifest.ids == "string":
        return np.array(column.to_pylist(), dtype=np.str_)
    values: AnyArray = column.to_numpy()
    return values


def _sound(path: Path, rows: int, names: list[str]) -> pa.Table:
    """A mapped table all of whose offsets were looked at: a build follows every one of them."""
    table = open_arrow(path, rows, names)
    try:
        table.validate(full=True)
    except (pa.ArrowException, ValueError) as error:
        raise CorruptIndexError(f"{path}: corrupt: {error}; run `kinfold verify`") from None
    return table
