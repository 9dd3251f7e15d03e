"""What a version may hold beside vectors: thumbnails, the encoder, and a projection of queries."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kinfold.arrays import AnyArray, Float32s, Int64s, UInt8s
from kinfold.errors import CorruptIndexError, InputError
from kinfold.index import layout
from kinfold.index.files import map_npy
from kinfold.index.manifest import Manifest
from kinfold.index.writing import FileWriter

MOST_THUMBNAIL_BYTES = 1 << 20
"""Of one item."""
_MOST_SPEC_BYTES = 1 << 16
_PIECE = 1 << 22


@dataclass(frozen=True, slots=True)
class Thumbnails:
    """Small JPEG pictures of n items.

    Attributes
    ----------
    starts:
        (n + 1,) int64, ascending: where each begins in `content`, and where the last one ends.
    content:
        (bytes,) uint8; may be mapped.
    """

    starts: Int64s
    content: UInt8s

    def of(self, position: int) -> bytes | None:
        """The JPEG of an item, if it has one."""
        start, end = self.starts.item(position), self.starts.item(position + 1)
        if start == end:
            return None
        if not 0 <= start < end <= self.content.shape[0] or end - start > MOST_THUMBNAIL_BYTES:
            raise CorruptIndexError(
                f"thumbnails: corrupt: item {position} claims bytes {start} to {end} of "
                f"{self.content.shape[0]}; run `kinfold verify`"
            )
        return self.content[start:end].tobytes()

    def those(self, positions: AnyArray) -> Thumbnails:
        """The thumbnails of some items, (p,), copied in their order."""
        begins, ends = self.starts[positions], self.starts[positions + 1]
        starts = np.concatenate([[0], np.cumsum(ends - begins)]).astype(np.int64)
        content = np.empty(int(starts[-1]), dtype=np.uint8)
        for number, (begin, end) in enumerate(zip(begins, ends, strict=True)):
            content[starts[number] : starts[number + 1]] = self.content[begin:end]
        return Thumbnails(starts, content)


@dataclass(frozen=True, slots=True)
class EncoderFile:
    """An ONNX file, and how it is used: plain values that `kinfold.encoders` understands."""

    model: Path
    sha256: str
    spec: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Projection:
    """A reduction of dimension that was learned from the gallery, and that queries share.

    Attributes
    ----------
    matrix:
        (d' + 1, d) float32: x becomes [x, 1] times it.
    """

    matrix: Float32s

    @property
    def dimension(self) -> int:
        """d', the length of what is projected."""
        return int(self.matrix.shape[0]) - 1

    def apply(self, vectors: AnyArray) -> Float32s:
        """(m, d) float32 of (m, d') vectors."""
        single = np.asarray(vectors, dtype=np.float32)
        result: Float32s = single @ self.matrix[:-1] + self.matrix[-1]
        return result


@dataclass(frozen=True, slots=True)
class Extras:
    """What a build is given, and a version keeps, beside vectors, ids and payload."""

    thumbnails: Thumbnails | None = None
    encoder: EncoderFile | None = None
    projection: Projection | None = None

    def __bool__(self) -> bool:
        return not (self.thumbnails is None and self.encoder is None and self.projection is None)

    @property
    def bytes(self) -> int:
        """What they take on disk."""
        size = 0
        if self.thumbnails is not None:
            size += self.thumbnails.content.nbytes + self.thumbnails.starts.nbytes
        if self.encoder is not None:
            size += self.encoder.model.stat().st_size
        return size + (0 if self.projection is None else self.projection.matrix.nbytes)

    def of(self, positions: AnyArray) -> Extras:
        """The same for some of the items, (p,)."""
        if self.thumbnails is None:
            return self
        return replace(self, thumbnails=self.thumbnails.those(positions))

    @property
    def files(self) -> frozenset[str]:
        """Names of the files that they are kept in."""
        names = set[str]()
        if self.thumbnails is not None:
            names |= {layout.THUMBNAILS, layout.THUMBNAIL_STARTS}
        if self.encoder is not None:
            names |= {layout.ENCODER, layout.ENCODER_SPEC}
        if self.projection is not None:
            names |= {layout.PROJECTION}
        return frozenset(names)

    def check(self, rows: int, dimension: int) -> None:
        """Refuse what does not belong to a gallery of this shape."""
        if self.thumbnails is not None and self.thumbnails.starts.shape != (rows + 1,):
            raise InputError(
                f"thumbnails: expected {rows}, one an item, found "
                f"{self.thumbnails.starts.shape[0] - 1}"
            )
        if self.projection is not None and self.projection.matrix.shape[1] != dimension:
            raise InputError(
                f"projection: expected one to dimension {dimension}, found one to "
                f"{self.projection.matrix.shape[1]}"
            )

    def hash(self) -> str:
        """Equal where the files would be."""
        found = hashlib.sha256(json.dumps(sorted(self.files)).encode())
        if self.thumbnails is not None:
            found.update(np.ascontiguousarray(self.thumbnails.starts).tobytes())
            for start in range(0, self.thumbnails.content.shape[0], _PIECE):
                found.update(self.thumbnails.content[start : start + _PIECE].tobytes())
        if self.encoder is not None:
            found.update(f"{self.encoder.sha256} {_as_text(self.encoder.spec)}".encode())
        if self.projection is not None:
            found.update(np.ascontiguousarray(self.projection.matrix).tobytes())
        return found.hexdigest()

    def write(self, writer: FileWriter) -> None:
        """Write the files."""
        if self.thumbnails is not None:
            with writer.file(layout.THUMBNAILS) as file:
                for start in range(0, self.thumbnails.content.shape[0], _PIECE):
                    piece = self.thumbnails.content[start : start + _PIECE]
                    file.write(np.ascontiguousarray(piece))
            writer.array(layout.THUMBNAIL_STARTS, self.thumbnails.starts)
        if self.encoder is not None:
            with writer.file(layout.ENCODER) as file, self.encoder.model.open("rb") as original:
                while data := original.read(_PIECE):
                    file.write(data)
            if writer.files[layout.ENCODER].sha256 != self.encoder.sha256:
                raise InputError(
                    f"{self.encoder.model}: it changed while it was read; run the build again"
                )
            with writer.file(layout.ENCODER_SPEC) as file:
                file.write(_as_text(self.encoder.spec).encode())
        if self.projection is not None:
            writer.array(layout.PROJECTION, self.projection.matrix)


def open_extras(version: Path, manifest: Manifest) -> Extras:
    """Map what a version holds; raises `CorruptIndexError`."""
    files, rows = manifest.files, manifest.rows
    thumbnails = encoder = projection = None
    if layout.THUMBNAILS in files:
        starts = map_npy(version / layout.THUMBNAIL_STARTS, "<i8", (rows + 1,))
        size = files[layout.THUMBNAILS].bytes
        content = _map_bytes(version / layout.THUMBNAILS, size)
        if starts[0] != 0 or int(starts[-1]) != size:
            raise CorruptIndexError(
                f"{version / layout.THUMBNAIL_STARTS}: corrupt: expected to end at {size}, "
                f"found {int(starts[-1])}"
            )
        thumbnails = Thumbnails(starts, content)
    if layout.ENCODER in files and layout.ENCODER_SPEC in files:
        sha256 = files[layout.ENCODER].sha256
        encoder = EncoderFile(version / layout.ENCODER, sha256, _read_spec(version))
    if layout.PROJECTION in files:
        matrix = map_npy(version / layout.PROJECTION, "<f4", (None, manifest.dimension))
        if matrix.shape[0] < 2:
            raise CorruptIndexError(f"{version / layout.PROJECTION}: corrupt: it projects nothing")
        projection = Projection(matrix)
    return Extras(thumbnails, encoder, projection)


def _map_bytes(path: Path, size: int) -> UInt8s:
    if size == 0:
        return np.empty(0, np.uint8)
    try:
        return np.asarray(np.memmap(path, np.uint8, "r", shape=(size,))).view(np.ndarray)
    except (OSError, ValueError) as error:
        # Removed since its size was read, with the version that it belongs to.
        raise CorruptIndexError(f"{path}: cannot be read: {error}") from None


def _as_text(spec: dict[str, Any]) -> str:
    return json.dumps(spec, indent=1, sort_keys=True) + "\n"


def _read_spec(version: Path) -> dict[str, Any]:
    path = version / layout.ENCODER_SPEC
    try:
        with path.open("rb") as file:
            values = json.loads(file.read(_MOST_SPEC_BYTES))
    except FileNotFoundError:
        raise CorruptIndexError(f"{path}: missing; restore it or build again") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptIndexError(f"{path}: corrupt: {error}") from None
    if not isinstance(values, dict):
        raise CorruptIndexError(f"{path}: corrupt: expected a JSON object")
    return values
