"""A build gives the same bytes whether its kernels were compiled or found in the cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import kinfold
from kinfold.index.files import hash_file

ROOT = Path(__file__).resolve().parents[2]

BUILD = """
import sys
import numpy as np
import kinfold
from kinfold.kernels.rows import diffuse_groups, diffuse_rows

# One similarity model: what is compiled twice here is what takes the time.
plain = {"k_d": 5, "neighbors": "exact", "similarity": ["cosine"]}
models = {
    "graph": kinfold.BuildConfig(**plain, alpha=0.99),
    "nearest": kinfold.BuildConfig(**plain, truncation="nearest", max_row=40, dtype="float32"),
}
vectors = np.random.default_rng(0).normal(size=(90, 6)).astype("f4")
kinfold.build(vectors, sys.argv[1], models=models, threads=1)
print([sum(kernel.stats.cache_hits.values()) for kernel in (diffuse_groups, diffuse_rows)])
"""


def built(path: Path, cache: Path) -> tuple[str, dict[str, str]]:
    """What a process with its kernels in `cache` found there, and the hashes of what it built."""
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(cache)},
        check=True,
        capture_output=True,
        text=True,
    )
    version = kinfold.open(path).version
    files = {str(file.relative_to(version)): hash_file(file) for file in version.rglob("*.npy")}
    return done.stdout.strip(), files


@pytest.mark.long
def test_a_compiled_and_a_cached_kernel_give_the_same_bytes(tmp_path: Path) -> None:
    """Once they did not: sums were cut into lanes in one process and not in the other."""
    hits, compiled = built(tmp_path / "first", tmp_path / "cache")
    again, cached = built(tmp_path / "second", tmp_path / "cache")
    assert (hits, again) == ("[0, 0]", "[1, 1]")
    assert len(compiled) > 12
    assert cached == compiled
