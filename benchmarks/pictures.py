"""Embedding a folder of pictures beside the network alone, on batches that were prepared before.

python -m benchmarks.pictures FOLDER [--pictures 512] [--encoder FILE.toml]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from benchmarks.common import finish, seconds
from indexer.pictures.walk import walk
from kinfold.encoders import Encoder, embed_many, load_encoder
from kinfold.pictures import open_picture
from kinfold.threads import available_cores

REPEATS = 5
BATCHES = (4, 8, 16, 32)


def bare(encoder: Encoder, batches: np.ndarray) -> dict[int, Callable[[], object]]:
    """The network on all cores, as onnxruntime has it by itself, by the size of its batches."""
    session = onnxruntime.InferenceSession(str(encoder.model), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    output = [encoder.spec.output] if encoder.spec.output else None

    def run(size: int) -> Callable[[], object]:
        return lambda: [
            session.run(output, {name: batches[start : start + size]})
            for start in range(0, len(batches), size)
        ]

    return {size: run(size) for size in BATCHES}


def main() -> None:
    """Run and print; each repeat measures all, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=512)
    parser.add_argument("--encoder")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    given = parser.parse_args()
    found, _ = walk(given.folder)
    step = max(1, len(found) // given.pictures)
    paths = [given.folder / one.path for one in found[::step]][: given.pictures]
    encoder = load_encoder(given.encoder, threads=1)
    images = [open_picture(path, least=encoder.least) for path in paths]
    batches = np.stack([encoder.prepare(image) for image in images])
    alone = bare(encoder, batches)
    work: dict[str, Callable[[], object]] = {
        "files to vectors and thumbnails": lambda: list(embed_many(encoder, paths)),
        **{f"the network alone, batches of {size}": run for size, run in alone.items()},
    }
    taken: dict[str, list[float]] = {what: [] for what in work}
    for run in work.values():
        run()
    for _ in range(given.repeats):
        for what, run in work.items():
            taken[what].append(seconds(run))
    medians = {what: float(np.median(each)) for what, each in taken.items()}
    best = min(median for what, median in medians.items() if "alone" in what)
    rows = [
        {"what": what, "pictures/s": len(paths) / median, "of the best alone": best / median}
        for what, median in medians.items()
    ]
    sizes = np.median([_size(path) for path in paths], axis=0).astype(int)
    finish(
        "pictures",
        f"{len(paths)} pictures, {encoder.spec.name}, {available_cores()} cores",
        rows,
        repeats=given.repeats,
        median_size=f"{sizes[0]} × {sizes[1]}",
        onnxruntime=onnxruntime.__version__,
    )


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


if __name__ == "__main__":
    main()
