"""One size of the scaling benchmark, in a process of its own; `benchmarks.scaling` starts it.

python -m benchmarks.scaling_run build FOLDER [JSON]
python -m benchmarks.scaling_run open FOLDER
python -m benchmarks.scaling_run second FOLDER

FOLDER holds ``vectors.npy``, as a user's file would, and ``queries.npz``. Each prints one line of
JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import typing
from pathlib import Path
from typing import Any

import numpy as np

import kinfold
from benchmarks.common import seconds
from benchmarks.manifolds import nearest
from benchmarks.memory import PeakMemory, held
from kinfold.evaluate import score_by_labels
from kinfold.index import layout
from kinfold.neighbors.engine import choose_engine

RANKS, K, TIMED = 1000, 10, 300
WARM_ROWS = 3000
SAMPLE = 300
OPENED = 5
INDEX, WARM = "index", "warm"
TIES = 1e-6
"""A neighbour this much less similar than the true last one counts as found: rounding."""


def build(folder: Path, parameters: dict[str, Any]) -> dict[str, Any]:
    """Build an index and measure all there is to it."""
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    rows, dimension = vectors.shape
    config = kinfold.BuildConfig.checked(parameters)
    # Compiling is not counted: small builds by each way that the large one may take.
    for number, other in enumerate(warm_configs(config, rows, dimension)):
        kinfold.build(vectors[:WARM_ROWS], folder / f"{WARM}-{number}", config=other)
    with PeakMemory() as memory:
        begun = time.perf_counter()
        index = kinfold.build(
            vectors,
            folder / INDEX,
            config=config,
            progress=lambda event: memory.enter(event.phase),
        )
        spent = time.perf_counter() - begun
    manifest = index.manifest
    model = manifest.models[manifest.default_model]
    found: dict[str, Any] = {
        "rows": rows,
        "dimension": dimension,
        "seconds": spent,
        "stages": stages(manifest.measured | model.measured),
        "peak_bytes": memory.whole,
        "own_bytes": memory.own,
        "own_phase": memory.phase,
        "mapped_bytes": memory.mapped,
        "files": by_kind({name: file.bytes for name, file in manifest.files.items()}),
        "engine": manifest.engine,
        "told_recall": manifest.neighbor_recall,
        "recall": graph_recall(index, model.config.k_d),
        "values_a_row": model.stored / rows,
        "k_d": model.config.k_d,
    }
    return found | searches(index, folder)


def warm_configs(
    config: kinfold.BuildConfig, rows: int, dimension: int
) -> list[kinfold.BuildConfig]:
    """Settings that between them compile what a build of that size runs."""
    engine = choose_engine(config.neighbors, rows, dimension)
    changes: list[dict[str, object]] = [{}, {"neighbors": engine}]
    field = kinfold.BuildConfig.model_fields.get("join")
    if field is not None:
        ways = typing.get_args(field.annotation)
        changes += [{"neighbors": engine, "join": way} for way in ways if way != "auto"]
    return [config.model_copy(update=change) for change in changes]


def stages(measured: dict[str, float]) -> dict[str, float]:
    """Seconds of each stage by its name, whatever stages there are."""
    end = "_seconds"
    return {name.removesuffix(end): s for name, s in measured.items() if name.endswith(end)}


def by_kind(files: dict[str, int]) -> dict[str, int]:
    """Bytes of a version's files by what they are for."""
    kinds: dict[str, int] = {}
    for name, size in files.items():
        kinds[_kind(name)] = kinds.get(_kind(name), 0) + size
    return kinds


def _kind(name: str) -> str:
    last = name.rpartition("/")[2]
    if last.startswith(("neighbors", "similarities", "graph-")):
        return "lists"
    if name.startswith("models/"):
        return "C"
    if last.startswith("vectors"):
        return "vectors"
    return "items" if last.startswith(("ids", "payload")) else "kNN index"


def graph_recall(index: kinfold.Index, k: int) -> float:
    """Recall@k of the stored neighbour lists, by brute force over everything for a sample."""
    vectors = index.vectors
    sample = np.sort(np.random.default_rng(2).choice(len(index), SAMPLE, replace=False))
    lists = np.load(index.version / layout.NEIGHBORS, mmap_mode="r")[sample, :k]
    asked = np.asarray(vectors[sample])
    others = nearest(vectors, asked, k + 1)
    least = np.empty(SAMPLE, dtype=np.float32)
    for i, row in enumerate(sample):
        # The item itself is left out by its position: twins of it may stand before it.
        values = others[1][i][others[0][i] != row]
        least[i] = values[k - 1]
    present = lists < len(index)
    reached = np.einsum("ijd,id->ij", vectors[np.where(present, lists, 0)], asked)
    return float((present & (reached >= least[:, None] - TIES)).mean())


def searches(index: kinfold.Index, folder: Path) -> dict[str, Any]:
    """Quality and time of held-out queries, and what opening costs others."""
    with np.load(folder / "queries.npz") as data:
        queries, labels, gallery = data["queries"], data["query_labels"], data["labels"]

    def quality(model: str | None) -> float:
        ranks = min(RANKS, len(index))
        positions = index.search(queries, ranks, model).positions
        scores = score_by_labels(positions.astype(np.int64), labels, gallery)
        return 100 * scores.mean_average_precision

    found: dict[str, Any] = {"map": quality(None), "knn_map": quality("knn")}
    whole, combined, plain = [], [], []
    for query in queries[:TIMED]:
        timings = kinfold.SearchTimings()
        whole.append(seconds(lambda q=query, t=timings: index.search(q, K, timings=t)))
        combined.append(timings.combine_seconds)
        plain.append(seconds(lambda q=query: index.search(q, K, "knn")))
    found |= {
        "query_us": 1e6 * float(np.median(whole)),
        "combine_us": 1e6 * float(np.median(combined)),
        "knn_query_us": 1e6 * float(np.median(plain)),
    }
    # The version stays open here, so that its pages are shared.
    opened = [elsewhere("open", folder)["open_ms"] for _ in range(OPENED)]
    return found | {"open_ms": float(np.median(opened))} | elsewhere("second", folder)


def opening(folder: Path) -> dict[str, Any]:
    """Milliseconds that `kinfold.open` takes in a fresh process, imports not counted."""
    return {"open_ms": 1e3 * seconds(lambda: kinfold.open(folder / INDEX))}


def second(folder: Path) -> dict[str, Any]:
    """Bytes of its own that a second process needs to open and search the version.

    The process has searched a small index before, so that libraries and kernels are not counted.
    """
    with np.load(folder / "queries.npz") as data:
        queries = data["queries"][:20]
    small = kinfold.open(folder / f"{WARM}-1")
    for query in queries:
        small.search(query, K)
    before = held()["RssAnon"]
    index = kinfold.open(folder / INDEX)
    for query in queries:
        index.search(query, K)
    return {"second_bytes": held()["RssAnon"] - before}


def elsewhere(what: str, folder: Path, *more: str) -> dict[str, Any]:
    """What another process of this module says."""
    command = [sys.executable, "-m", "benchmarks.scaling_run", what, str(folder), *more]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Do one of the three."""
    what, folder, *more = sys.argv[1:]
    if what == "build":
        result = build(Path(folder), json.loads(more[0]) if more else {})
    else:
        result = {"open": opening, "second": second}[what](Path(folder))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
