"""The plan on paper: extended from what was measured, by rules that can be checked by hand."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import cluster_plan
from benchmarks.cluster_plan import Gallery, Machines, core_seconds, plan

MEASURED = [
    {"rows": 1000, "dimension": 8, "cores": 2, "stages": {"vectors": 1.0, "neighbors": 10.0}},
    {"rows": 10_000, "dimension": 8, "cores": 2, "stages": {"vectors": 5.0, "neighbors": 200.0}},
]


def test_time_grows_as_it_was_measured_and_at_least_with_n() -> None:
    # Twenty times as long for ten times as many.
    assert core_seconds(100_000, "neighbors", MEASURED) == pytest.approx(8000)
    assert core_seconds(100_000, "vectors", MEASURED) == pytest.approx(100)
    assert core_seconds(100_000, "vectors", MEASURED[1:]) == pytest.approx(100)


def test_bytes_and_blocks() -> None:
    machines = Machines(count=3, cores=4, network=1e6, memory=1e9, shared=False)
    vectors, neighbors = plan(100_000, MEASURED, Gallery(8, 50, 150, 30_000), machines)
    assert (vectors.blocks, vectors.seconds) == (1, pytest.approx(25))
    assert neighbors.blocks == 4
    assert neighbors.read == 100_000 * 8 * 4
    assert neighbors.back == 100_000 * 50 * 8
    # 3.2 MB twice, then the longer of 8000 core-seconds on 12 cores and 40 MB.
    assert neighbors.seconds == pytest.approx(6.4 + 8000 / 12)


def test_it_prints_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "scaling.json"
    file.write_text(json.dumps(MEASURED))
    monkeypatch.setattr(sys, "argv", ["cluster_plan", str(file), "--rows", "1000000"])
    cluster_plan.main()
    found = capsys.readouterr().out
    assert "1,000,000 × 8, 16 machines of 32 cores" in found
    assert "| neighbors | 16 | 0 GB |" in found
