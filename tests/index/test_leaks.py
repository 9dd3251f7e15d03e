"""Opening costs little, and gives back what it took."""

from __future__ import annotations

import gc
import time
from contextlib import suppress
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pytest

import kinfold
from kinfold import BuildConfig
from kinfold.index import FORMAT_VERSION, ModelInfo, VersionWriter, layout
from kinfold.kernels.encode import step_bytes, write_steps

from .support import copied, files_of, gallery, live, needs_proc, run_python

pytestmark = needs_proc

LOOPS = 200
BIG_ROWS, BIG_DIMENSION = 200_000, 16


def descriptors() -> list[str]:
    """What this process has open."""
    gc.collect()
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        # The listing's own descriptor is gone by now.
        with suppress(FileNotFoundError):
            found.append(str(entry.readlink()))
    return sorted(found)


def mapped(path: Path) -> list[str]:
    """Which files below `path` this process has mapped."""
    gc.collect()
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if str(path) in line]


def test_opening_and_closing_leaves_nothing_open(full):
    with kinfold.open(full) as index:
        index.warm_up()
    del index
    before = descriptors()
    for _ in range(LOOPS):
        with kinfold.open(full) as index:
            hits = index.search(index.vectors[:2], 3)
            index.payload(hits.positions[0])
        del index
    assert descriptors() == before
    assert mapped(full) == []


def test_an_open_index_holds_one_descriptor_a_mapped_array_at_most(full):
    before = descriptors()
    index = kinfold.open(full)
    arrays = [str(live(full) / name) for name in files_of(live(full)) if name.endswith(".npy")]
    held = [name for name in descriptors() if name not in before]
    assert len(held) == len(set(held))
    assert set(held) <= set(arrays)
    assert len(mapped(full)) >= len(held)
    del index
    assert descriptors() == before
    assert mapped(full) == []


@pytest.mark.parametrize("name", [layout.ENGINE, layout.PAYLOAD, layout.scales_file("default")])
def test_failing_to_open_leaves_nothing_open(full, tmp_path, name):
    version = copied(full, tmp_path / "c")
    (version / name).write_bytes(bytes((version / name).stat().st_size))
    before = descriptors()
    for _ in range(50):
        with pytest.raises(kinfold.CorruptIndexError):
            kinfold.open(version)
    assert descriptors() == before
    assert mapped(tmp_path) == []


def test_verifying_leaves_nothing_open(full):
    before = descriptors()
    for _ in range(20):
        assert kinfold.verify(full).ok
    assert descriptors() == before
    assert mapped(full) == []


def test_building_leaves_nothing_open(tmp_path):
    kinfold.build(gallery(20), tmp_path)
    before = descriptors()
    for _ in range(5):
        kinfold.build(gallery(20), tmp_path, ids=[f"i{row}" for row in range(20)])
    assert descriptors() == before
    assert mapped(tmp_path) == []


def test_failing_to_build_leaves_nothing_open(tmp_path):
    before = descriptors()
    for _ in range(20):
        with pytest.raises(kinfold.InputError):
            kinfold.build(np.full((20, 4), np.nan), tmp_path)
    assert descriptors() == before


def as_steps(columns):
    """(steps, starts) of rows of one width, each ascending."""
    rows, width = columns.shape
    length = np.full(rows, width, dtype=np.int64)
    begins, flat = np.arange(rows) * width, columns.astype(np.uint32).reshape(-1)
    sizes = np.empty(rows, dtype=np.int64)
    step_bytes(length, begins, flat, sizes)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    steps = np.empty(int(starts[-1]), dtype=np.uint8)
    write_steps(length, begins, flat, starts[:-1], steps)
    return steps, starts


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """200 000 items without the minute that finding their neighbours would take."""
    path = tmp_path_factory.mktemp("big") / "collection"
    rows = BIG_ROWS
    random = np.random.default_rng(0)
    vectors = random.normal(size=(rows, BIG_DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    quantizer = faiss.IndexFlatIP(BIG_DIMENSION)
    engine = faiss.IndexIVFFlat(quantizer, BIG_DIMENSION, 32, faiss.METRIC_INNER_PRODUCT)
    engine.train(vectors[:2000])
    engine.add(vectors)
    width = 16
    columns = np.sort((np.arange(rows)[:, None] + 7 * np.arange(width)) % rows, axis=1)
    words = pa.array([f"item {row}" for row in range(rows)], pa.large_string())
    model = ModelInfo(
        config=BuildConfig(neighbors="ivf", k_d=3, max_row=width), blocks=[0], stored=rows * width,
        dtype="float16", value_scale=layout.VALUE_SCALE, longest_row=width, edges=rows, isolated=0,
        not_converged=0, mean_iterations=1,
    )  # fmt: skip
    with VersionWriter(path) as writer:
        writer.array(layout.VECTORS, vectors)
        writer.table(layout.IDS, pa.table({layout.ID_COLUMN: words}))
        order = np.argsort(words.to_numpy(zero_copy_only=False)).astype(np.uint32)
        writer.array(layout.IDS_ORDER, order)
        writer.table(layout.PAYLOAD, pa.table({"word": words}))
        with writer.file(layout.ENGINE) as file:
            file.write(faiss.serialize_index(engine))
        writer.array(layout.NEIGHBORS, columns[:, :3].astype(np.uint32))
        writer.array(layout.SIMILARITIES, np.ones((rows, 3), dtype=np.float32))
        slots = np.arange(rows, dtype=np.uint32)
        writer.array(layout.order_file("m"), slots)
        writer.array(layout.places_file("m"), slots)
        steps, starts = as_steps(columns)
        writer.array(layout.indptr_file("m"), np.arange(rows + 1, dtype=np.int64) * width)
        writer.array(layout.starts_file("m"), starts)
        writer.array(layout.indices_file("m", 0), steps)
        writer.array(layout.values_file("m", 0), np.full(rows * width, 2000, dtype=np.float16))
        writer.array(layout.scales_file("m"), np.ones(rows, dtype=np.float32))
        writer.array(layout.neighbors_file("m"), columns[:, :3].astype(np.uint32))
        writer.array(layout.similarities_file("m"), np.ones((rows, 3), dtype=np.float32))
        writer.publish(
            format_version=FORMAT_VERSION, kinfold_version="0", created="now", rows=rows,
            dimension=BIG_DIMENSION, metric="cosine", metric_scale=1, ids="string",
            payload_columns=["word"], engine="ivf", neighbor_recall=1, default_model="m",
            models={"m": model},
        )  # fmt: skip
    return path


def test_a_large_index_opens_at_once(big):
    index = kinfold.open(big)
    index.warm_up()
    assert index.ids_of(index.search(index.vectors[:1], 1, "knn").positions)[0, 0] == "item 0"
    assert index.position("item 123456") == 123456
    start = time.perf_counter()
    kinfold.open(big)
    assert time.perf_counter() - start < 0.5


MEMORY = """
import sys
import kinfold

def resident():
    lines = open("/proc/self/status").read().splitlines()
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS"))

kinfold.open(sys.argv[1])
before = resident()
index = kinfold.open(sys.argv[2])
print(resident() - before)
"""


def test_opening_reads_next_to_nothing_of_a_large_index(full, big):
    """Pages that opening touched would count as this process's memory."""
    size = sum((live(big) / name).stat().st_size for name in files_of(live(big)))
    result = run_python(MEMORY, full, big)
    assert result.returncode == 0, result.stderr
    assert size > 30 << 20
    assert int(result.stdout) < size / 10


def test_verify_reads_all_of_a_large_index(big):
    version = live(big)
    report = kinfold.verify(big)
    assert report.ok, report.problems
    assert report.bytes == sum((version / name).stat().st_size for name in files_of(version))


def test_an_index_may_be_removed_below_its_reader(full, tmp_path):
    """Removing the folder of an open version, as clean-up does, takes nothing from its reader."""
    version = copied(full, tmp_path / "c")
    index = kinfold.open(version)
    expected = index.search(index.vectors[:5], 5)
    for name in files_of(version):
        (version / name).unlink()
    again = index.search(index.vectors[:5], 5)
    np.testing.assert_array_equal(again.ids, expected.ids)
    assert index.payload(again.positions[0])[0]["year"] == int(again.positions[0, 0])
    assert index.position("item é0007") == 7
