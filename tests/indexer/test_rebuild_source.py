"""A version rebuilt from its own vectors, ids and payload: only what changes is done again."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow as pa
import pytest
from source_files import ROWS, table, text_ids, vectors, write_parquet

import kinfold
from indexer import build_collection, read_source, rebuild_source
from indexer.sources import Source
from kinfold import BuildConfig
from kinfold.index import live_version

CONFIG = BuildConfig(k_d=3)
SOURCES = {
    "bare": lambda folder: Source("v", vectors()),
    "numbers": lambda folder: Source("v", vectors().astype("f8"), ids=np.arange(ROWS) * 7),
    "a file": lambda folder: read_source(
        write_parquet(folder / "v.parquet", table(size=pa.array([None, 1.5] * (ROWS // 2))))
    ),
    "a file in groups": lambda folder: read_source(
        write_parquet(folder / "v.parquet", table(tags=[["a"] * (row % 3) for row in range(ROWS)]),
                      row_group_size=7)
    ),
    "codes": lambda folder: Source(
        "v", vectors(), ids=np.array(text_ids()), payload_names=["kind"],
        columns=pa.table({"kind": pa.array(["a", "b"] * (ROWS // 2)).dictionary_encode()}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("given", SOURCES)
@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_only_what_changes_is_done(tmp_path, given, metric):
    source = SOURCES[given](tmp_path)
    config = BuildConfig(k_d=3, metric=metric)
    build_collection(source, tmp_path, "c", config)
    other = config.model_copy(update={"alpha": 0.5})
    rebuilt = build_collection(rebuild_source(tmp_path / "c"), tmp_path, "c", other)
    assert [stage.stage for stage in rebuilt.stages if stage.how == "computed"] == ["diffusion"]
    again = build_collection(source, tmp_path, "other", other)
    assert rebuilt.manifest.files == again.manifest.files
    assert rebuilt.manifest.stages == again.manifest.stages
    # And once more from the version that came of it; nothing is left to do.
    last = build_collection(rebuild_source(tmp_path / "c"), tmp_path, "c", other)
    assert {stage.how for stage in last.stages} == {"reused"}


def test_it_can_be_stopped_and_goes_on(tmp_path):
    build_collection(SOURCES["a file"](tmp_path), tmp_path, "c", CONFIG)

    def stop(event):
        if event.phase == "diffusion":
            raise KeyboardInterrupt

    other = BuildConfig(k_d=4, k_m=12)
    with pytest.raises(KeyboardInterrupt):
        build_collection(rebuild_source(tmp_path / "c"), tmp_path, "c", other, stop)
    summary = build_collection(rebuild_source(tmp_path / "c"), tmp_path, "c", other)
    sources = {stage.stage: stage.source for stage in summary.stages}
    assert sources == {
        "vectors": "live version", "items": "live version", "knn": "live version",
        "neighbors": "interrupted build", "similarity": "interrupted build", "diffusion": None,
    }  # fmt: skip


def test_another_metric_is_made_of_the_vectors_that_are_there(tmp_path):
    build_collection(Source("v", vectors()), tmp_path, "c", CONFIG)
    other = BuildConfig(k_d=3, metric="inner_product")
    summary = build_collection(rebuild_source(tmp_path / "c"), tmp_path, "c", other)
    assert "vectors" in [stage.stage for stage in summary.stages if stage.how == "computed"]
    index = kinfold.open(tmp_path / "c")
    np.testing.assert_allclose(np.linalg.norm(index.vectors, axis=1), 1, rtol=1e-6)


def test_the_version_may_go_while_it_is_rebuilt(tmp_path):
    """Somebody removes it as soon as the build has looked at it."""
    build_collection(SOURCES["a file"](tmp_path), tmp_path, "c", CONFIG)
    source = rebuild_source(tmp_path / "c")
    old = live_version(tmp_path / "c")

    def remove(event):
        if event.phase == "diffusion" and old.exists():
            shutil.rmtree(old)

    other = BuildConfig(k_d=3, alpha=0.5)
    build_collection(source, tmp_path, "c", other, remove)
    assert kinfold.verify(tmp_path / "c").ok


def test_damage_is_refused(tmp_path):
    build_collection(SOURCES["a file"](tmp_path), tmp_path, "c", CONFIG)
    version = live_version(tmp_path / "c")
    content = bytearray((version / "ids.arrow").read_bytes())
    place = content.index("item é000".encode())
    content[place - 8 : place] = b"\xff" * 8
    (version / "ids.arrow").write_bytes(content)
    with pytest.raises(kinfold.CorruptIndexError):
        rebuild_source(tmp_path / "c")
    with pytest.raises(kinfold.FormatError, match="no kinfold index here"):
        rebuild_source(tmp_path / "none")
