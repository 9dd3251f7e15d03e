"""Collections to serve: built once, served by one application for most tests."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from service_client import Client, running

import kinfold
from kinfold import BuildConfig, Index

ROWS, DIMENSION = 300, 16


def clusters(rows: int, dimension: int, seed: int) -> np.ndarray:
    """Vectors in loose groups, float32, so that diffusion has something to follow."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(rows // 15, dimension))
    picked = centres[random.integers(0, len(centres), rows)]
    return (picked + 0.6 * random.normal(size=(rows, dimension))).astype(np.float32)


@pytest.fixture(scope="session")
def vectors() -> np.ndarray:
    return clusters(ROWS, DIMENSION, 1)


@pytest.fixture(scope="session")
def queries() -> np.ndarray:
    return clusters(40, DIMENSION, 2)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory, vectors: np.ndarray) -> Path:
    """photos: row numbers, cosine, payload. words: texts as ids, l2. parts: integers as ids.

    several: the models default, cas and far.
    """
    folder = tmp_path_factory.mktemp("data")
    days = [dt.date(2024, 1, 1) + dt.timedelta(days=i) for i in range(ROWS)]
    payload = pa.table(
        {
            "name": [f"photo {i}" for i in range(ROWS)],
            "day": pa.array(days),
            "price": pa.array([Decimal(i) / 4 for i in range(ROWS)]),
            "thumbnail": [bytes([i % 256, 255]) for i in range(ROWS)],
            "sharpness": [float("nan") if i % 2 else i / 7 for i in range(ROWS)],
            "taken": pa.array([1_704_164_645_123_456_789 + i for i in range(ROWS)]).cast(
                pa.timestamp("ns", tz="UTC")
            ),
            "tags": [["a", None] if i % 3 else None for i in range(ROWS)],
        }
    )
    kinfold.build(vectors, folder / "photos", payload=payload)
    words = [f"wörd {i}" for i in range(ROWS)]
    kinfold.build(vectors, folder / "words", ids=words, config=BuildConfig(metric="l2"))
    numbers = 10**12 + np.random.default_rng(3).permutation(ROWS)
    config = BuildConfig(metric="inner_product", k_d=5)
    kinfold.build(vectors, folder / "parts", ids=numbers, config=config)
    models = {"default": BuildConfig(alpha=0.8), "far": BuildConfig(alpha=0.99)}
    kinfold.build(vectors, folder / "several", models=models)
    kinfold.add_model(folder / "several", "cas", BuildConfig.checked({"similarity": ["cas"]}))
    (folder / "not a collection").mkdir()
    return folder


@pytest.fixture(scope="session")
def photos(data: Path) -> Index:
    return kinfold.open(data / "photos")


@pytest.fixture(scope="session")
def client(data: Path) -> Iterator[Client]:
    with running(data) as client:
        yield client
