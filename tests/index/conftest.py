"""Collections that are built once and copied before they are damaged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import faiss
import pytest

import kinfold

from .support import TINY, gallery, nested_payload, simple_payload, small_blocks, text_ids

ROWS = 60


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection that has every kind of file: text ids, payload, hnsw, several blocks of C."""
    path = tmp_path_factory.mktemp("full") / "collection"
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch)
        kinfold.build(gallery(ROWS), path, text_ids(ROWS), simple_payload(ROWS), TINY)
    return path


@pytest.fixture(scope="session")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with values of sixteen bits."""
    path = tmp_path_factory.mktemp("half") / "collection"
    config = TINY.model_copy(update={"dtype": "float16"})
    with pytest.MonkeyPatch.context() as patch:
        small_blocks(patch)
        kinfold.build(gallery(ROWS), path, text_ids(ROWS), simple_payload(ROWS), config)
    return path


@pytest.fixture(scope="session")
def nested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collection whose payload has nested, dictionary-coded, temporal and null columns."""
    path = tmp_path_factory.mktemp("nested") / "collection"
    kinfold.build(gallery(ROWS), path, text_ids(ROWS), nested_payload(ROWS), TINY)
    return path


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Galleries of sixty items gain nothing from threads, and a busy machine loses with them."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(before)
