"""build_collection: what is refused on the way, what is left behind, what is told meanwhile."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from source_files import (
    ESTIMATE,
    ROWS,
    table,
    text_ids,
    vectors,
    write_npy,
    write_npz,
    write_parquet,
)

import kinfold
from indexer import build_collection, collection_path, collections_in, job, read_source
from indexer.sources import Columns, Source
from kinfold import BuildConfig
from kinfold.errors import CapacityError, InputError
from kinfold.index.publish import CURRENT, VERSIONS

CONFIG = BuildConfig(k_d=3)


def build(source, data, name="c", **options):
    return build_collection(source, data, name, options.pop("config", CONFIG), **options)


def refused(source, data, match):
    with pytest.raises(InputError, match=match) as refusal:
        build(source, data)
    assert str(refusal.value).startswith(f"{source.name}: ")
    assert not list(data.rglob("*.npy"))
    return str(refusal.value)


def spoiled(row, value, column=slice(None)):
    array = vectors().astype("f8")
    array[row, column] = value
    return array


def test_not_a_number(tmp_path):
    source = read_source(write_npy(tmp_path / "v.npy", spoiled(17, np.nan, 2)))
    refused(source, tmp_path / "data", "expected finite .*, found nan in row 17, column 2$")


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e300])
def test_what_float32_does_not_hold(tmp_path, value):
    source = read_source(write_npz(tmp_path / "v.npz", v=spoiled(3, value, 1)))
    found = re.escape(str(value))
    refused(source, tmp_path / "data", f"expected finite .*, found {found} in row 3, column 1$")


def test_a_row_of_zeros(tmp_path):
    source = read_source(write_npy(tmp_path / "v.npy", spoiled(ROWS - 1, 0)))
    refused(source, tmp_path / "data", f"row {ROWS - 1} is all zeros")
    summary = build(source, tmp_path / "data", config=BuildConfig(k_d=3, metric="l2"))
    assert summary.manifest.metric == "l2"


@pytest.mark.parametrize(
    ("ids", "match"),
    [
        ([*text_ids(ROWS - 1), text_ids()[4]], "found 'item é004' in rows 4 and 23$"),
        ([7, *range(1, ROWS)], "found 7 in rows 0 and 7$"),
        ([1] * ROWS, "found 1 in rows 0 and 1, and 22 more duplicates$"),
        ([*text_ids(5), None, *text_ids()[6:]], r"found None \(NoneType\) in row 5$"),
    ],
    ids=["text", "numbers", "all equal", "a gap"],
)
def test_ids_that_name_no_item(tmp_path, ids, match):
    content = table().set_column(0, "id", pa.array(ids))
    source = read_source(write_parquet(tmp_path / "t.parquet", content, row_group_size=5))
    refused(source, tmp_path / "data", f"ids: expected .*{match}")


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_rows(tmp_path, rows):
    source = read_source(write_npy(tmp_path / "v.npy", vectors()[:rows]))
    refused(source, tmp_path / "data", "expected at least 2 rows")


def test_rows_are_counted_among_those_that_remain_and_the_message_says_so(tmp_path):
    """Rows 0, 1 and 2 of the file are queries: its row 17 is row 14 of what is built."""
    asked = np.arange(ROWS) < 3
    content = table(asked=asked).set_column(
        1, "vector", pa.array(list(spoiled(17, np.nan, 2)), pa.list_(pa.float64()))
    )
    source = read_source(write_parquet(tmp_path / "t.parquet", content))
    gallery = source.where(~source.mask("asked"))
    message = refused(gallery, tmp_path / "data", "found nan in row 14, column 2$")
    counted = "(rows counted among the 21 of 24 that are used)"
    assert message.startswith(f"{tmp_path / 't.parquet'} {counted}: ")
    np.testing.assert_array_equal(gallery.vectors[14], source.vectors[17])


@pytest.mark.parametrize("threads", [0, -1])
def test_no_threads(tmp_path, threads):
    with pytest.raises(InputError, match=f"threads must be at least 1, found {threads}"):
        build(Source("v", vectors()), tmp_path, threads=threads)


def test_a_build_that_does_not_fit_is_not_started(tmp_path, monkeypatch):
    monkeypatch.setattr(ESTIMATE, "available_disk", lambda path: 1000)
    with pytest.raises(CapacityError, match="on disk, 1 kB are free"):
        build(Source("v", vectors()), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_payload_counts_as_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(ESTIMATE, "available_disk", lambda path: 5 << 20)
    note = ["x" * 300_000] * ROWS
    small = read_source(write_parquet(tmp_path / "small.parquet", table()))
    large = read_source(write_parquet(tmp_path / "large.parquet", table(note=note)))
    build(small, tmp_path / "data")
    with pytest.raises(CapacityError, match=r"needs up to 8.* MB on disk, 5\.2 MB are free"):
        build(large, tmp_path / "data")


def test_the_summary_says_what_is_there(tmp_path):
    source = read_source(write_parquet(tmp_path / "t.parquet", table()))
    summary = build(source, tmp_path / "data", "photos")
    folder = tmp_path / "data" / "photos" / VERSIONS / summary.version
    assert summary.path == tmp_path / "data" / "photos"
    assert (summary.path / CURRENT).read_text().strip() == summary.version
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert summary.bytes == sum(file.stat().st_size for file in files)
    assert summary.manifest == kinfold.open(summary.path).manifest
    assert (summary.manifest.rows, summary.manifest.ids) == (ROWS, "string")
    assert 0 < sum(summary.manifest.measured.values()) <= summary.seconds
    assert kinfold.verify(summary.path).ok


def test_only_the_chosen_payload_is_kept(tmp_path):
    source = read_source(
        write_parquet(tmp_path / "t.parquet", table(year=list(range(ROWS)))),
        Columns(payload=["year"]),
    )
    with kinfold.open(build(source, tmp_path).path) as index:
        assert index.payload(np.array([5])) == [{"year": 5}]


def test_the_default_configuration_suits_a_tiny_gallery(tmp_path):
    summary = build_collection(Source("v", vectors(4)), tmp_path, "c")
    assert summary.manifest.models["default"].config.k_d == 3


ENGINES = {
    "exact": ["reading", "vectors", "neighbors", "similarity", "diffusion"],
    "hnsw": ["reading", "vectors", "knn index", "neighbors", "similarity", "diffusion"],
}


@pytest.mark.parametrize("engine", ENGINES)
def test_progress(tmp_path, monkeypatch, engine):
    """Phases one after the other, each rising to its total, told by the thread that builds."""
    monkeypatch.setattr("kinfold.validate._CHUNK_VALUES", 200 * 8)
    monkeypatch.setattr("kinfold.diffusion.tasks.BLOCK_VALUES", 100 * 300)
    events = []
    config = BuildConfig(neighbors=engine, k_d=5)
    build(Source("v", vectors(700, 8)), tmp_path, config=config, progress=events.append)
    phases = list(dict.fromkeys(event.phase for event in events))
    assert phases == ENGINES[engine]
    told = [event.phase for event in events]
    assert told == sorted(told, key=phases.index)
    for phase in phases:
        steps = [event for event in events if event.phase == phase]
        done = [event.done for event in steps]
        is_rows = phase != "similarity"
        assert {event.total for event in steps} == {700 if is_rows else 100}
        assert {event.unit for event in steps} == {"rows" if is_rows else "percent"}
        assert done == sorted(set(done))
        assert done[0] > 0
        assert done[-1] == (700 if is_rows else 100)
    assert sum(phase == "vectors" for phase in told) > 1
    assert sum(phase == "diffusion" for phase in told) > 1


def test_an_exception_of_the_listener_ends_the_build(tmp_path):
    def listen(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(Source("v", vectors()), tmp_path, progress=listen)
    assert list(tmp_path.iterdir()) == []


NAMES = ["a", "0", "photos", "photos-2024_v2", "a" * 64]
NO_NAMES = [
    "", ".", "..", "../x", "/etc", "a/b", "a\\b", "A", "Photos", "ä", "照片", "a b", "a.b", "-a",
    "_a", "a" * 65, "a\n", "\0", "a\0", ".hidden", "ａ", "١",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_of_collections(tmp_path, name):
    assert collection_path(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize("name", NO_NAMES)
def test_names_that_are_none(tmp_path, name):
    with pytest.raises(InputError, match="collection: expected 1 to 64 of a-z") as refusal:
        collection_path(tmp_path, name)
    assert str(refusal.value).endswith(f"found {name!r}")
    with pytest.raises(InputError, match="collection: expected 1 to 64 of a-z"):
        build(Source("v", vectors()), tmp_path / "data", name)
    assert list(tmp_path.iterdir()) == []


def test_collections_are_the_folders_with_a_live_version(tmp_path):
    for name in ("b", "a"):
        build(Source("v", vectors()), tmp_path, name)
    (tmp_path / "unfinished" / VERSIONS).mkdir(parents=True)
    (tmp_path / "Not-a-name").mkdir()
    (tmp_path / "Not-a-name" / CURRENT).write_text("x")
    (tmp_path / "folder" / CURRENT).mkdir(parents=True)
    (tmp_path / "file").write_text("x")
    (tmp_path / CURRENT).write_text("x")
    assert collections_in(tmp_path) == ["a", "b"]
    assert collections_in(str(tmp_path)) == ["a", "b"]
    assert collections_in(tmp_path / "none") == []
    assert collections_in(tmp_path / "file") == []


SEVERAL = {
    "near": BuildConfig(k_d=3, similarity=["cosine"]),
    "far": BuildConfig(k_d=4, similarity=["cas"], max_row=20),
}


def test_several_models(tmp_path):
    source = Source("v", vectors())
    summary = build_collection(source, tmp_path, "c", models=SEVERAL)
    assert list(summary.manifest.models) == ["near", "far"]
    assert summary.manifest.default_model == "near"
    for name, config in SEVERAL.items():
        alone = build(source, tmp_path, "alone", config=config).manifest.models["default"]
        together = summary.manifest.models[name]
        assert together.model_dump(exclude={"measured"}) == alone.model_dump(exclude={"measured"})


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"models": {}}, "v: models: expected at least one, found none"),
        ({"config": CONFIG, "models": SEVERAL}, "v: build: expected either config or models"),
        ({"models": {"a/b": CONFIG}}, "v: model 'a/b': expected a name"),
    ],
    ids=["none", "both", "a name that is none"],
)
def test_models_that_cannot_be(tmp_path, given, match):
    with pytest.raises(InputError, match=match):
        build_collection(Source("v", vectors()), tmp_path / "data", "c", **given)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("engine", ["exact", "hnsw"])
def test_the_estimate_of_several_models(tmp_path, engine):
    """Memory of the largest; time and disk of all, but what they share only once."""
    gallery = (100_000, 128)
    configs = [
        BuildConfig(neighbors=engine),
        BuildConfig(neighbors=engine, max_row=50),
        BuildConfig(neighbors=engine, k_d=40, dtype="float32"),
    ]
    each = [job.estimate(*gallery, config, tmp_path, 10**8) for config in configs]
    together = job.estimate_models(*gallery, configs, tmp_path, 10**8)
    assert together.memory == max(figures.memory for figures in each)
    assert max(figures.disk for figures in each) < together.disk
    held = 4 * gallery[0] * gallery[1] * (1 if engine == "exact" else 2) + 10**8
    assert together.disk == sum(figures.disk for figures in each) - 2 * held
    assert max(f.seconds for f in each) <= together.seconds < sum(f.seconds for f in each)
    alone = job.estimate_models(*gallery, configs[:1], tmp_path, 10**8)
    now = {"memory_available": alone.memory_available, "disk_available": alone.disk_available}
    assert alone == replace(each[0], **now)


def test_models_that_do_not_fit_together_are_not_started(tmp_path, monkeypatch):
    item = job.estimate(ROWS, 4, SEVERAL["near"], tmp_path).disk
    monkeypatch.setattr(ESTIMATE, "available_disk", lambda path: int(1.5 * item))
    build_collection(Source("v", vectors()), tmp_path, "one", SEVERAL["near"])
    with pytest.raises(CapacityError, match="on disk"):
        build_collection(Source("v", vectors()), tmp_path, "two", models=SEVERAL)
    assert not (tmp_path / "two").exists()


def test_a_further_model_that_does_not_fit_is_refused(tmp_path, monkeypatch):
    summary = build(Source("v", vectors()), tmp_path)
    figures = job.estimate(ROWS, 4, CONFIG, summary.path)
    own = figures.disk - 4 * ROWS * 4
    monkeypatch.setattr(ESTIMATE, "available_disk", lambda path: own)
    job.check_added_fits(summary.manifest, CONFIG, summary.path)
    monkeypatch.setattr(ESTIMATE, "available_disk", lambda path: own - 1)
    with pytest.raises(CapacityError, match="on disk"):
        job.check_added_fits(summary.manifest, CONFIG, summary.path)


def test_the_job_asks_for_an_estimate_of_what_it_builds(tmp_path, monkeypatch):
    asked = []
    real = job.estimate
    monkeypatch.setattr(job, "estimate", lambda *given: asked.append(given) or real(*given))
    source = Source("v", vectors(), columns=pa.table({"n": range(ROWS)}), payload_names=["n"])
    build(source, tmp_path)
    assert asked == [(ROWS, 4, CONFIG, tmp_path / "c", 8 * ROWS)]
