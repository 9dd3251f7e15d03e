"""The scaling benchmark: what is computed from measurements, and one small size for real."""

from __future__ import annotations

import math

import pytest

import kinfold
from benchmarks import scaling, scaling_run
from benchmarks.scaling_plot import plot

MACHINE = {"cores": 2, "processor": "some"}


def measured(rows: int, **stages: float) -> dict[str, object]:
    return {
        "rows": rows, "dimension": 16, "seconds": 1.0 + sum(stages.values()), "stages": stages,
        "peak_bytes": 3e8, "own_bytes": 2e8, "own_phase": "affinity", "mapped_bytes": 1e8,
        "files": {"vectors": 64 * rows, "C": 1000 * rows, "lists": 100 * rows}, "engine": "exact",
        "recall": 0.98, "k_d": 15, "map": 91.0, "knn_map": 66.0, "query_us": 300.0,
        "combine_us": 60.0, "open_ms": 2.0, "second_bytes": 4e5, "dimensions": 16.0,
    }  # fmt: skip


def test_the_exponent_is_the_slope_of_logarithms():
    sizes = [1000, 5000, 100_000]
    assert scaling.exponent(sizes, [3e-4 * n**1.15 for n in sizes]) == pytest.approx(1.15)
    assert scaling.exponent(sizes, [0.0, 5.0, 100.0]) == pytest.approx(1.0)
    assert math.isnan(scaling.exponent([1000], [3.0]))
    assert math.isnan(scaling.exponent(sizes, [0.0, 0.0, 1.0]))


def test_a_row_a_stage_whatever_stages_there_are():
    both = [measured(1000, one=1.0), measured(10_000, one=10.0, two=5.0)]
    rows = {row["what"]: row for row in scaling.stage_rows(both)}
    assert list(rows) == ["one", "two", "beside the stages", "whole build"]
    assert rows["one"]["1k s"] == 1.0
    assert rows["one"]["∝ n^"] == pytest.approx(1.0)
    assert rows["two"]["1k s"] == 0.0
    assert rows["two"]["share %"] == pytest.approx(100 * 5 / 16)
    assert rows["beside the stages"]["10k s"] == pytest.approx(1.0)
    assert rows["whole build"]["10k s"] == pytest.approx(16.0)


def test_rows_of_sizes_and_bytes():
    both = [measured(1000, one=1.0), measured(2_000_000, one=10.0)]
    rows = scaling.main_rows(both)
    assert [row["what"] for row in rows] == ["1k", "2M"]
    assert rows[0]["B/item"] == 1164
    assert {row["what"]: row["2M"] for row in scaling.size_rows(both)} == {
        "vectors": 64, "C": 1000, "lists": 100,
    }  # fmt: skip


def test_files_are_told_by_what_they_are_for():
    assert scaling_run.by_kind(
        {
            "vectors.npy": 1, "neighbors.npy": 2, "similarities.npy": 4, "knn.faiss": 8,
            "ids.arrow": 16, "models/a/values-00000.npy": 32, "models/a/graph-neighbors.npy": 64,
        }
    ) == {"vectors": 1, "lists": 70, "kNN index": 8, "items": 16, "C": 32}  # fmt: skip
    assert scaling_run.stages({"knn_seconds": 1.0, "blocks": 2.0}) == {"knn": 1.0}


def test_parameters_are_json_or_words():
    assert scaling.parameters(["k_d=20", "neighbors=hnsw", "auto=true"]) == {
        "k_d": 20, "neighbors": "hnsw", "auto": True,
    }  # fmt: skip


def test_what_the_large_build_runs_is_compiled_before():
    config = kinfold.BuildConfig()
    engines = [c.neighbors for c in scaling_run.warm_configs(config, 10_000_000, 128)]
    assert engines[0] == "auto"
    assert set(engines[1:]) != {"exact"}


@pytest.mark.long
def test_one_size_in_a_process_of_its_own(tmp_path):
    found = scaling.one(4000, 16, {"k_d": 10})
    assert found["rows"] == 4000
    assert found["k_d"] == 10
    assert found["recall"] == 1.0
    assert found["told_recall"] == 1.0
    assert {"vectors", "lists", "C"} <= set(found["files"])
    assert found["seconds"] >= max(found["stages"].values())
    assert 5e7 < found["own_bytes"] < found["peak_bytes"]
    assert found["map"] > found["knn_map"] > 20
    assert 0 < found["combine_us"] < found["query_us"]
    assert abs(found["second_bytes"]) < 2e7
    plot([found], MACHINE, tmp_path / "one.png")
    assert (tmp_path / "one.png").stat().st_size > 10_000


def test_the_picture_is_drawn_of_several_sizes(tmp_path):
    plot([measured(n, one=n / 1e3, two=n / 1e4) for n in (1000, 9000)], MACHINE, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000
