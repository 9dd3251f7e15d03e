"""kill -9 in every stage: the next build goes on from there, and gives what it would have given."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import kinfold
from kinfold.index import live_version
from kinfold.index.publish import VERSIONS, WORK
from kinfold.pipeline.events import StageEvent

from .crasher import build

ROOT = Path(__file__).resolve().parents[2]
SINGLE = {
    "PYTHONPATH": str(ROOT),
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "NUMBA_THREADING_LAYER": "workqueue",
}
STAGES = [
    "vectors", "items", "knn", "neighbors",
    "similarity:near", "diffusion:near", "similarity:far", "diffusion:far",
]  # fmt: skip
INSIDE = {
    "vectors": "vectors",
    "knn index": "knn",
    "neighbors": "neighbors",
    "similarity": "similarity:near",
    "diffusion": "diffusion:near",
}


@pytest.fixture(scope="module")
def crash(tmp_path_factory):
    """(folder, function that runs a build which is killed at a point)."""
    folder = tmp_path_factory.mktemp("crashed")
    with subprocess.Popen(
        [sys.executable, "-m", "tests.pipeline.crasher", str(folder)],
        cwd=ROOT,
        env={**os.environ, **SINGLE},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "ready\n"

        def run(name: str, point: str) -> int:
            process.stdin.write(f"{name} {point}\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        try:
            yield folder, run
        finally:
            process.stdin.close()
            process.wait(timeout=30)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    path = tmp_path_factory.mktemp("reference") / "c"
    build(path)
    return content(path)


def content(path: Path) -> dict[str, str]:
    """The hash of every file of the live version, and what the manifest says but for times."""
    values = json.loads((live_version(path) / "manifest.json").read_text())
    assert kinfold.verify(path).problems == []
    files = {name: info["sha256"] for name, info in values.pop("files").items()}
    for model in values["models"].values():
        assert model.pop("measured")
    assert values.pop("measured")
    del values["created"]
    return {**files, "manifest": json.dumps(values, sort_keys=True)}


def resumed(path: Path) -> tuple[list[str], list[str]]:
    """Build again: the stages that were reused, and those that were done."""
    events: list[StageEvent] = []
    build(path, told=lambda event: events.append(event))
    assert not (path / WORK).exists()
    assert not list((path / VERSIONS).glob(".*"))
    lists: dict[str, list[str]] = {"reused": [], "done": [], "started": []}
    for event in events:
        if isinstance(event, StageEvent):
            name = event.stage if event.model is None else f"{event.stage}:{event.model}"
            lists[event.state].append(name)
    assert lists["started"] == lists["done"]
    return lists["reused"], lists["done"]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("moment", ["started", "done"])
def test_killed_at_the_edges_of_a_stage(crash, reference, stage, moment):
    folder, run = crash
    path = folder / f"{moment}-{stage.replace(':', '-')}"
    assert run(path.name, f"{moment}:{stage}") == signal.SIGKILL
    done = STAGES.index(stage) + (moment == "done")
    reused, redone = resumed(path)
    assert reused == STAGES[:done]
    assert redone == STAGES[done:]
    assert content(path) == reference


@pytest.mark.parametrize("phase", INSIDE)
def test_killed_inside_of_a_stage(crash, reference, phase):
    folder, run = crash
    path = folder / f"inside-{phase.replace(' ', '-')}"
    assert run(path.name, f"phase:{phase}") == signal.SIGKILL
    done = STAGES.index(INSIDE[phase])
    assert resumed(path) == (STAGES[:done], STAGES[done:])
    assert content(path) == reference


def test_killed_again_and_again(crash, reference):
    """Every attempt dies at the next stage's end; each does only one stage."""
    folder, run = crash
    path = folder / "again"
    for number, stage in enumerate(STAGES):
        assert run(path.name, f"done:{stage}") == signal.SIGKILL
        assert len(list((path / WORK / "marks").iterdir())) == number + 1
    reused, redone = resumed(path)
    assert (reused, redone) == (STAGES, [])
    assert content(path) == reference


def test_killed_at_random_moments(crash, reference):
    folder, run = crash
    delays = random.Random(7)
    places = set()
    for number in range(12):
        path = folder / f"random-{number}"
        path.mkdir()
        run(path.name, f"after:{delays.uniform(0, 0.25)}")
        reused, redone = resumed(path)
        assert reused + redone == STAGES
        places.add(len(reused))
        assert content(path) == reference
    assert len(places) > 1
