"""A build from ten thousand items to a million: time of each stage, memory, bytes, quality.

python -m benchmarks.scaling [--rows 10000 20000 50000] [--large] [--save] [--set k_d=20]

Each size is built in a process of its own, from a read-only memory map of a file on disk, with
what compiles compiled before. mAP is that of held-out queries over their first 1000 ranks; recall
is counted by brute force on a sample. Writes bench-output/scaling.json and scaling.png; with
--save also docs/images/scaling.png. --plot draws the last run again.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import common
from benchmarks.common import finish, seconds
from benchmarks.manifolds import intrinsic_dimension, manifolds
from benchmarks.scaling_plot import plot
from benchmarks.scaling_run import elsewhere

SIZES = (10_000, 20_000, 50_000, 100_000, 200_000)
LARGE = (*SIZES, 500_000, 1_000_000)
DIMENSION, QUERIES = 128, 500
IMAGE = Path("docs/images/scaling.png")
SAVED = "scaling-measured.json"

Measured = dict[str, Any]


def main() -> None:
    """Build each size, print, plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", help="default: 10,000 to 200,000")
    parser.add_argument("--large", action="store_true", help="to 1,000,000")
    parser.add_argument("--dimension", type=int, default=DIMENSION)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--save", action="store_true", help=f"the plot also as {IMAGE}")
    parser.add_argument("--plot", action="store_true", help="draw the last run again, build none")
    given = parser.parse_args()
    saved = common.OUTPUT / SAVED
    if given.plot:
        measured = json.loads(saved.read_text())
    else:
        measured = []
        for rows in sorted(given.rows or (LARGE if given.large else SIZES)):
            measured.append(one(rows, given.dimension, parameters(given.set)))
            # After each size: the largest takes long, and may not be waited for.
            saved.parent.mkdir(parents=True, exist_ok=True)
            saved.write_text(json.dumps(measured, indent=1) + "\n")
            print(f"{rows:,}: {measured[-1]['seconds']:.1f} s", flush=True)
        report(measured)
    image = common.OUTPUT / "scaling.png"
    plot(measured, common.machine(), image)
    if given.save:
        IMAGE.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image, IMAGE)


def parameters(settings: list[str]) -> dict[str, Any]:
    """Parameters of the build from NAME=VALUE; values are JSON, or else words."""
    found: dict[str, Any] = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def one(rows: int, dimension: int, chosen: dict[str, Any]) -> Measured:
    """Make a gallery, and have it built in another process."""
    with tempfile.TemporaryDirectory(prefix="kinfold-") as name:
        folder = Path(name)
        made: dict[str, Any] = {}

        def make() -> None:
            made["gallery"] = manifolds(
                rows, dimension, queries=QUERIES, file=folder / "vectors.npy"
            )

        spent = seconds(make)
        gallery = made.pop("gallery")
        np.savez(
            folder / "queries.npz",
            queries=gallery.queries,
            query_labels=gallery.query_labels,
            labels=gallery.labels,
        )
        about = {
            "parameters": chosen,
            "made_seconds": spent,
            "dimensions": intrinsic_dimension(gallery.vectors),
        }
        # Of the gallery nothing is held while another process measures.
        del gallery
        return about | elsewhere("build", folder, json.dumps(chosen))


def exponent(sizes: list[int], values: list[float]) -> float:
    """The e of values ~ sizes^e, by least squares on logarithms; NaN for less than two sizes."""
    found = [(n, v) for n, v in zip(sizes, values, strict=True) if v > 0]
    if len({n for n, _ in found}) < 2:
        return float("nan")
    logarithms = np.log(np.array(found, dtype=np.float64))
    return float(np.polyfit(logarithms[:, 0], logarithms[:, 1], 1)[0])


def short(rows: int) -> str:
    """20k, 1M."""
    return f"{rows / 1e6:g}M" if rows >= 1_000_000 else f"{rows / 1000:g}k"


def main_rows(measured: list[Measured]) -> list[dict[str, Any]]:
    """A row a size."""
    return [
        {
            "what": short(one["rows"]),
            "s": one["seconds"],
            "peak GB": one["peak_bytes"] / 1e9,
            "own GB": one["own_bytes"] / 1e9,
            "B/item": sum(one["files"].values()) / one["rows"],
            "C B/item": one["files"].get("C", 0) / one["rows"],
            "recall": one["recall"],
            "mAP %": one["map"],
            "kNN %": one["knn_map"],
            "query µs": one["query_us"],
            "S·C µs": one["combine_us"],
            "open ms": one["open_ms"],
            "2nd MB": one["second_bytes"] / 1e6,
        }
        for one in measured
    ]


def stage_rows(measured: list[Measured]) -> list[dict[str, Any]]:
    """A row a stage: its seconds at each size, its share of the largest, its exponent."""
    sizes = [one["rows"] for one in measured]
    names = list(dict.fromkeys(name for one in measured for name in one["stages"]))
    seconds_of = {name: [one["stages"].get(name, 0.0) for one in measured] for name in names}
    # Hashing the source, gathering files, opening: what no stage counts.
    seconds_of["beside the stages"] = [
        max(0.0, one["seconds"] - sum(one["stages"].values())) for one in measured
    ]
    seconds_of["whole build"] = [one["seconds"] for one in measured]
    largest = seconds_of["whole build"][-1]
    return [
        {
            "what": name,
            **{f"{short(n)} s": value for n, value in zip(sizes, values, strict=True)},
            "share %": 100 * values[-1] / largest,
            "∝ n^": exponent(sizes, values),
        }
        for name, values in seconds_of.items()
    ]


def size_rows(measured: list[Measured]) -> list[dict[str, Any]]:
    """A row a kind of file: bytes an item at each size."""
    kinds = dict.fromkeys(kind for one in measured for kind in one["files"])
    return [
        {"what": kind}
        | {short(one["rows"]): one["files"].get(kind, 0) / one["rows"] for one in measured}
        for kind in kinds
    ]


def report(measured: list[Measured]) -> None:
    """Three tables."""
    last = measured[-1]
    finish(
        "scaling",
        f"Builds by size, {last['dimension']}-d, default parameters unless set",
        main_rows(measured),
        recall=f"@{last['k_d']}, brute force",
        rankings="first 1000",
        exponent=f"{exponent([m['rows'] for m in measured], [m['seconds'] for m in measured]):.3f}",
        intrinsic_dimension=", ".join(f"{m['dimensions']:.1f}" for m in measured),
        engine=", ".join(m["engine"] for m in measured),
        most_of_its_own_in=", ".join(m["own_phase"] for m in measured),
    )
    finish("scaling-stages", "Seconds of each stage", stage_rows(measured))
    finish("scaling-bytes", "Bytes an item on disk", size_rows(measured))


if __name__ == "__main__":
    main()
