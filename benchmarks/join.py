"""The gallery's self-join beside faiss: seconds, recall and memory.

python -m benchmarks.join [--rows 200000] [--dimension 128] [--latent 16] [--only cells hnsw]

Every way runs in a process of its own, so that its peak of memory is its own. The gallery is
clusters on a smooth curved surface of `--latent` dimensions; recall@15 is that of 500 items whose
neighbours are found exactly. Beside the seconds stand those of all cores together, which say what
is done where other work keeps the machine busy.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import faiss
import numpy as np

from benchmarks.common import finish
from kinfold.arrays import NOTHING, Float32s, UInt32s
from kinfold.kernels.compare import score_lists_parallel, without_self
from kinfold.metric import Measure
from kinfold.neighbors import NeighborLists, estimate_recall, self_join
from kinfold.threads import available_cores, limited_threads

K, AT = 30, 15
WARM = 3000
BATCH = 4096
WAYS = {
    "cells": "kinfold, join = cells",
    "exact": "kinfold, join = exact",
    "ivf": "faiss IVFFlat, batches",
    "hnsw": "faiss HNSW 16/80/64",
}


def main() -> None:
    """Run each way and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--latent", type=int, default=16)
    parser.add_argument("--only", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--child", nargs=2, metavar=("WAY", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        way, file = arguments.child
        print(json.dumps(measured(way, np.load(file, mmap_mode="r"))))
        return
    results = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.npy"
        np.save(path, surface(arguments.rows, arguments.dimension, arguments.latent))
        for way in arguments.only:
            command = [sys.executable, "-m", "benchmarks.join", "--child", way, str(path)]
            answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            results.append({"what": WAYS[way], **json.loads(answer.splitlines()[-1])})
    finish(
        "join",
        f"Self-join, {arguments.rows:,} × {arguments.dimension}, {arguments.latent} latent "
        f"dimensions, k = {K}",
        results,
        recall_at=AT,
    )


def surface(rows: int, dimension: int, latent: int, seed: int = 0) -> Float32s:
    """(rows, dimension) float32 of length one: clusters on a smooth map of latent Gaussians."""
    generator = np.random.default_rng(seed)
    hidden = 4 * latent
    inner = 1.2 / latent**0.5 * generator.standard_normal((latent, hidden))
    outer = generator.standard_normal((hidden, dimension)) / hidden**0.5
    centres = generator.standard_normal((max(10, rows // 500), latent))
    weights = generator.pareto(2, len(centres)) + 0.3
    result = np.empty((rows, dimension), dtype=np.float32)
    for begin in range(0, rows, 100_000):
        count = min(100_000, rows - begin)
        chosen = generator.choice(len(centres), count, p=weights / weights.sum())
        places = centres[chosen] + 0.6 * generator.standard_normal((count, latent))
        made = np.tanh(places @ inner) @ outer
        made += 0.02 * generator.standard_normal((count, dimension))
        made /= np.linalg.norm(made, axis=1, keepdims=True)
        result[begin : begin + count] = made
    return result


def measured(way: str, vectors: Float32s) -> dict[str, float]:
    """Seconds, recall, and memory at the peak beyond what there was before."""
    measure = Measure("cosine")
    with limited_threads(available_cores()):
        join(way, np.array(vectors[:WARM]))  # compiles
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start, used = time.perf_counter(), time.process_time()
        lists = join(way, vectors)
        took, cpu = time.perf_counter() - start, time.process_time() - used
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        recall = estimate_recall(lists, vectors, measure, AT)
    return {
        "seconds": took,
        "core seconds": cpu,
        f"recall@{AT}": recall,
        "memory GB, vectors included": (peak - before) / 1e6,
    }


def join(way: str, vectors: Float32s) -> NeighborLists:
    """The lists of one way."""
    if way in ("cells", "exact"):
        return self_join(vectors, Measure("cosine"), K, how=way)
    rows, dimension = vectors.shape
    if way == "hnsw":
        index = faiss.IndexHNSWFlat(dimension, 16, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction, index.hnsw.efSearch = 80, 64
    else:
        cells = int(4 * rows**0.5)
        quantizer = faiss.IndexFlatIP(dimension)
        index = faiss.IndexIVFFlat(quantizer, dimension, cells, faiss.METRIC_INNER_PRODUCT)
        index.nprobe = max(16, cells // 200)
        index.train(np.ascontiguousarray(vectors[:: max(1, rows // (40 * cells))]))
    ids = np.empty((rows, K), dtype=np.uint32)
    for begin in range(0, rows, BATCH):
        index.add(np.ascontiguousarray(vectors[begin : begin + BATCH]))
    for begin in range(0, rows, BATCH):
        _, found = index.search(np.ascontiguousarray(vectors[begin : begin + BATCH]), K + 1)
        without_self(positions(found), begin, ids[begin : begin + BATCH])
    values = np.empty(ids.shape, dtype=np.float32)
    score_lists_parallel(vectors, vectors, ids, False, values)
    return NeighborLists(ids, values)


def positions(found: np.ndarray) -> UInt32s:
    """Faiss's -1 as `NOTHING`."""
    return np.where(found < 0, np.int64(NOTHING), found).astype(np.uint32)


if __name__ == "__main__":
    main()
