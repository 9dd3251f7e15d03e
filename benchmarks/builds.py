"""Whole builds beside the published pipeline: kNN, then SciPy truncated diffusion.

python -m benchmarks.builds [--rows 20000 100000] [--dimension 64] [--gallery arcs|manifolds]
    [--similarity cas] [--alone]

The peer's diffusion is timed on a sample of rows and scaled up; its quality is measured on the
rows of C that the queries need, all of which are computed. `--alone` leaves the peer out, and the
build on the exact graph, so that the peak of memory is that of our build. Recall is that of the
neighbour lists, as the build itself estimates it.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import kinfold
from benchmarks import peers
from benchmarks.common import finish, seconds
from benchmarks.galleries import Gallery, curved_manifolds
from benchmarks.linearity import peak, resident
from benchmarks.manifolds import intrinsic_dimension, manifolds
from benchmarks.scaling_run import warm_configs
from kinfold.evaluate import score_by_labels
from kinfold.index import Manifest
from kinfold.threads import available_cores

T, K_D, K_Q, ALPHA, GAMMA, TOLERANCE = 1000, 50, 10, 0.99, 3.0, 1e-6
SAMPLE, QUERIES = 200, 200
GALLERIES = {"arcs": curved_manifolds, "manifolds": manifolds}


def main() -> None:
    """Run and print, one size after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000])
    parser.add_argument("--dimension", type=int, default=64)
    parser.add_argument("--gallery", choices=list(GALLERIES), default="arcs")
    parser.add_argument("--similarity", nargs="+", help="similarity models; default: the default")
    parser.add_argument("--alone", action="store_true")
    arguments = parser.parse_args()
    for rows in arguments.rows:
        one(rows, arguments)


def one(rows: int, arguments: argparse.Namespace) -> None:
    """Our build, on the exact graph too, and the peer's."""
    dimension = arguments.dimension
    chosen = {"similarity": arguments.similarity} if arguments.similarity else {}
    config = kinfold.BuildConfig.checked(chosen)
    gallery = GALLERIES[arguments.gallery](rows, dimension, queries=QUERIES)
    # The peak begins again here: an earlier size's peer took more than we do.
    resident(reset=True)
    index, ours = built(gallery, config)
    most = peak() / 1e9
    results = [{"what": "kinfold", **ours, "ratio": 1.0}]
    exact = exact_graph(config, index.engine)
    facts: dict[str, object] = {}
    if exact is None:
        facts["graph"] = "exact by default at this size"
    elif not arguments.alone:
        _, other = built(gallery, exact)
        ratio = other["seconds"] / ours["seconds"]
        results.append({"what": "kinfold, exact graph", **other, "ratio": ratio})
        facts["mAP_below_exact_graph"] = f"{other['mAP %'] - ours['mAP %']:.2f}"
    if not arguments.alone:
        theirs, published, converged = peer(gallery)
        results.append(
            {"what": f"kNN + SciPy, T = {T}, k_d = {K_D}", "seconds": theirs, "recall": 1.0,
             "mAP %": 100 * published, "ratio": theirs / ours["seconds"]}
        )  # fmt: skip
        facts["peer_converged"] = f"{converged:.2f}"
    plain = kinfold_free_knn(gallery, min(1000, rows))[0]
    results.append({"what": "plain kNN (no build)", "mAP %": 100 * quality(plain, gallery)})
    what = ", ".join(arguments.similarity) if arguments.similarity else "defaults"
    parts = ["builds", *([] if arguments.gallery == "arcs" else [arguments.gallery])]
    parts += [*(arguments.similarity or []), *([str(rows)] if len(arguments.rows) > 1 else [])]
    default = index.models[index.default_model]
    finish(
        "-".join(parts),
        f"Whole build, {arguments.gallery}, {rows:,} × {dimension}: {what}"
        + ("" if arguments.alone else " beside kNN + SciPy truncated diffusion"),
        results,
        rankings="first 1000",
        engine=index.engine,
        intrinsic_dimension=f"{intrinsic_dimension(gallery.vectors):.1f}",
        bytes_an_item=f"{sum(file.bytes for file in index.files.values()) / rows:.0f}",
        peak_memory_GB=f"{most:.2f}",
        **facts,
        **(index.measured | default.measured),
    )


def built(gallery: Gallery, config: kinfold.BuildConfig) -> tuple[Manifest, dict[str, Any]]:
    """The manifest of a build, and its seconds, recall and mAP; compilation is not counted."""
    rows, dimension = gallery.vectors.shape
    with tempfile.TemporaryDirectory() as folder:
        for number, warm in enumerate(warm_configs(config, rows, dimension)):
            kinfold.build(gallery.vectors[:3000], Path(folder) / f"warm-{number}", config=warm)
        path = Path(folder) / "index"
        spent = seconds(lambda: kinfold.build(gallery.vectors, path, config=config))
        index = kinfold.open(path)
        own = quality(index.search(gallery.queries, min(1000, rows)).positions, gallery)
        manifest = index.manifest
        return manifest, {
            "seconds": spent,
            "recall": manifest.neighbor_recall,
            "mAP %": 100 * own,
        }


def exact_graph(config: kinfold.BuildConfig, engine: str) -> kinfold.BuildConfig | None:
    """The same build on the graph of true neighbours; None: that is what it was."""
    if "join" in kinfold.BuildConfig.model_fields:
        return kinfold.BuildConfig.checked(config.model_dump() | {"join": "exact"})
    return None if engine == "exact" else config.model_copy(update={"neighbors": "exact"})


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
    ids, similarities = kinfold_free_knn(gallery, K_Q)
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


def kinfold_free_knn(gallery: Gallery, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The queries' neighbours, straight from matrix products."""
    similarities = gallery.queries @ gallery.vectors.T
    ids = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    return ids, np.take_along_axis(similarities, ids, axis=1)


def quality(positions: np.ndarray, gallery: Gallery) -> float:
    """MAP of rankings."""
    return score_by_labels(
        positions.astype(np.int64), gallery.query_labels, gallery.labels
    ).mean_average_precision


if __name__ == "__main__":
    main()
