"""The load of the HTTP benchmark is what it says, and the plain service gives our answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import http, http_gallery
from benchmarks.http_load import load


@pytest.mark.long
def test_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_gallery, "OUTPUT", tmp_path)
    monkeypatch.setattr(http_gallery, "QUERIES", 40)
    folder = http_gallery.prepared(1500)
    assert http_gallery.prepared(1500) == folder
    queries = np.load(folder / "queries.npy")
    with http.plain_service(folder) as plain, http.kinfold_service(folder, cache="off") as port:
        assert http.same_answers(port, plain, queries) > 0.99
        got = load(
            port,
            [http.as_json("exact", queries, "default"), http.as_raw("exact", queries, "knn")],
            connections=3,
            seconds=0.5,
        )
        assert set(got.statuses) == {"200"}
        diffusion, knn = got.latencies
        assert len(diffusion) == len(knn)
        assert len(diffusion) + len(knn) == got.statuses["200"]
        assert max(*diffusion, *knn) == got.slowest
        assert got.rate == pytest.approx(got.statuses["200"] / got.seconds)
        (row, _) = http.stage_costs(port, "exact", queries)
        assert row["knn"] > 0
        assert row["whole"] > row["knn"] + row["decode"] + row["encode"]
