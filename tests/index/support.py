"""Small galleries, and ways to damage an index on disk."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import kinfold
from kinfold import BuildConfig
from kinfold.index import layout
from kinfold.index.files import hash_file
from kinfold.index.manifest import MANIFEST, digest
from kinfold.index.publish import CURRENT, VERSIONS

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = [0, 16, 32, 48]
"""First slots of the blocks of a matrix of sixty rows that is cut small: a group each."""

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/fd").is_dir(), reason="looks into /proc, which only Linux has"
)


def gallery(rows: int = 60, dimension: int = 4, seed: int = 0) -> np.ndarray:
    """Three clouds on a sphere: neighbours mean something, and every row has some."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(3, dimension))
    return (centres[np.arange(rows) % 3] + 0.3 * random.normal(size=(rows, dimension))).astype(
        np.float32
    )


def text_ids(rows: int) -> list[str]:
    return [f"item é{row:04d}" for row in range(rows)]


def simple_payload(rows: int) -> dict[str, list[Any]]:
    return {"label": [f"class {row % 3}" for row in range(rows)], "year": list(range(rows))}


def nested_payload(rows: int) -> pa.Table:
    """One column of every kind that Arrow lays out in its own way; each has nulls."""
    midnight = datetime(2024, 5, 17, tzinfo=UTC)
    numbers = range(rows)

    def column(values: Iterable[Any], kind: pa.DataType) -> pa.Array:
        return pa.array([None if row % 7 == 3 else value for row, value in enumerate(values)], kind)

    return pa.table(
        {
            "text": column((f"schön {row}" for row in numbers), pa.string()),
            "large": column(("x" * row for row in numbers), pa.large_string()),
            "binary": column((bytes([row % 256]) * 3 for row in numbers), pa.binary()),
            "tags": column(
                ([f"t{t}" for t in range(row % 4)] for row in numbers), pa.list_(pa.string())
            ),
            "pair": column(([row, -row] for row in numbers), pa.list_(pa.int32(), 2)),
            "map": column(
                ([(f"k{row}", row)] for row in numbers), pa.map_(pa.string(), pa.int64())
            ),
            "place": column(
                ({"city": f"c{row}", "at": [row / 2, row / 3]} for row in numbers),
                pa.struct({"city": pa.string(), "at": pa.list_(pa.float64())}),
            ),
            "when": column(
                (midnight + timedelta(hours=row) for row in numbers), pa.timestamp("us", "UTC")
            ),
            "day": column((midnight.date() for _ in numbers), pa.date32()),
            "kind": column((f"kind {row % 2}" for row in numbers), pa.string()).dictionary_encode(),
            "flag": column((row % 2 == 0 for row in numbers), pa.bool_()),
            "nothing": pa.nulls(rows),
        }
    )


def small_blocks(patch: pytest.MonkeyPatch) -> None:
    """Let C be computed and stored in blocks of one group."""
    patch.setattr("kinfold.diffusion.tasks.BLOCK_VALUES", 1)
    patch.setattr(layout, "BLOCK_VALUES", 1)


def copied(source: Path, target: Path) -> Path:
    """A copy of a collection to be damaged; returns its live version."""
    shutil.copytree(source, target)
    return live(target)


def live(path: Path) -> Path:
    return path / VERSIONS / (path / CURRENT).read_text().strip()


def files_of(version: Path) -> list[str]:
    """Every file of a version but the manifest, relative."""
    found = (p.relative_to(version) for p in version.rglob("*") if p.is_file())
    return sorted(str(name) for name in found if str(name) != MANIFEST)


def flip(path: Path, place: int, bits: int = 0x01) -> None:
    """Change one byte in place."""
    with path.open("r+b") as file:
        file.seek(place if place >= 0 else path.stat().st_size + place)
        old = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([old ^ bits]))


def truncate(path: Path, size: int) -> None:
    os.truncate(path, size)


def rewrite_manifest(path: Path, **changes: Any) -> Path:
    """Change fields of the live manifest and everything that has to agree; returns the version."""
    version = live(path)
    values = {**json.loads((version / MANIFEST).read_text()), **changes}
    content = (json.dumps(values) + "\n").encode()
    (version / MANIFEST).write_bytes(content)
    stamp = version.name.rpartition("-")[0]
    renamed = version.rename(version.with_name(f"{stamp}-{digest(content)}"))
    (path / CURRENT).write_text(renamed.name + "\n")
    return renamed


def rehash(path: Path) -> Path:
    """Let the manifest agree with files that were changed; returns the version."""
    version = live(path)
    files = {
        name: {"bytes": (version / name).stat().st_size, "sha256": hash_file(version / name)}
        for name in files_of(version)
    }
    return rewrite_manifest(path, files=files)


def search_everything(path: Path) -> None:
    """Every kind of reading that an open index offers, over every row."""
    with kinfold.open(path) as index:
        queries = np.ascontiguousarray(index.vectors[:4])
        for model in index.models:
            for k in (1, len(index) - 1):
                hits = index.search(queries, k, model, seeds="plain")
                index.payload(hits.positions[0])
                index.search_by_id([hits.ids[0, 0]], k, model)
        index.explain(queries[0], hits.ids[0, 0])
        everything = np.arange(len(index), dtype=np.uint32)
        index.payload(everything)
        for item in index.ids_of(everything):
            index.position(item)
        for columns, values in index.iterate_rows():
            assert columns.shape == values.shape


def run_python(code: str, *arguments: object, timeout: float = 60) -> subprocess.CompletedProcess:
    """Run code in a process of its own, which may crash without taking the tests along."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
        "PYTHONFAULTHANDLER": "1",
    }
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


TINY = BuildConfig(k_d=5, neighbors="hnsw")
