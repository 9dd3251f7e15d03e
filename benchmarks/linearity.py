"""Time and memory of every similarity model against the number of items: both should be linear.

python -m benchmarks.linearity [--rows 5000 20000 80000] [--models cas rdp]

Each measurement is a process of its own that reads the neighbour lists, made once a size, and runs
one model a few times: the median time, and by how much its resident memory grew at the peak. A
ratio is the largest size over the smallest; that of the processor's time is told as well, for it
suffers less from other work on the machine.
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

import numpy as np

from benchmarks.common import finish
from benchmarks.galleries import curved_manifolds
from kinfold.config import SimilaritySpec
from kinfold.metric import Measure
from kinfold.neighbors import NeighborLists, self_join
from kinfold.similarity import SimilarityModel, model_names, resolve
from kinfold.threads import available_cores, limited_threads

DIMENSION, K_M = 64, 40
SIZES = (5000, 20_000, 80_000)
WARM = 300
# A model is run again until so many seconds are spent.
ENOUGH = 1.0


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--models", nargs="+", default=model_names())
    parser.add_argument("--one", nargs=2, metavar=("MODEL", "FILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measured(*arguments.one)))
        return
    sizes = sorted(arguments.rows)
    results: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        files = {rows: write_lists(rows, Path(folder)) for rows in sizes}
        for name in arguments.models:
            # Compiling a kernel that is not cached takes memory as well: here, not there.
            warm_up(resolve(SimilaritySpec(name=name)))
            each = [in_process(name, files[rows]) for rows in sizes]
            row: dict[str, object] = {"what": name}
            for unit, key in (("µs", "wall"), ("CPU µs", "cpu"), ("B", "memory")):
                values = [one[key] / rows for one, rows in zip(each, sizes, strict=True)]
                told = {f"{unit} {short(n)}": v for n, v in zip(sizes, values, strict=True)}
                # Of the processor's time the ratio is enough, or the table gets too wide.
                row |= {} if key == "cpu" else told
                row[f"{unit.split()[0]} ratio"] = values[-1] / values[0] if values[0] else None
            results.append(row)
    finish(
        "linearity",
        f"Similarity models, µs and bytes an item (k_m = {K_M}, {DIMENSION}-d)",
        results,
        sizes=sizes,
    )


def short(rows: int) -> str:
    """80k."""
    return f"{rows / 1000:g}k"


def write_lists(rows: int, folder: Path) -> Path:
    """A gallery and its neighbour lists, in a file."""
    vectors = curved_manifolds(rows, DIMENSION).vectors
    measure = Measure("cosine")
    with limited_threads(available_cores()):
        lists = self_join(vectors, measure, K_M)
    path = folder / f"{rows}.npz"
    np.savez(path, vectors=vectors, ids=lists.ids, similarities=lists.similarities)
    return path


def in_process(name: str, path: Path) -> dict[str, float]:
    """`measured` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.linearity", "--one", name, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def measured(name: str, path: str) -> dict[str, float]:
    """Microseconds of a model's run, by the wall and by the processors, and bytes at the peak."""
    with np.load(path) as data:
        lists = NeighborLists(data["ids"], data["similarities"])
        vectors = data["vectors"]
    model = resolve(SimilaritySpec(name=name))
    wall: list[float] = []
    cpu: list[float] = []
    with limited_threads(available_cores()):
        warm_up(model)
        before = resident(reset=True)
        while not wall or sum(wall) < ENOUGH:
            start, used = time.perf_counter(), processor_seconds()
            model.recalculate(lists, vectors)
            wall.append(time.perf_counter() - start)
            cpu.append(processor_seconds() - used)
            if len(wall) == 1:
                memory = peak() - before
    return {
        "wall": 1e6 * float(np.median(wall)),
        "cpu": 1e6 * float(np.median(cpu)),
        "memory": float(memory),
    }


def warm_up(model: SimilarityModel) -> None:
    """Load the kernels; on a gallery so small that its memory does not count."""
    vectors = curved_manifolds(WARM, DIMENSION, queries=10).vectors
    measure = Measure("cosine")
    lists = self_join(vectors, measure, K_M)
    model.recalculate(lists, vectors)


def processor_seconds() -> float:
    """Of all threads of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def resident(*, reset: bool) -> int:
    """Bytes in memory now; `reset`: the peak begins again here, where the system allows it."""
    if reset:
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            return peak()
    return _status("VmRSS")


def peak() -> int:
    """Bytes in memory at the peak."""
    return _status("VmHWM")


def _status(field: str) -> int:
    try:
        text = Path("/proc/self/status").read_text()
        return int(text.split(f"{field}:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        # Not Linux: the peak is all that is known, in bytes on macOS.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
