"""The sparse `cas` model beside the published dense procedure, on the same neighbour lists.

python -m benchmarks.cas [--rows 5000]

The dense program runs as many iterations as the published one. Ours is timed three times: as
published too, with the same iterations and rows long enough for all their entries, which gives the
same result; so, with rows cut at their default length; and with its defaults, which iterate until
nothing changes any more and multiply by a power of the similarity. Finding the neighbours is not
counted for any.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.stats import rankdata

from benchmarks.common import finish, seconds
from benchmarks.dense_cas import ITERATIONS, dense_cas
from benchmarks.galleries import curved_manifolds
from kinfold.arrays import AnyArray
from kinfold.metric import Measure
from kinfold.neighbors import self_join
from kinfold.similarity.cas import Cas
from kinfold.threads import available_cores, limited_threads

K_M, REPEATS = 40, 3
PUBLISHED = {"power": 0, "iterations": ITERATIONS, "tolerance": 1e-30}
OURS = {
    "kinfold, as published": Cas(**PUBLISHED, keep=1000),
    "kinfold, rows cut at 128": Cas(**PUBLISHED),
    "kinfold, defaults": Cas(),
}
DENSE = f"NumPy, n × n, {ITERATIONS} iterations"


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5000)
    rows = parser.parse_args().rows
    vectors = curved_manifolds(rows, 64).vectors
    measure = Measure("cosine")
    found: dict[str, AnyArray] = {}
    times: dict[str, list[float]] = {name: [] for name in (*OURS, DENSE)}
    with limited_threads(available_cores()):
        lists = self_join(vectors, measure, K_M)
        settings = {name: getattr(Cas(), name) for name in ("k1", "k2", "mu", "beta", "kappa")}
        work: dict[str, Callable[[], AnyArray]] = {
            name: partial(model.recalculate, lists, vectors) for name, model in OURS.items()
        }
        work[DENSE] = partial(dense_cas, lists.ids, lists.similarities, **settings)
        for model in OURS.values():
            model.recalculate(lists, vectors)
        for _ in range(REPEATS):
            for name, run in work.items():
                times[name].append(seconds(lambda n=name, r=run: found.update({n: r()})))
    results = []
    for name, spent in times.items():
        row = {"what": name, "seconds": float(np.median(spent))}
        row["ratio"] = float(np.median(np.array(times[DENSE]) / np.array(spent)))
        if name != "kinfold, defaults":
            difference = np.abs(found[name] - found[DENSE])
            row["largest difference"] = float(difference.max())
            row["mean"] = float(difference.mean())
            row["Spearman"] = agreement(found[name], found[DENSE])
        results.append(row)
    finish("cas", f"CAS similarities of {rows:,} items and their {K_M} nearest", results)


def agreement(left: AnyArray, right: AnyArray) -> float:
    """Mean over the lists of Spearman's rank correlation."""
    ranks = [rankdata(side, axis=1) for side in (left, right)]
    centred = [r - r.mean(axis=1, keepdims=True) for r in ranks]
    unit = [c / np.linalg.norm(c, axis=1, keepdims=True) for c in centred]
    return float((unit[0] * unit[1]).sum(axis=1).mean())


if __name__ == "__main__":
    main()
