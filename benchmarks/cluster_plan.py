"""A plan on paper for builds on a cluster: blocks, bytes that move, time of each stage.

python -m benchmarks.cluster_plan [bench-output/scaling.json] [--rows 100000000 1000000000]
    [--machines 16] [--cores 32] [--network 1.25] [--memory 256] [--shared]

The file holds what was measured: ``{"results": [{"rows": 1000000, "dimension": 128, "cores": 2,
"stages": {"neighbors": 412.0, "similarity": 31.0, "diffusion": 95.0}}, …]}``, seconds of stages at
several numbers of rows, of one dimension. From the largest, time grows as between the two largest,
and never less than with n. Nothing here has been run at these sizes: a plan shows what will be the
narrow place, not when a build ends.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common import OUTPUT

SPREAD = ("neighbors", "similarity", "diffusion")
"""Stages in blocks; the others run on the machine of the build."""


@dataclass(frozen=True)
class Machines:
    """The cluster: `memory` and `network` (of each machine) in bytes, and bytes a second."""

    count: int
    cores: int
    network: float
    memory: float
    shared: bool


@dataclass(frozen=True)
class Gallery:
    """What moves depends on it: `listed` neighbours of an item, `row` values of a row of C."""

    dimension: int
    listed: int
    row: int
    block: int


@dataclass(frozen=True)
class Line:
    """A stage: arrays that every machine reads, results that come back, seconds."""

    stage: str
    blocks: int
    read: float
    sent: float
    back: float
    computing: float
    moving: float

    @property
    def seconds(self) -> float:
        """Inputs are there before the first block; results move while others are computed."""
        return self.sent + max(self.computing, self.moving)


def main() -> None:
    """Print a table for each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=OUTPUT / "scaling-measured.json")
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000_000, 1_000_000_000])
    parser.add_argument("--machines", type=int, default=16)
    parser.add_argument("--cores", type=int, default=32, help="of each machine")
    parser.add_argument("--network", type=float, default=1.25, help="GB/s of each machine")
    parser.add_argument("--memory", type=float, default=256, help="GB of each machine")
    parser.add_argument("--shared", action="store_true", help="vectors lie on shared storage")
    parser.add_argument("--measured-cores", type=int, default=2, help="that the file is of")
    parser.add_argument("--listed", type=int, default=30, help="neighbours stored for an item")
    parser.add_argument("--row", type=int, default=205, help="values of a row of C")
    parser.add_argument("--block", type=int, default=65_536, help="rows of a block")
    chosen = parser.parse_args()
    measured = [
        {"cores": chosen.measured_cores, **one}
        for one in json.loads(chosen.file.read_text(encoding="utf-8"))
    ]
    machines = Machines(
        chosen.machines, chosen.cores, chosen.network * 1e9, chosen.memory * 1e9, chosen.shared
    )
    dimension = max(measured, key=lambda one: one["rows"])["dimension"]
    gallery = Gallery(dimension, chosen.listed, chosen.row, chosen.block)
    for rows in chosen.rows:
        print(table(rows, plan(rows, measured, gallery, machines), machines, gallery))


def plan(
    rows: int, measured: list[dict[str, Any]], gallery: Gallery, machines: Machines
) -> list[Line]:
    """A line for each stage that was measured."""
    sizes = sorted(measured, key=lambda one: one["rows"])
    vectors, lists = 4.0 * gallery.dimension, 8.0 * gallery.listed
    read = {"neighbors": vectors, "similarity": lists, "diffusion": lists}
    back = {"neighbors": lists, "similarity": 4.0 * gallery.listed, "diffusion": 2.5 * gallery.row}
    lines = []
    for stage in sizes[-1]["stages"]:
        work = core_seconds(rows, stage, sizes)
        if stage not in SPREAD:
            lines.append(Line(stage, 1, 0, 0, 0, work / machines.cores, 0))
            continue
        # Machines that have an array pass it on: the number that have it doubles.
        # From shared storage each reads for itself, if that storage feeds them all at once.
        mapped = machines.shared and stage == "neighbors"
        sends = 1 if mapped else math.ceil(math.log2(machines.count + 1))
        lines.append(
            Line(
                stage,
                blocks=math.ceil(rows / gallery.block),
                read=rows * read[stage],
                sent=sends * rows * read[stage] / machines.network,
                back=rows * back[stage],
                computing=work / (machines.count * machines.cores),
                # All of it goes to the one machine that writes.
                moving=rows * back[stage] / machines.network,
            )
        )
    return lines


def core_seconds(rows: int, stage: str, sizes: list[dict[str, Any]]) -> float:
    """Of a stage, extended from the two largest sizes that were measured."""
    largest = sizes[-1]
    work = largest["stages"][stage] * largest["cores"]
    power = 1.0
    if len(sizes) > 1 and sizes[-2]["stages"].get(stage):
        before = sizes[-2]
        longer = work / (before["stages"][stage] * before["cores"])
        power = max(1.0, math.log(longer) / math.log(largest["rows"] / before["rows"]))
    return float(work * (rows / largest["rows"]) ** power)


def table(rows: int, lines: list[Line], machines: Machines, gallery: Gallery) -> str:
    """Markdown, for docs/cluster.md."""
    text = [
        f"\n{rows:,} × {gallery.dimension}, {machines.count} machines of {machines.cores} cores, "
        f"{machines.network / 1e9:g} GB/s\n",
        "| stage | blocks | each machine reads | inputs, min | results, GB | computing, min "
        "| results, min | in all, min |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        held = f"{line.read / 1e9:,.0f} GB"
        if line.read > 0.6 * machines.memory:
            held += " (more than its memory)"
        text.append(
            f"| {line.stage} | {line.blocks:,} | {held} | {line.sent / 60:,.1f} "
            f"| {line.back / 1e9:,.0f} | {line.computing / 60:,.1f} | {line.moving / 60:,.1f} "
            f"| {line.seconds / 60:,.1f} |"
        )
    text.append(f"\nin all {sum(line.seconds for line in lines) / 3600:,.1f} hours")
    return "\n".join(text)


if __name__ == "__main__":
    main()
