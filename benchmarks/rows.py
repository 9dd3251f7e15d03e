"""Diffusion rows beside SciPy slice-and-cg: T = 1000, k_d = 50, nearest truncation, 1e-6.

python -m benchmarks.rows [--rows 20000]
"""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks import peers
from benchmarks.common import finish, seconds
from benchmarks.galleries import curved_manifolds
from kinfold.arrays import AnyArray
from kinfold.blocks import LocalRunner
from kinfold.diffusion import DiffuseNearest, LocalOrder, Solving
from kinfold.threads import available_cores, limited_threads

T, K_D, ALPHA, TOLERANCE = 1000, 50, 0.99, 1e-6
SOLVING = Solving(ALPHA, max_row=T, mass=1.0, tolerance=TOLERANCE, max_iterations=1000)
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
    slots = np.arange(arguments.rows, dtype=np.uint32)
    as_it_is = LocalOrder(slots, slots, np.array([0, arguments.rows]))
    arrays = as_it_is.relabelled(matrix) | {
        "nearest": ids.astype(np.uint32), "order": slots, "places": slots,
    }  # fmt: skip

    def ours(threads: int, count: int = OURS) -> dict[str, AnyArray]:
        """The first rows by our kernel; S is the whole graph, only `count` rows are computed."""
        runner = LocalRunner(threads)
        (rows,) = runner.run(DiffuseNearest(SOLVING), arrays, [(0, count)])
        return rows

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
    found = ours(cores, THEIRS)
    ends = np.cumsum(found["length"])
    for row, (columns, values, _) in enumerate(
        peers.diffusion_rows(matrix, ids, compared, ALPHA, TOLERANCE, cores)
    ):
        dense = np.zeros(arguments.rows)
        dense[columns] = values
        begin, end = ends[row] - found["length"][row], ends[row]
        dense[found["columns"][begin:end]] -= found["values"][begin:end]
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
