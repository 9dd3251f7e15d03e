"""`kinfold build --ray`: the index of a build without, and errors as of any other command."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from ray_cluster import ROOT, Nodes

from indexer import build_collection, read_source
from kinfold.config import BuildConfig
from kinfold.diffusion import tasks as diffusion_tasks
from kinfold.index.manifest import read_manifest
from kinfold.index.publish import VERSIONS
from kinfold.neighbors import cell_join, cells


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "x.npy"
    np.save(path, np.random.default_rng(2).normal(size=(600, 16)).astype(np.float32))
    return path


def kinfold(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip


def files(data: Path) -> dict[str, str]:
    (version,) = (data / "photos" / VERSIONS).iterdir()
    return {name: file.sha256 for name, file in read_manifest(version).files.items()}


def test_the_index_is_that_of_a_build_without(nodes: Nodes, source: Path, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    build_collection(read_source(str(source)), here, "photos")
    done = kinfold(
        "build", source, "--data", there, "--collection", "photos", "--json",
        "--ray", nodes.address, "--ray-shared",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert files(here) == files(there)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ray", "127.0.0.1:9"], "error: no Ray cluster at 127.0.0.1:9: "),
        (["--ray", "nowhere"], "error: 'nowhere' is no address of a Ray cluster"),
        (["--ray-shared"], "error: --ray-shared says something about a cluster"),
    ],
)
def test_what_cannot_work_is_an_error_and_writes_nothing(
    source: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    pytest.importorskip("ray")
    done = kinfold("build", source, "--data", tmp_path / "d", "--collection", "photos", *options)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert message in " ".join(done.stderr.split())
    assert not (tmp_path / "d" / "photos").exists()


def test_a_worker_killed_in_the_middle_of_a_build_changes_nothing(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its blocks are computed again, by another one, and give the same bytes."""
    path = tmp_path / "x.npy"
    np.save(path, np.random.default_rng(3).normal(size=(5000, 16)).astype(np.float32))
    config = BuildConfig(join="cells", neighbors="ivf")
    # Many small blocks, so that there is a middle; no result depends on how they are cut.
    monkeypatch.setattr(cells, "_BLOCK_ROWS", 500)
    monkeypatch.setattr(cell_join, "_BLOCK_ROWS", 500)
    monkeypatch.setattr(diffusion_tasks, "BLOCK_VALUES", 1 << 17)
    build_collection(read_source(str(path)), tmp_path / "here", "photos", config)
    killed: dict[str, list[int]] = {}

    def told(event: dict[str, object]) -> None:
        phase = str(event.get("phase"))
        if event["event"] == "progress" and phase in {"neighbors merge", "diffusion"}:
            killed.setdefault(phase, kill_workers(nodes))

    nodes.two()
    build_collection(
        read_source(str(path)), tmp_path / "there", "photos", config, ray=nodes.address,
        events=told,
    )  # fmt: skip
    assert set(killed) == {"neighbors merge", "diffusion"}
    assert all(killed.values())
    assert files(tmp_path / "here") == files(tmp_path / "there")


def kill_workers(nodes: Nodes) -> list[int]:
    """End all processes of these nodes that compute, as a machine short of memory does."""
    ended = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        command = " ".join(process.info["cmdline"] or [])
        if not command.startswith("ray::") or "Agent" in command:
            continue
        with contextlib.suppress(psutil.Error):
            if process.environ().get("RAY_TMPDIR") == nodes.folder:
                process.kill()
                ended.append(process.pid)
    return ended
