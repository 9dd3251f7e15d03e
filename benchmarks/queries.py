"""What a query pays for S·C, and what opening costs, on a large index.

python -m benchmarks.queries [--rows 200000]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import kinfold
from benchmarks.common import finish, median_of, seconds
from benchmarks.galleries import curved_manifolds
from kinfold.search.combine import Combiner

K_Q, T, QUERIES = 10, 100, 1000


def main() -> None:
    """Build, time, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    rows = parser.parse_args().rows
    gallery = curved_manifolds(rows, 64, queries=QUERIES)
    config = kinfold.BuildConfig(max_row=T, mass=1.0, k_q=K_Q, seeds="plain", neighbors="ivf")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        build = seconds(lambda: kinfold.build(gallery.vectors, path, config=config))
        index = kinfold.open(path)
        index.warm_up()
        stored = index.manifest.models["default"].stored / rows
        combined = 1e6 * combine_time(index, gallery.queries)
        results = [
            {"what": f"S·C + selection, k_q = {K_Q}", "median": combined, "unit": "µs"},
            {"what": "whole query, knn", "median": 1e6 * query_time(index, gallery, "knn"),
             "unit": "µs"},
            {"what": "whole query, default", "median": 1e6 * query_time(index, gallery, None),
             "unit": "µs"},
            {"what": "open, same process", "unit": "ms",
             "median": 1e3 * median_of(lambda: kinfold.open(path), 21)},
            {"what": "open, new process, after import", "unit": "ms",
             "median": 1e3 * float(np.median([open_elsewhere(path) for _ in range(5)]))},
            {"what": "build", "median": build, "unit": "s"},
        ]  # fmt: skip
        size = sum(file.bytes for file in index.manifest.files.values()) / rows
    finish(
        "queries",
        f"Queries on {rows:,} × 64, T = {T}",
        results,
        values_a_row=f"{stored:.0f}",
        bytes_an_item=f"{size:.0f}",
        engine=index.manifest.engine,
    )


def combine_time(index: kinfold.Index, queries: np.ndarray) -> float:
    """Median seconds of the combination alone, rows of C taken from random places."""
    generator = np.random.default_rng(1)
    combiner = Combiner(len(index))
    model = index._stored.models["default"]
    found, scores = np.empty(10, np.uint32), np.empty(10, np.float32)
    weights = np.linspace(1, 0.5, K_Q).astype(np.float32)
    times = []
    for _ in range(len(queries)):
        seeds = generator.integers(0, len(index), K_Q).astype(np.uint32)
        times.append(seconds(lambda s=seeds: combiner.combine(model, s, weights, found, scores)))
    return float(np.median(times))


def query_time(index: kinfold.Index, gallery: object, model: str | None) -> float:
    """Median seconds of single queries, k = 10."""
    times = [seconds(lambda q=query: index.search(q, 10, model)) for query in gallery.queries[:300]]
    return float(np.median(times))


def open_elsewhere(path: Path) -> float:
    """Seconds that `kinfold.open` takes in a fresh process, imports not counted."""
    code = (
        "import time, kinfold; t = time.perf_counter(); "
        f"kinfold.open({str(path)!r}); print(time.perf_counter() - t)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


if __name__ == "__main__":
    main()
