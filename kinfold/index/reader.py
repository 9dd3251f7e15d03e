"""Opening a version: everything is mapped, nothing is read, and nothing is half-opened."""

from __future__ import annotations

import stat
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from kinfold.arrays import AnyArray, Float32s, Int64s, UInt32s
from kinfold.errors import CorruptIndexError, FormatError
from kinfold.index import layout
from kinfold.index.columns import Payload, open_arrow
from kinfold.index.files import map_npy
from kinfold.index.ids import Ids, RowIds, StoredIds
from kinfold.index.manifest import Manifest, ModelInfo, read_manifest
from kinfold.index.publish import live_version
from kinfold.metric import Measure
from kinfold.neighbors import ExactEngine, FaissEngine, KnnEngine

_MOST_SWITCHES = 5


@dataclass(frozen=True, slots=True)
class StoredModel:
    """One matrix C, mapped.

    Attributes
    ----------
    indptr:
        (n + 1,) int64, over all blocks.
    first_rows:
        First row of every block.
    columns, values:
        A pair of arrays a block; values as float32, or as the uint16 bits of float16.
    scales:
        (n,) float32: an entry C_ij counts scales_i C_ij scales_j.
    """

    name: str
    info: ModelInfo
    indptr: Int64s
    first_rows: list[int]
    columns: list[UInt32s]
    values: list[AnyArray]
    scales: Float32s

    def row(self, row: int) -> tuple[int, int, int]:
        """Where a row lies: (block, begin, end) inside the block's arrays."""
        block = bisect_right(self.first_rows, row) - 1
        base = int(self.indptr[self.first_rows[block]])
        begin, end = int(self.indptr[row]) - base, int(self.indptr[row + 1]) - base
        if not 0 <= begin <= end <= self.columns[block].shape[0]:
            raise CorruptIndexError(
                f"model {self.name!r}: corrupt: row {row} claims values {begin} to {end} of a "
                f"block of {self.columns[block].shape[0]}; run `kinfold verify`"
            )
        return block, begin, end

    @property
    def is_half(self) -> bool:
        """Whether values are float16, given as uint16."""
        return self.info.dtype == "float16"


@dataclass(frozen=True, slots=True)
class StoredIndex:
    """One open version; immutable, shared by any number of threads.

    Attributes
    ----------
    vectors:
        (n, d) float32.
    similarities:
        (n, k_m) float32: of every item to its nearest neighbours, descending.
    """

    version: Path
    manifest: Manifest
    measure: Measure
    vectors: Float32s
    similarities: Float32s
    engine: KnnEngine
    ids: Ids
    payload: Payload | None
    models: dict[str, StoredModel]


def open_stored(path: Path) -> StoredIndex:
    """Open the live version of the index at `path`, or the version that `path` is itself.

    Sizes and headers of all files are checked; their content is not read (see `verify`).
    """
    for _ in range(_MOST_SWITCHES):
        version = live_version(path)
        try:
            return _open_version(version)
        except FormatError:
            # It may have been removed below our hands, after another one went live.
            if live_version(path) == version:
                raise
    return _open_version(live_version(path))


def _open_version(version: Path) -> StoredIndex:
    manifest = read_manifest(version)
    check_sizes(version, manifest)
    measure = Measure(manifest.metric, manifest.metric_scale)
    rows, dimension = manifest.rows, manifest.dimension
    vectors = map_npy(version / layout.VECTORS, "<f4", (rows, dimension))
    engine: KnnEngine = (
        ExactEngine(vectors, measure)
        if manifest.engine == "exact"
        else FaissEngine.load(version / layout.ENGINE, manifest.engine, rows, dimension)
    )
    return StoredIndex(
        version=version,
        manifest=manifest,
        measure=measure,
        vectors=vectors,
        similarities=_open_similarities(version, manifest),
        engine=engine,
        ids=_open_ids(version, manifest),
        payload=_open_payload(version, manifest),
        models={
            name: _open_model(version, name, info, rows) for name, info in manifest.models.items()
        },
    )


def _open_model(version: Path, name: str, info: ModelInfo, rows: int) -> StoredModel:
    indptr = map_npy(version / layout.indptr_file(name), "<i8", (rows + 1,))
    starts = info.blocks
    if starts[0] != 0 or any(b <= a for a, b in pairwise(starts)):
        raise CorruptIndexError(f"{version}: corrupt: blocks of {name!r} start at rows {starts}")
    if indptr[0] != 0 or int(indptr[-1]) != info.stored or starts[-1] >= rows:
        raise CorruptIndexError(
            f"{version / layout.indptr_file(name)}: corrupt: expected to end at {info.stored}, "
            f"found {int(indptr[-1])}"
        )
    columns, values = [], []
    stored_dtype = "<f2" if info.dtype == "float16" else "<f4"
    for number, start in enumerate(starts):
        end = starts[number + 1] if number + 1 < len(starts) else rows
        size = int(indptr[end]) - int(indptr[start])
        columns.append(map_npy(version / layout.indices_file(name, number), "<u4", (size,)))
        block = map_npy(version / layout.values_file(name, number), stored_dtype, (size,))
        values.append(block.view(np.uint16) if info.dtype == "float16" else block)
    return StoredModel(
        name=name,
        info=info,
        indptr=indptr,
        first_rows=list(starts),
        columns=columns,
        values=values,
        scales=map_npy(version / layout.scales_file(name), "<f4", (rows,)),
    )


def _open_similarities(version: Path, manifest: Manifest) -> Float32s:
    path = version / layout.SIMILARITIES
    similarities = map_npy(path, "<f4", (manifest.rows, None))
    longest = max(info.config.k_d for info in manifest.models.values())
    if similarities.shape[1] < longest:
        raise CorruptIndexError(
            f"{path}: corrupt: expected at least {longest} neighbours an item, as many as the "
            f"graphs were made of, found {similarities.shape[1]}"
        )
    return similarities


def _open_ids(version: Path, manifest: Manifest) -> Ids:
    if manifest.ids == "rows":
        return RowIds(manifest.rows)
    path = version / layout.IDS
    table = open_arrow(path, manifest.rows, [layout.ID_COLUMN])
    order = map_npy(version / layout.IDS_ORDER, "<u4", (manifest.rows,))
    return StoredIds(path, table, order, is_text=manifest.ids == "string")


def _open_payload(version: Path, manifest: Manifest) -> Payload | None:
    if not manifest.payload_columns:
        return None
    return Payload(version / layout.PAYLOAD, manifest.rows, manifest.payload_columns)


def check_sizes(version: Path, manifest: Manifest) -> None:
    """Refuse missing and truncated files before any library maps them."""
    for name, info in manifest.files.items():
        path = version / name
        try:
            found = path.stat()
        except FileNotFoundError:
            raise CorruptIndexError(f"{path}: missing; restore it or build again") from None
        except OSError as error:
            raise CorruptIndexError(f"{path}: cannot be read: {error.strerror}") from None
        if not stat.S_ISREG(found.st_mode) or found.st_size != info.bytes:
            raise CorruptIndexError(
                f"{path}: corrupt: expected a file of {info.bytes} bytes, found {found.st_size}"
            )
