"""Many pictures: every core reads, decodes, shrinks and computes a few of them at a time.

A network computes faster as many times on one core each than once on all of them, and what comes
before it is then shared out in the same way, without anybody waiting for anybody else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from kinfold.arrays import Float32s
from kinfold.encoders.encoder import Encoder
from kinfold.encoders.prepare import input_shape, prepare
from kinfold.pictures import PictureError, thumbnail
from kinfold.pictures.decode import decode_sized, read_file
from kinfold.threads import available_cores

BATCH = 4
"""Pictures that a core takes at a time: enough for the network, few to lose."""
_AHEAD = 4


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one picture.

    Attributes
    ----------
    number:
        Its place among those that were given.
    vector:
        (d,) float32, of length one; None: it cannot be used.
    thumbnail:
        A small JPEG of it.
    size:
        Width and height, upright, in pixels.
    reason:
        Why it cannot be used.
    """

    number: int
    vector: Float32s | None = None
    thumbnail: bytes | None = None
    size: tuple[int, int] | None = None
    reason: str | None = None


def embed_many(
    encoder: Encoder, paths: Sequence[Path], *, workers: int | None = None
) -> Iterator[Done]:
    """Embed files, in their order.

    A file that is no picture, or damaged, is told of and does not stop the others.

    Parameters
    ----------
    encoder:
        Opened with threads = 1.
    workers:
        Threads, each on a core of its own; None: one a core.

    Raises
    ------
    InputError
        The network itself fails.
    """
    starts = iter(range(0, len(paths), BATCH))
    count = workers or available_cores()
    rooms: SimpleQueue[Float32s] = SimpleQueue()
    for _ in range(count):
        rooms.put(np.empty((BATCH, *input_shape(encoder.spec)), dtype=np.float32))
    with ThreadPoolExecutor(count, "kinfold-pictures") as pool:
        running: deque[Future[list[Done]]] = deque()

        def start_more() -> None:
            for start in islice(starts, _AHEAD * count - len(running)):
                running.append(
                    pool.submit(_embed, encoder, paths[start : start + BATCH], start, rooms)
                )

        try:
            start_more()
            while running:
                ready = running.popleft().result()
                start_more()
                yield from ready
        finally:
            # Whoever stops here waits for a few pictures, not for all that were asked for.
            pool.shutdown(wait=True, cancel_futures=True)


def _embed(
    encoder: Encoder, paths: Sequence[Path], first: int, rooms: SimpleQueue[Float32s]
) -> list[Done]:
    """A few pictures, on the core that this thread has."""
    # Fresh pages for every batch would cost more than what is written into them.
    batch = rooms.get()
    try:
        return _embed_into(batch, encoder, paths, first)
    finally:
        rooms.put(batch)


def _embed_into(batch: Float32s, encoder: Encoder, paths: Sequence[Path], first: int) -> list[Done]:
    found: list[Done] = []
    usable = 0
    for number, path in enumerate(paths, first):
        try:
            image, size = decode_sized(read_file(path), least=encoder.least, name=path.name)
            prepare(image, encoder.spec, batch[usable])
            found.append(Done(number, None, thumbnail(image), size))
            usable += 1
        except PictureError as error:
            found.append(Done(number, reason=str(error).removeprefix(f"{path.name}: ")))
    vectors = iter(encoder.encode_prepared(batch[:usable]) if usable else ())
    return [one if one.reason else replace(one, vector=next(vectors)) for one in found]
