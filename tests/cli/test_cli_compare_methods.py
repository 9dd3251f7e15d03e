"""`kinfold compare --methods`: published methods with parameters of one's own."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    np.savez(
        tmp_path / "six.npz",
        X=generator.normal(size=(60, 7)).astype(np.float32),
        y=np.arange(60) % 6,
        is_query=np.arange(60) < 12,
    )


def test_methods_with_parameters(kinfold, here):
    outcome = kinfold(
        "compare",
        "six.npz",
        "--methods",
        "aqe,aqe:n=3,dfs:k_d=5:k_q=2",
        "--models",
        "none",
        "--json",
    )
    assert (outcome.code, outcome.err) == (0, "")
    (one,) = outcome.json["sets"]
    found = {method["title"]: method["parameters"] for method in one["methods"]}
    assert found["AQE"] == {"n": 10}
    assert found["AQE, n=3"] == {"n": 3}
    assert (found["DFS, k_d=5, k_q=2"]["k_d"], found["DFS, k_d=5, k_q=2"]["k_q"]) == (5, 2)


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ("aqe:n", "expected NAME:PARAMETER=VALUE, found aqe:n"),
        ("aqe:=3", "expected NAME:PARAMETER=VALUE, found aqe:=3"),
        ("aqe:m=3", "'aqe'"),
        ("aqe:n=0", "greater than or equal to 1"),
        ("aqe:n=few", "valid integer"),
    ],
)
def test_parameters_that_cannot_be(kinfold, here, methods, message):
    outcome = kinfold("compare", "six.npz", "--methods", methods)
    assert outcome.code == 2
    assert message in " ".join(outcome.err.split())
