"""A folder of pictures as a source: what is new is embedded, the rest is known."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from indexer.pictures.encoders import encoder_file
from indexer.pictures.store import STORE, Embedded, Store, known_in
from indexer.pictures.walk import Found, Skipped, walk
from indexer.sources.names import LABEL, labels_from
from indexer.sources.source import Source
from kinfold.arrays import AnyArray
from kinfold.encoders import Encoder, embed_many
from kinfold.errors import InputError
from kinfold.index.extras import Extras, Projection, Thumbnails
from kinfold.index.files import disk_errors
from kinfold.progress import Progress, ProgressCallback, silent
from kinfold.validate import row_chunks

_BATCH = 64
_IN_MEMORY = 1 << 30


@dataclass(frozen=True, slots=True)
class PictureSource:
    """What became of a folder.

    Attributes
    ----------
    source:
        The pictures as a gallery: their paths are the ids.
    skipped:
        What could not be used, and why.
    embedded:
        How many were new or had changed.
    """

    source: Source
    skipped: list[Skipped]
    embedded: int


def read_pictures(
    folder: str | Path,
    encoder: Encoder,
    store: Path | None = None,
    progress: ProgressCallback = silent,
    *,
    label_from: str | None = None,
    threads: int | None = None,
) -> PictureSource:
    """Embed the pictures of a folder, and of the folders in it.

    Parameters
    ----------
    store:
        The folder of the collection, where vectors and thumbnails are kept from build to build;
        None: nowhere, and everything is embedded.
    progress:
        Told of every picture. Ended by an exception, what is embedded so far is kept.
    label_from:
        Adds a column of labels, see `labels_from`.
    threads:
        Cores to embed on; None: all.

    Raises
    ------
    InputError
        The folder cannot be read, or has fewer than two pictures that can be used.
    StorageError
        The store cannot be written.
    """
    root = Path(folder)
    found, skipped = walk(root)
    if label_from is not None:
        labels_from([one.path for one in found], label_from)  # refused before the work
    place = Path(tempfile.mkdtemp()) if store is None else store
    try:
        with disk_errors(place, "keeping vectors of pictures"):
            place.mkdir(parents=True, exist_ok=True)
        with Store(place / STORE, encoder.key) as kept:
            new = _embed(root, found, encoder, kept, progress, threads)
            kept.keep_only({one.path for one in found})
            skipped += [Skipped(path, reason) for path, reason in kept.reasons()]
            skipped.sort(key=lambda one: one.path.encode("utf-8", "surrogateescape"))
            source = _gather(root, found, encoder, kept, place, label_from, skipped)
    finally:
        if store is None:
            shutil.rmtree(place, ignore_errors=True)
    return PictureSource(source, skipped, new)


def count_new(folder: str | Path, encoder: Encoder, store: Path) -> tuple[int, int]:
    """How many pictures a folder has, and how many of them a build would embed."""
    found, _ = walk(Path(folder))
    return len(found), len(_new(found, known_in(store / STORE, encoder.key)))


def _new(found: Sequence[Found], known: Mapping[str, tuple[int, int]]) -> list[Found]:
    return [one for one in found if known.get(one.path) != one.stamp]


def _embed(
    root: Path,
    found: Sequence[Found],
    encoder: Encoder,
    kept: Store,
    progress: ProgressCallback,
    threads: int | None,
) -> int:
    """Embed what the store does not know; returns how many."""
    todo = _new(found, kept.known())
    batch: list[Embedded] = []
    try:
        for done in embed_many(encoder, [root / one.path for one in todo], workers=threads):
            one = todo[done.number]
            batch.append(Embedded(one, done.vector, done.thumbnail, done.size, done.reason))
            if len(batch) == _BATCH:
                kept.add(batch)
                batch = []
            progress(Progress("pictures", done.number + 1, len(todo), "pictures"))
    finally:
        if batch:
            kept.add(batch)
    return len(todo)


def _gather(
    root: Path,
    found: Sequence[Found],
    encoder: Encoder,
    kept: Store,
    place: Path,
    label_from: str | None,
    skipped: Sequence[Skipped],
) -> Source:
    """Vectors and thumbnails in the order of the paths."""
    sizes = kept.sizes()
    paths = [one.path for one in found if one.path in sizes]
    if len(paths) < 2:
        raise InputError(
            f"{root}: expected at least 2 pictures that can be used, found {len(paths)}"
            + (f"; {len(skipped)} others cannot be: {_first(skipped)}" if skipped else "")
        )
    numbers = np.array([sizes[path] for path in paths], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(numbers[:, 3])]).astype(np.int64)
    vectors = _room(place, (len(paths), encoder.dimension), np.dtype(np.float32))
    content = _room(place, (int(starts[-1]),), np.dtype(np.uint8))
    for row, path in enumerate(paths):
        vector, thumbnail = kept.content(path)
        vectors[row] = vector
        content[starts[row] : starts[row + 1]] = np.frombuffer(thumbnail, np.uint8)
    columns: dict[str, object] = {
        "file": [path.rpartition("/")[2] for path in paths],
        "folder": [path.rpartition("/")[0] for path in paths],
        "width": numbers[:, 0],
        "height": numbers[:, 1],
        "bytes": numbers[:, 2],
    }
    if label_from is not None:
        columns[LABEL] = labels_from(paths, label_from)
    projection = None if encoder.whitening is None else Projection(encoder.whitening)
    return Source(
        name=str(root),
        vectors=vectors if projection is None else _whitened(vectors, projection, place),
        ids=np.array(paths),
        columns=pa.table(columns),
        payload_names=list(columns),
        extras=Extras(Thumbnails(starts, content), encoder_file(encoder), projection),
    )


def _whitened(vectors: AnyArray, projection: Projection, place: Path) -> AnyArray:
    """What the encoder's own whitening makes of its vectors."""
    whitened = _room(place, (len(vectors), projection.matrix.shape[1]), np.dtype(np.float32))
    for piece in row_chunks(*vectors.shape):
        whitened[piece] = projection.apply(vectors[piece])
    return whitened


def _room(place: Path, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> AnyArray:
    """An array: in memory, or where it is large in a file that nobody else sees."""
    size = int(np.prod(shape)) * dtype.itemsize
    if size <= _IN_MEMORY:
        return np.empty(shape, dtype)
    with (
        disk_errors(place, "gathering vectors of pictures"),
        tempfile.TemporaryFile(dir=place) as file,
    ):
        # Gone from the folder already; and from the disk once the map is. Reserved, since what
        # a full disk does to a map is to end the process.
        os.posix_fallocate(file.fileno(), 0, size)
        return np.memmap(file, dtype, "r+", shape=shape)


def _first(skipped: Sequence[Skipped]) -> str:
    return "; ".join(f"{one.path!r}: {one.reason}" for one in skipped[:3])
