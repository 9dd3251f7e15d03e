"""Formats of other releases: older ones open, newer ones say so, and both stay told from damage."""

from __future__ import annotations

import json
import runpy
import shutil

import numpy as np
import pytest

import kinfold
from kinfold.index import FORMAT_VERSION, list_versions
from kinfold.index.manifest import MANIFEST, digest
from kinfold.index.publish import CURRENT

from .support import ROOT, copied, files_of, gallery, live, rewrite_manifest

FIXTURES = ROOT / "tests" / "fixtures"
RELEASED = range(1, FORMAT_VERSION + 1)


@pytest.mark.parametrize("number", RELEASED)
def test_every_released_format_opens_and_verifies(number):
    path = FIXTURES / f"format-{number}"
    report = kinfold.verify(path)
    assert report.problems == []
    assert kinfold.open(path).manifest.format_version == number


@pytest.mark.parametrize("number", RELEASED)
def test_every_released_format_still_answers_the_same(number):
    index = kinfold.open(FIXTURES / f"format-{number}")
    known = json.loads((FIXTURES / f"format-{number}.json").read_text(encoding="utf-8"))
    assert set(index.models) == {"knn", *known["ids"]}
    for model, ids in known["ids"].items():
        hits = index.search(np.array(known["queries"], dtype=np.float32), 6, model)
        assert hits.ids.tolist() == ids
        np.testing.assert_allclose(hits.scores, known["scores"][model], rtol=1e-4)
    rows = json.loads(json.dumps(index.payload(np.array([1, 9])), default=str))
    assert rows == known["payload"]
    assert [index.position(item) for item in ("", "é-10", "a-27")] == [0, 10, 27]


def test_fixtures_are_small():
    for number in RELEASED:
        folder = FIXTURES / f"format-{number}"
        assert sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) < 100_000


def test_git_leaves_the_fixtures_bytes_alone():
    lines = (ROOT / ".gitattributes").read_text(encoding="utf-8").splitlines()
    assert "tests/fixtures/format-*/** binary" in lines


def test_the_newest_fixture_is_what_is_written_today(tmp_path):
    """Same files, same types and shapes; a writer that changed needs a new format and fixture."""
    script = runpy.run_path(str(FIXTURES / f"make_format_{FORMAT_VERSION}.py"))
    script["main"](tmp_path / "fresh")
    old, new = live(FIXTURES / f"format-{FORMAT_VERSION}"), live(tmp_path / "fresh")
    assert files_of(old) == files_of(new)
    for name in (name for name in files_of(old) if name.endswith(".npy")):
        left, right = (np.load(folder / name, allow_pickle=False) for folder in (old, new))
        assert (left.dtype, left.ndim) == (right.dtype, right.ndim), name
    manifests = [json.loads((folder / MANIFEST).read_text()) for folder in (old, new)]
    assert manifests[0].keys() == manifests[1].keys()
    old_models, new_models = (values["models"] for values in manifests)
    assert old_models.keys() == new_models.keys()
    for name, values in old_models.items():
        assert values.keys() == new_models[name].keys()
    assert {values["dtype"] for values in old_models.values()} == {"float8", "float16", "float32"}


NEWER = {
    "one field": {"format_version": FORMAT_VERSION + 1},
    "unknown fields": {"format_version": FORMAT_VERSION + 1, "codec": "zstd", "shards": [1, 2]},
    "changed fields": {"format_version": FORMAT_VERSION + 1, "rows": "sixty", "files": None},
    "far future": {"format_version": 10**9},
}


@pytest.mark.parametrize("opener", [kinfold.open, kinfold.verify])
@pytest.mark.parametrize("changes", NEWER.values(), ids=NEWER.keys())
def test_a_newer_format_is_told_from_damage(full, tmp_path, changes, opener):
    copied(full, tmp_path / "c")
    version = rewrite_manifest(tmp_path / "c", **changes)
    with pytest.raises(kinfold.NewerFormatError) as refusal:
        opener(tmp_path / "c")
    assert not isinstance(refusal.value, kinfold.CorruptIndexError)
    assert str(version) in str(refusal.value)
    assert (
        f"newer kinfold (format {changes['format_version']}, this one reads up to {FORMAT_VERSION})"
    ) in str(refusal.value)
    assert "upgrade kinfold" in str(refusal.value)


def test_a_newer_format_of_another_layout_is_told_from_damage(full, tmp_path):
    """Nothing but the number is where this release expects it; even the files have other names."""
    version = copied(full, tmp_path / "c")
    shutil.rmtree(version)
    content = json.dumps({"format_version": FORMAT_VERSION + 1, "layout": "columns"}).encode()
    folder = version.with_name(f"20990101T000000Z-{digest(content)}")
    folder.mkdir()
    (folder / MANIFEST).write_bytes(content)
    (tmp_path / "c" / CURRENT).write_text(folder.name + "\n")
    with pytest.raises(kinfold.NewerFormatError):
        kinfold.open(tmp_path / "c")


def test_an_older_version_beside_a_newer_one_opens(full, tmp_path):
    """After going back to an older release, its own versions are still there."""
    copied(full, tmp_path / "c")
    kinfold.build(gallery(12), tmp_path / "c")
    rewrite_manifest(tmp_path / "c", format_version=FORMAT_VERSION + 1)
    older = list_versions(tmp_path / "c")[0]
    with pytest.raises(kinfold.NewerFormatError):
        kinfold.open(tmp_path / "c")
    assert len(kinfold.open(tmp_path / "c" / "versions" / older)) == 60


def test_fields_that_a_later_release_added_are_passed_over(full, tmp_path):
    """Within one format: of the manifest, of a model, of a file, and build parameters."""
    copied(full, tmp_path / "c")
    values = json.loads((live(tmp_path / "c") / MANIFEST).read_text())
    model = values["models"]["default"]
    model["quality"] = 0.9
    model["config"]["rerank_depth"] = 7
    values["files"]["vectors.npy"]["crc32"] = 5
    rewrite_manifest(tmp_path / "c", models=values["models"], files=values["files"], author="x")
    index = kinfold.open(tmp_path / "c")
    assert len(index.search(index.vectors[:2], 3)) == 2
    assert (
        index.manifest.models["default"].config
        == kinfold.open(full).manifest.models["default"].config
    )
    assert kinfold.verify(tmp_path / "c").ok


def test_a_parameter_of_no_meaning_is_still_corrupt(full, tmp_path):
    copied(full, tmp_path / "c")
    models = json.loads((live(tmp_path / "c") / MANIFEST).read_text())["models"]
    models["default"]["config"]["alpha"] = 7
    rewrite_manifest(tmp_path / "c", models=models)
    with pytest.raises(kinfold.CorruptIndexError, match="alpha"):
        kinfold.open(tmp_path / "c")
