"""What a pass over an exact gallery takes, by the number of queries that share it; one core.

python -m benchmarks.http_passes [--rows 100000]
"""

from __future__ import annotations

import argparse

import faiss
import numpy as np

import kinfold
from benchmarks.common import finish, median_of
from benchmarks.http_gallery import prepared

SIZES = (1, 2, 4, 8, 16, 32, 64)
RUNS = 9


def main() -> None:
    """Time, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parser.parse_args().rows
    folder = prepared(rows)
    queries = np.load(folder / "queries.npy")
    faiss.omp_set_num_threads(1)
    results = []
    for engine in ("exact", "hnsw"):
        index = kinfold.open(folder / "data" / engine)
        index.warm_up()
        for model in ("knn", "default"):
            for size in SIZES:
                batch = queries[:size]
                took = 1e3 * median_of(lambda b=batch, i=index, m=model: i.search(b, 10, m), RUNS)
                results.append(
                    {"what": f"{engine}, {model}, {size}", "ms": took, "ms a query": took / size}
                )
    finish("http-passes", f"A pass over {rows:,} × {queries.shape[1]}, one core", results)


if __name__ == "__main__":
    main()
