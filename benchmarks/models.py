"""mAP of every similarity model on the real sets and two made ones, queries held out.

python -m benchmarks.models
"""

from __future__ import annotations

import time

import numpy as np

from benchmarks.common import finish
from benchmarks.quality import made, quality, sets
from kinfold.similarity import model_names


def main() -> None:
    """Run and print: plain kNN, then each model with its defaults, k_m = 40."""
    galleries = sets() | made()
    results: list[dict[str, object]] = [
        {"what": "plain kNN"} | {n: 100 * quality(g, {}, "knn")[0] for n, g in galleries.items()}
    ]
    for name in model_names():
        row: dict[str, object] = {"what": name}
        start = time.perf_counter()
        for label, gallery in galleries.items():
            row[label] = 100 * quality(gallery, {"similarity": [name], "k_m": 40}, None)[0]
        row["seconds, all"] = time.perf_counter() - start
        results.append(row)
    results[0]["seconds, all"] = None
    sizes = ", ".join(f"{name} {g.labels.size}" for name, g in galleries.items())
    finish("models", "mAP (%) by similarity model", results, items=sizes, seed=np.int64(0))


if __name__ == "__main__":
    main()
