"""Diffusion rows beside SciPy slice-and-cg: T = 1000, k_d = 50, nearest truncation, 1e-6.

python -m benchmarks.rows [--rows 20000]
"""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks import peers
from benchmarks.common import finish, seconds
from benchmarks.galleries import curved_manifolds
from kinfold.diffusion import diffuse
from kinfold.threads import available_cores, limited_threads

T, K_D, ALPHA, TOLERANCE = 1000, 50, 0.99, 1e-6
SETTINGS = {
    "alpha": ALPHA,
    "max_row": T,
    "mass": 1.0,
    "tolerance": TOLERANCE,
    "max_iterations": 1000,
}
OURS, THEIRS, REPEATS = 4000, 150, 5


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    arguments = parser.parse_args()
    gallery = curved_manifolds(arguments.rows, 64)
    ids, similarities = peers.neighbors(gallery.vectors, T - 1)
    matrix = peers.affinity(ids, similarities, K_D, 3.0)
    cores = available_cores()
    nearest = ids[:OURS].astype(np.uint32)

    def ours(threads: int, count: int = OURS) -> list[float]:
        """The first rows by our kernel; S is the whole graph, only `count` rows are computed."""
        blocks = diffuse(
            matrix, **SETTINGS, threads=threads, nearest=nearest[:count], rows=np.arange(count)
        )
        return [float(block.values.sum()) for block in blocks]

    results = []
    compared = np.arange(THEIRS)
    with limited_threads(cores):
        ours(cores, 64)
        ratios, own, peer = [], [], []
        for _ in range(REPEATS):
            own.append(seconds(lambda: ours(cores)) / OURS)
            peer.append(
                min(
                    seconds(
                        lambda threads=threads: peers.diffusion_rows(
                            matrix, ids, compared, ALPHA, TOLERANCE, threads
                        )
                    )
                    for threads in (1, cores)
                )
                / THEIRS
            )
            ratios.append(peer[-1] / own[-1])
    error = 0.0
    block = next(
        iter(diffuse(matrix, **SETTINGS, threads=cores, nearest=nearest[:THEIRS], rows=compared))
    )
    for row, (columns, values, _) in enumerate(
        peers.diffusion_rows(matrix, ids, compared, ALPHA, TOLERANCE, cores)
    ):
        dense = np.zeros(arguments.rows)
        dense[columns] = values
        begin, end = block.indptr[row], block.indptr[row + 1]
        dense[block.columns[begin:end]] -= block.values[begin:end]
        error = max(error, float(np.abs(dense).max() / np.abs(values).max()))
    results.append({"what": "kinfold", "µs a row": 1e6 * float(np.median(own)), "ratio": 1.0})
    results.append(
        {
            "what": "SciPy slice + cg (best of 1 and all threads)",
            "µs a row": 1e6 * float(np.median(peer)),
            "ratio": float(np.median(ratios)),
        }
    )
    finish(
        "rows",
        f"Diffusion rows, T = {T}, k_d = {K_D}, residual {TOLERANCE}",
        results,
        items=arguments.rows,
        largest_difference=f"{error:.1e}",
        edges_a_row=f"{matrix.nnz / arguments.rows:.0f}",
    )


if __name__ == "__main__":
    main()
