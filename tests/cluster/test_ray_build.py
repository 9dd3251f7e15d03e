"""`kinfold build --ray`: the index of a build without, and errors as of any other command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ray_cluster import ROOT, Nodes

from indexer import build_collection, read_source
from kinfold.index.manifest import read_manifest
from kinfold.index.publish import VERSIONS

pytestmark = pytest.mark.slow


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
