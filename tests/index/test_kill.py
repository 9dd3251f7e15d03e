"""kill -9 at every step that a build takes on disk, and at random moments."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import kinfold
from kinfold.index import list_versions
from kinfold.index.publish import CURRENT, VERSIONS

from .killer import ROWS
from .support import ROOT, copied, gallery, live

OLD, NEW = ROWS, ROWS + 1
SINGLE = {
    "PYTHONPATH": str(ROOT),
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "NUMBA_THREADING_LAYER": "workqueue",
}


@pytest.fixture(scope="module")
def killer(tmp_path_factory):
    """(folder, function that runs a build killed at a step)."""
    folder = tmp_path_factory.mktemp("killed")
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("killer.py")), str(folder)],
        env={**os.environ, **SINGLE},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "ready\n"

        def run(name: str, kind: str, when: float) -> tuple[int, str]:
            process.stdin.write(f"{name} {kind} {when}\n")
            process.stdin.flush()
            status, calls = process.stdout.readline().split()
            return int(status), calls

        try:
            yield folder, run
        finally:
            process.stdin.close()
            process.wait(timeout=30)


def check_after_kill(path, old):
    """Whole old version or whole new one; says which."""
    version = live(path)
    report = kinfold.verify(path)
    assert report.ok, report.problems
    index = kinfold.open(path)
    assert len(index) == (OLD if version.name == old else NEW)
    assert len(index.search(index.vectors[:2], 3)) == 2
    for name in list_versions(path):
        assert kinfold.verify(path / VERSIONS / name).ok
    return "old" if version.name == old else "new"


@pytest.mark.long
def test_killed_at_every_step_on_disk(killer):
    """After every call that makes, syncs, renames or removes something."""
    folder, run = killer
    copied(folder / "warm", folder / "whole")
    status, calls = run("whole", "step", 10**9)
    assert status == 0
    steps = int(calls)
    assert steps > 50
    old = live(folder / "warm").name
    states = []
    swept = 0
    # Libraries that open files of their own make the number of steps vary by a few.
    for step in range(steps + 30):
        path = folder / f"killed-{step}"
        copied(folder / "warm", path)
        status, calls = run(path.name, "step", step)
        if status == 0:
            assert step > steps - 30
            break
        assert (status, calls) == (signal.SIGKILL, "-")
        states.append(check_after_kill(path, old))
        remains = list((path / VERSIONS).glob(".building-*"))
        if step % 5 == 0 or states[-1] == "new":
            swept += len(remains)
            kinfold.build(gallery(12), path)
            assert not list((path / VERSIONS).glob(".building-*"))
            assert len(kinfold.open(path)) == 12
    # The switch happens once and is never taken back.
    assert states == sorted(states, reverse=True)
    assert set(states) == {"old", "new"}
    assert swept > 5


def test_a_first_build_killed_at_every_step(killer):
    """Without an old version to fall back to there is no index, or the whole new one."""
    folder, run = killer
    status, calls = run("first", "step", 10**9)
    assert status == 0
    found = set()
    for step in range(0, int(calls), 5):
        path = folder / f"first-{step}"
        status, _ = run(path.name, "step", step)
        if status == 0:
            assert step > int(calls) - 30
            break
        assert status == signal.SIGKILL
        if (path / CURRENT).exists():
            assert check_after_kill(path, old="") == "new"
            found.add("new")
        else:
            with pytest.raises(kinfold.FormatError, match="no kinfold index here"):
                kinfold.open(path)
            found.add("none")
    assert found == {"none", "new"}


def test_killed_at_random_moments(killer):
    """A process that rebuilds without end, and a clock: nothing here knows where it is hit."""
    folder, run = killer
    path = folder / "random"
    copied(folder / "warm", path)
    old = live(path).name
    delays = random.Random(5)
    remains = 0
    for _ in range(20):
        assert run(path.name, "after", delays.uniform(0.0, 0.3))[0] == signal.SIGKILL
        check_after_kill(path, old)
        found = list((path / VERSIONS).glob(".building-*"))
        assert len(found) <= 1, "each build sweeps what the one before it left"
        remains += len(found)
    assert live(path).name != old
    assert remains > 3
    kinfold.build(np.eye(12), path)
    assert not list((path / VERSIONS).glob(".building-*"))
