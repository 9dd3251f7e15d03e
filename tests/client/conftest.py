"""A real service, in a process of its own, for the client to talk to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_network import make_network

import kinfold
from benchmarks.dependability.processes import Service
from indexer import build_collection
from indexer.pictures import read_pictures
from kinfold.encoders import EncoderSpec, open_encoder

ROWS, DIMENSION = 200, 8


@pytest.fixture(scope="session")
def vectors() -> np.ndarray:
    random = np.random.default_rng(5)
    centres = random.normal(size=(12, DIMENSION))
    picked = centres[random.integers(0, 12, ROWS)]
    return (picked + 0.5 * random.normal(size=(ROWS, DIMENSION))).astype(np.float32)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory, vectors: np.ndarray) -> Path:
    folder = tmp_path_factory.mktemp("client") / "data"
    payload = {
        "name": [f"photo {i}" for i in range(ROWS)],
        "camera": [f"camera {i % 5}" for i in range(ROWS)],
        "price": np.arange(ROWS) / 4,
    }
    kinfold.build(vectors, folder / "photos", payload=payload)
    words = [f"wörd {i}" for i in range(ROWS)]
    models = {"default": kinfold.BuildConfig(), "far": kinfold.BuildConfig(alpha=0.995)}
    kinfold.build(vectors, folder / "words", ids=words, models=models)
    for number in range(12):
        path = folder.parent / "pictures" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (20, 12), (20 * number, 90, 255 - 20 * number)).save(path)
    network = make_network(folder.parent / "tiny.onnx")
    encoder = open_encoder(EncoderSpec(name="tiny", size=8), network, threads=1)
    build_collection(read_pictures(folder.parent / "pictures", encoder).source, folder, "zoo")
    return folder


@pytest.fixture(scope="session")
def service(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(data, tmp_path_factory.mktemp("log") / "service.log") as running:
        running.wait_until_ready()
        yield running
