"""Opening a version: everything is mapped, nothing is read, and nothing is half-opened."""

from __future__ import annotations

import stat
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kinfold.arrays import AnyArray, Float32s, Int64s, UInt8s, UInt32s
from kinfold.errors import CorruptIndexError, FormatError
from kinfold.index import layout
from kinfold.index.columns import Payload, open_arrow
from kinfold.index.extras import Extras, open_extras
from kinfold.index.files import map_npy
from kinfold.index.ids import Ids, RowIds, StoredIds
from kinfold.index.manifest import Manifest, ModelInfo, read_manifest
from kinfold.index.publish import live_version
from kinfold.kernels.encode import decode_codes, decode_row
from kinfold.metric import Measure
from kinfold.neighbors import ExactEngine, FaissEngine, KnnEngine

_MOST_SWITCHES = 5
_DTYPES = {"float8": "|u1", "float16": "<f2", "float32": "<f4"}


class RowPlace(NamedTuple):
    """Where a row of C lies: in which block, and there which bytes and which values."""

    block: int
    begin: int
    end: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class StoredModel:
    """One matrix C, mapped. Its rows and columns are slots: neighbours stand beside each other.

    Attributes
    ----------
    order, places:
        (n,) uint32: the item in each slot, and the slot of each item.
    indptr, starts:
        (n + 1,) int64, over all blocks: where the values and the bytes of a row begin.
    first_rows:
        First slot of every block.
    columns, values:
        A pair of arrays a block: steps as bytes; values as codes of eight bits, as the uint16 bits
        of float16, or as float32.
    scales:
        (n,) float32: an entry C_ij counts scales_i C_ij scales_j.
    largest:
        (n,) float32: what the codes of a row are shares of; None where values are no codes.
    """

    name: str
    info: ModelInfo
    order: UInt32s
    places: UInt32s
    indptr: Int64s
    starts: Int64s
    first_rows: list[int]
    columns: list[UInt8s]
    values: list[AnyArray]
    scales: Float32s
    largest: Float32s | None

    @property
    def spans(self) -> list[tuple[int, int]]:
        """First slot of every block, and the slot behind its last."""
        return list(pairwise([*self.first_rows, self.order.shape[0]]))

    def row(self, slot: int) -> RowPlace:
        """Where the row of a slot lies."""
        block = bisect_right(self.first_rows, slot) - 1
        first_row = self.first_rows[block]
        # `item`: a query asks for some ten rows, and an array's scalars cost more than the numbers.
        pointer, offset = self.indptr.item, self.starts.item
        base, start = pointer(first_row), offset(first_row)
        first, last = pointer(slot) - base, pointer(slot + 1) - base
        begin, end = offset(slot) - start, offset(slot + 1) - start
        if not 0 <= first <= last <= self.values[block].shape[0]:
            raise CorruptIndexError(
                f"model {self.name!r}: corrupt: slot {slot} claims values {first} to {last} of a "
                f"block of {self.values[block].shape[0]}; run `kinfold verify`"
            )
        if not 0 <= begin <= end <= self.columns[block].shape[0]:
            raise CorruptIndexError(
                f"model {self.name!r}: corrupt: slot {slot} claims bytes {begin} to {end} of a "
                f"block of {self.columns[block].shape[0]}; run `kinfold verify`"
            )
        return RowPlace(block, begin, end, first, last)

    def slot(self, item: int) -> int:
        """The slot of an item."""
        slot: int = self.places.item(item)
        if slot >= self.order.shape[0]:
            raise CorruptIndexError(
                f"model {self.name!r}: corrupt: item {item} claims slot {slot} of "
                f"{self.order.shape[0]}; run `kinfold verify`"
            )
        return slot

    def items(self, slots: UInt32s) -> UInt32s:
        """The items in slots, each of which must be one."""
        items: UInt32s = self.order[slots]
        if (items >= self.order.shape[0]).any():
            raise CorruptIndexError(
                f"model {self.name!r}: corrupt: its order leads out of the gallery of "
                f"{self.order.shape[0]}; run `kinfold verify`"
            )
        return items

    def factor(self, slot: int) -> float:
        """What the stored values of a row are multiplied by to be those of C."""
        largest: float = 1.0 if self.largest is None else self.largest.item(slot)
        return largest / self.info.value_scale

    def entries(self, slot: int) -> tuple[UInt32s, Float32s]:
        """A row of C: slots, ascending, and values as float32."""
        place = self.row(slot)
        columns = np.empty(place.last - place.first, dtype=np.uint32)
        found = decode_row(self.columns[place.block], place.begin, place.end, columns)
        if found < 0 or (columns >= self.order.shape[0]).any():
            raise CorruptIndexError(
                f"model {self.name!r}: corrupt: the columns of slot {slot} cannot be read; run "
                "`kinfold verify`"
            )
        raw = self.values[place.block][place.first : place.last]
        if self.largest is not None:
            values = np.empty(raw.shape[0], dtype=np.float32)
            decode_codes(raw, self.factor(slot), values)
            return columns, values
        single = raw.view(np.float16) if raw.dtype == np.uint16 else raw
        return columns, single.astype(np.float32) * np.float32(self.factor(slot))


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
    extras: Extras
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
        extras=open_extras(version, manifest),
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
    offsets = map_npy(version / layout.starts_file(name), "<i8", (rows + 1,))
    if offsets[0] != 0:
        raise CorruptIndexError(
            f"{version / layout.starts_file(name)}: corrupt: expected to begin at 0, "
            f"found {int(offsets[0])}"
        )
    columns, values = [], []
    for number, start in enumerate(starts):
        end = starts[number + 1] if number + 1 < len(starts) else rows
        size, extent = int(indptr[end]) - int(indptr[start]), int(offsets[end] - offsets[start])
        columns.append(map_npy(version / layout.indices_file(name, number), "|u1", (extent,)))
        block = map_npy(version / layout.values_file(name, number), _DTYPES[info.dtype], (size,))
        values.append(block.view(np.uint16) if info.dtype == "float16" else block)
    return StoredModel(
        name=name,
        info=info,
        order=map_npy(version / layout.order_file(name), "<u4", (rows,)),
        places=map_npy(version / layout.places_file(name), "<u4", (rows,)),
        indptr=indptr,
        starts=offsets,
        first_rows=list(starts),
        columns=columns,
        values=values,
        scales=map_npy(version / layout.scales_file(name), "<f4", (rows,)),
        largest=map_npy(version / layout.largest_file(name), "<f4", (rows,))
        if info.dtype == "float8"
        else None,
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
