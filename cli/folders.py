"""Folders of pictures on the command line: embedded with a bar, and what was skipped told."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.building import ProgressKind, Told, print_line, span
from cli.console import err
from indexer.sources import Source
from kinfold.arrays import Float32s
from kinfold.errors import InputError, StorageError
from kinfold.progress import Progress, ProgressCallback
from kinfold.search import Index

if TYPE_CHECKING:
    from indexer.pictures import Skipped
    from kinfold.encoders import Encoder

SKIPPED = "skipped-pictures.jsonl"
_SHOWN = 10
_PAUSE = 0.5

EncoderOption = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        metavar="NAME|FILE.toml",
        help="What makes vectors of pictures: a .toml that describes an ONNX file, see "
        "docs/encoders.md. Default: efficientnet-lite0.",
    ),
]
LabelFromOption = Annotated[
    str | None,
    typer.Option(
        "--label-from",
        metavar="name|folder|REGEX",
        help="Labels from the names of picture files: 'name' is bone for Bone-12.png, 'folder' the "
        "folder a file lies in, or an expression with one group.",
    ),
]


def is_folder(source: str) -> bool:
    """Whether a source is a folder of pictures."""
    return Path(source).is_dir()


@contextmanager
def needing_images() -> Iterator[None]:
    """Say which extra is missing, where it is."""
    try:
        yield
    except ImportError as error:
        raise InputError(
            f"pictures need the extra 'images': pip install 'kinfold[images]' ({error})"
        ) from None


def read_gallery(
    folder: str,
    store: Path,
    encoder: str | None,
    label_from: str | None,
    told: Told,
    threads: int | None = None,
) -> Source:
    """The pictures of a folder; those that are not new come from the store."""
    with needing_images():
        from indexer.pictures import encoder_for_build, read_pictures

        network = encoder_for_build(encoder, threads=1)
    begun = time.perf_counter()
    with _drawn(told) as draw:
        read = read_pictures(folder, network, store, draw, label_from=label_from, threads=threads)
    if told.kind is not ProgressKind.json:
        seconds = time.perf_counter() - begun
        rate = f", {read.embedded / seconds:.0f} a second" if read.embedded > 100 else ""
        err.print(
            f"{len(read.source):,} pictures by {network.spec.name}: {read.embedded:,} new in "
            f"{span(seconds)}{rate}"
        )
    _tell(read.skipped, store, as_lines=told.kind is ProgressKind.json)
    return read.source


def read_queries(
    folder: str, index: Index, label_from: str | None, progress: ProgressCallback
) -> Source:
    """The pictures of a folder as queries, by the encoder of an index."""
    with needing_images():
        from indexer.pictures import read_pictures
    encoder = encoder_of(index, threads=1)
    read = read_pictures(folder, encoder, None, progress, label_from=label_from)
    _tell(read.skipped, None)
    return read.source


def encoder_of(index: Index, threads: int | None = None) -> Encoder:
    """The encoder that an index keeps; raises `InputError` where it has none."""
    file = index.extras.encoder
    if file is None:
        raise InputError(
            "this collection was built from vectors, so it has nothing to make a vector of a "
            "picture; search it by vectors, or build it from a folder of pictures"
        )
    with needing_images():
        from kinfold.encoders import EncoderSpec, open_encoder

        return open_encoder(EncoderSpec.model_validate(file.spec), file.model, threads=threads)


def embed_picture(index: Index, name: str, crop: str | None) -> Float32s:
    """(1, d) the vector of a picture, or of a part of it, by the encoder of an index."""
    encoder = encoder_of(index)
    from kinfold.pictures import crop as cut
    from kinfold.pictures import open_picture

    if crop is None:
        return encoder.encode([open_picture(Path(name), least=encoder.least)])
    parts = crop.split(",")
    try:
        left, top, right, bottom = (float(part) for part in parts)
    except ValueError:
        raise InputError(
            f"--crop: expected four numbers, left,top,right,bottom, found {crop!r}"
        ) from None
    return encoder.encode([cut(open_picture(Path(name)), (left, top, right, bottom))])


def count_new(folder: str, store: Path, encoder: str | None) -> tuple[int, int]:
    """How many pictures a folder has, and how many of them a build would embed."""
    with needing_images():
        from indexer.pictures.source import count_new as count
        from kinfold.encoders import load_encoder

        return count(folder, load_encoder(encoder), store)


@contextmanager
def _drawn(told: Told) -> Iterator[ProgressCallback]:
    """Bars, or lines of JSON, while pictures are embedded."""
    last = 0.0

    def line(event: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > _PAUSE or event.done == event.total:
            last = now
            print_line(
                {
                    "event": "progress",
                    "stage": "embedding",
                    "phase": event.phase,
                    "done": event.done,
                    "total": event.total,
                    "unit": event.unit,
                }
            )

    with told.shown() as draw:
        yield line if told.kind is ProgressKind.json else draw


def _tell(skipped: Sequence[Skipped], store: Path | None, *, as_lines: bool = False) -> None:
    """Which files were left out, the first of them here and all in a file."""
    path = None if store is None else store / SKIPPED
    if path is not None:
        lines = "".join(json.dumps({"path": s.path, "reason": s.reason}) + "\n" for s in skipped)
        try:
            if skipped:
                path.write_text(lines, encoding="ascii")
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{path}: cannot be written: {error.strerror}") from None
    if not skipped:
        return
    if as_lines:
        print_line({"event": "skipped", "count": len(skipped), "list": str(path) if path else None})
        return
    err.print(f"skipped: {len(skipped)}", style="yellow")
    for one in skipped[:_SHOWN]:
        # As Python writes it: a name may hold a line break, or what a terminal obeys.
        err.print(f"  {one.path!a}: {one.reason}")
    if len(skipped) > _SHOWN:
        err.print(f"  and {len(skipped) - _SHOWN} more" + (f", all in {path}" if path else ""))
