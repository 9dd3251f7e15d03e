"""Rows that conjugate gradient could not finish are counted, named and reported."""

from __future__ import annotations

import numpy as np
import pytest
from oracles.galleries import BY_NAME
from oracles.reading import stored_matrix
from oracles.weighted import GRAPHS, csr, random_graph

import kinfold
from kinfold.diffusion import LocalOrder, Solving, diffuse
from kinfold.errors import InputError


def report_of(S, nearest=None, **settings):
    settings = {
        "alpha": 0.95, "max_row": len(S), "mass": 1.0, "tolerance": 1e-4, "max_iterations": 200,
    } | settings  # fmt: skip
    found = diffuse(csr(S, np.float32), Solving(**settings), 2, nearest=nearest)
    return found.report, found.matrix.toarray()


def everything_in_order(S):
    """Every item's list: all others by position."""
    n = len(S)
    return np.array([[j for j in range(n) if j != i] for i in range(n)], dtype=np.uint32)


@pytest.mark.parametrize("truncation", ["graph", "nearest"])
def test_one_iteration_is_not_enough_where_there_are_edges(truncation):
    S = GRAPHS["two_parts_and_loners"]
    nearest = everything_in_order(S) if truncation == "nearest" else None
    report, C = report_of(S, nearest, max_iterations=1)
    assert report.not_converged == np.count_nonzero(S.any(axis=1))
    assert report.iterations == len(S)
    assert (C[np.arange(len(S)), np.arange(len(S))] > 0).all()


def test_those_that_failed_are_counted_over_all_blocks(monkeypatch):
    monkeypatch.setattr("kinfold.diffusion.tasks.BLOCK_VALUES", 1)
    S = random_graph(seed=11)
    S[:, :6] = S[:6] = 0
    report, _ = report_of(S, max_iterations=1)
    assert report.not_converged == np.count_nonzero(S.any(axis=1))
    assert (report.rows, report.iterations) == (len(S), len(S))


def test_enough_iterations_leave_nothing_to_report():
    for S in GRAPHS.values():
        report, _ = report_of(S)
        assert report.not_converged == 0
        assert len(S) <= report.iterations <= 200 * len(S)


def test_rows_of_a_group_take_what_the_slowest_takes():
    """They are solved in step; a group apart is none of the others' business."""
    S = GRAPHS["two_parts_and_loners"]
    order = LocalOrder.of(csr(S, np.float32))
    alone = ~S.any(axis=1)
    report, _ = report_of(S)
    assert order.starts[1] == np.count_nonzero(alone)
    assert report.iterations > len(S) + np.count_nonzero(~alone)


@pytest.mark.parametrize("tolerance", [0.1, 1e-3, 1e-5])
def test_converged_rows_meet_the_residual(tolerance):
    """Some rows fail at this limit and some do not: those that do not must be right."""
    S = random_graph()
    report, C = report_of(S, tolerance=tolerance, max_iterations=200)
    assert report.not_converged == 0
    rounded = S.astype(np.float32).astype(float)
    for row in range(len(S)):
        residual = 0.05 * np.eye(len(S))[row] - (C[row] - 0.95 * rounded @ C[row])
        # Entries that came out negative were rounding, and are not stored.
        assert np.linalg.norm(residual) <= 0.05 * tolerance * 1.05 + 1e-6 * np.linalg.norm(C[row])


def test_a_limit_in_between_tells_the_good_rows_from_the_bad():
    S = GRAPHS["hubs"]
    limits = [report_of(S, tolerance=1e-5, max_iterations=limit)[0] for limit in range(2, 30)]
    failed = [report.not_converged for report in limits]
    assert failed == sorted(failed, reverse=True)
    assert failed[0] == len(S)
    assert failed[-1] == 0
    assert any(0 < count < len(S) for count in failed)


def build(path, **settings):
    gallery = BY_NAME["clusters"]
    return kinfold.build(gallery.vectors, path, config=kinfold.BuildConfig(**settings))


def test_the_manifest_says_so(tmp_path):
    unfinished = build(tmp_path / "a", max_iterations=1).manifest.models["default"]
    assert unfinished.not_converged == len(BY_NAME["clusters"].vectors) - unfinished.isolated
    assert unfinished.mean_iterations == 1
    finished = build(tmp_path / "b").manifest.models["default"]
    assert finished.not_converged == 0
    assert finished.mean_iterations > 1


@pytest.mark.parametrize(
    "settings",
    [
        {"alpha": 0.9999},
        {"alpha": 1 - 1e-9},
        {"alpha": 1 - 1e-15},
        {"tolerance": 1e-12},
        {"tolerance": 1e-30},
        {"gamma": 100.0},
        {"gamma": 1e-6},
        {"mass": 1e-6},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float8", "float16", "float32"])
def test_extreme_parameters_are_refused_or_give_a_sound_index(tmp_path, settings, dtype):
    try:
        kinfold.BuildConfig.checked(settings)
    except InputError:
        return
    index = build(tmp_path, dtype=dtype, **settings)
    assert kinfold.verify(tmp_path).problems == []
    C = stored_matrix(index)
    assert (C >= 0).all()
    assert (C <= 1.001).all()
    assert (C.max(axis=1) > 0).all()
