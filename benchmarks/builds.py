"""A whole build beside the published pipeline: kNN, then SciPy truncated diffusion.

python -m benchmarks.builds [--rows 20000] [--dimension 64] [--similarity cas] [--alone]

The peer's diffusion is timed on a sample of rows and scaled up; its quality is measured on the
rows of C that the queries need, all of which are computed. `--alone` leaves the peer out, so that
the peak of memory is that of our build.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from pathlib import Path

import numpy as np

import kinfold
from benchmarks import peers
from benchmarks.common import finish, seconds
from benchmarks.galleries import Gallery, curved_manifolds
from kinfold.evaluate import score_by_labels
from kinfold.threads import available_cores

T, K_D, K_Q, ALPHA, GAMMA, TOLERANCE = 1000, 50, 10, 0.99, 3.0, 1e-6
SAMPLE, QUERIES = 200, 200


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--dimension", type=int, default=64)
    parser.add_argument("--similarity", nargs="+", help="similarity models; default: the default")
    parser.add_argument("--alone", action="store_true")
    arguments = parser.parse_args()
    rows, dimension = arguments.rows, arguments.dimension
    chosen = {"similarity": arguments.similarity} if arguments.similarity else {}
    config = kinfold.BuildConfig.checked(chosen)
    gallery = curved_manifolds(rows, dimension, queries=QUERIES)
    with tempfile.TemporaryDirectory() as folder:
        # A small build first, so that compilation is not counted.
        kinfold.build(gallery.vectors[:500], Path(folder) / "warm", config=config)
        path = Path(folder) / "index"
        ours = seconds(lambda: kinfold.build(gallery.vectors, path, config=config))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        index = kinfold.open(path)
        own = quality(index.search(gallery.queries, 1000).positions, gallery)
        plain = quality(index.search(gallery.queries, 1000, "knn").positions, gallery)
        size = sum(file.bytes for file in index.manifest.files.values()) / rows
        default = index.manifest.models[index.manifest.default_model]
        measured = index.manifest.measured | default.measured
    results: list[dict[str, object]] = [
        {"what": "kinfold", "seconds": ours, "mAP %": 100 * own, "ratio": 1.0},
        {"what": "plain kNN (no build)", "seconds": None, "mAP %": 100 * plain, "ratio": None},
    ]
    facts: dict[str, object] = {}
    if not arguments.alone:
        theirs, published, converged = peer(gallery)
        results.insert(
            1,
            {"what": "kNN + SciPy, T = 1000, k_d = 50", "seconds": theirs,
             "mAP %": 100 * published, "ratio": theirs / ours},
        )  # fmt: skip
        facts["peer_converged"] = f"{converged:.2f}"
    what = ", ".join(arguments.similarity) if arguments.similarity else "defaults"
    finish(
        "builds" if not chosen else f"builds-{'-'.join(arguments.similarity)}",
        f"Whole build, {rows:,} × {dimension}: {what}"
        + ("" if arguments.alone else " beside kNN + SciPy truncated diffusion"),
        results,
        rankings="first 1000",
        bytes_an_item=f"{size:.0f}",
        peak_memory_GB=f"{peak:.2f}",
        **facts,
        **measured,
    )


def peer(gallery: Gallery) -> tuple[float, float, float]:
    """(seconds of the whole build, mAP, share of rows that converged) of the published way."""
    rows = gallery.vectors.shape[0]
    cores = available_cores()
    made: dict[str, object] = {}

    def graph() -> None:
        made["ids"], made["similarities"] = peers.neighbors(gallery.vectors, T - 1)
        made["matrix"] = peers.affinity(made["ids"], made["similarities"], K_D, GAMMA)

    first = seconds(graph)
    sample = np.linspace(0, rows - 1, SAMPLE).astype(np.int64)
    done: list[tuple[np.ndarray, np.ndarray, bool]] = []
    spent = min(
        seconds(
            lambda threads=threads: done.extend(
                peers.diffusion_rows(made["matrix"], made["ids"], sample, ALPHA, TOLERANCE, threads)
            )
        )
        for threads in (1, cores)
    )
    ids, similarities = kinfold_free_knn(gallery)
    needed = np.unique(ids)
    computed = dict(
        zip(
            needed.tolist(),
            peers.diffusion_rows(made["matrix"], made["ids"], needed, ALPHA, TOLERANCE, cores),
            strict=True,
        )
    )
    rankings = np.empty((len(ids), 1000), dtype=np.int64)
    for query, (near, weights) in enumerate(zip(ids, similarities, strict=True)):
        scores = np.zeros(rows)
        for item, similarity in zip(near.tolist(), weights, strict=True):
            columns, values, _ = computed[item]
            scores[columns] += max(similarity, 0) ** GAMMA * values
        rankings[query] = np.argsort(-scores, kind="stable")[:1000]
    converged = float(np.mean([ok for _, _, ok in done]))
    return first + spent / SAMPLE * rows, quality(rankings, gallery), converged


def kinfold_free_knn(gallery: Gallery) -> tuple[np.ndarray, np.ndarray]:
    """The queries' neighbours, straight from matrix products."""
    similarities = gallery.queries @ gallery.vectors.T
    ids = np.argsort(-similarities, axis=1, kind="stable")[:, :K_Q]
    return ids, np.take_along_axis(similarities, ids, axis=1)


def quality(positions: np.ndarray, gallery: Gallery) -> float:
    """MAP of rankings."""
    return score_by_labels(
        positions.astype(np.int64), gallery.query_labels, gallery.labels
    ).mean_average_precision


if __name__ == "__main__":
    main()
