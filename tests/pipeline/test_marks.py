"""Marks and files that are damaged, or that somebody else wrote: never trusted, always redone."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinfold.index.manifest import FileInfo
from kinfold.index.publish import WORK
from kinfold.pipeline.marks import Mark, is_whole, read_mark, write_mark

from .stopping import STAGES, content, from_nothing, run

KEY = "0" * 64


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A collection whose build was stopped as the last stage began."""
    path = tmp_path_factory.mktemp("stopped") / "c"
    run(path, stop="diffusion:default")
    return path


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return from_nothing(tmp_path_factory.mktemp("reference") / "c")


FILES = {
    "vectors.npy": "vectors",
    "ids.arrow": "items",
    "payload.arrow": "items",
    "neighbors.npy": "neighbors",
    "similarities.npy": "neighbors",
    "models/default/graph-neighbors.npy": "similarity:default",
}
DAMAGES = {
    "truncated": lambda path: os.truncate(path, path.stat().st_size - 1),
    "empty": lambda path: os.truncate(path, 0),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "missing": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_is_made_again(stopped, reference, tmp_path, file, damage):
    path = tmp_path / "c"
    shutil.copytree(stopped, path)
    DAMAGES[damage](path / WORK / "files" / file)
    if damage == "a folder":
        (path / WORK / "files" / file / "inside").write_text("x")
    reused, done = run(path)
    assert done == [FILES[file], "diffusion:default"]
    assert reused == [stage for stage in STAGES if stage not in done]
    assert content(path) == reference


@pytest.mark.parametrize("file", ["vectors.npy", "neighbors.npy"])
def test_a_header_that_cannot_be_read_is_made_again(stopped, reference, tmp_path, file):
    """Of the right size, so that nobody sees it before it is read."""
    path = tmp_path / "c"
    shutil.copytree(stopped, path)
    target = path / WORK / "files" / file
    target.write_bytes(b"\0" * target.stat().st_size)
    reader = {"vectors.npy": "neighbors", "neighbors.npy": "similarity@default"}[file]
    (path / WORK / "marks" / f"{reader}.json").unlink()
    assert FILES[file] in run(path)[1]
    assert content(path) == reference


def spoil(**changes):
    def change(text):
        return json.dumps({**json.loads(text), **changes})

    return change


HOSTILE = {
    "empty": lambda text: "",
    "no JSON": lambda text: "{" * 1000,
    "deep": lambda text: "[" * 100_000,
    "a list": lambda text: "[]",
    "a number": lambda text: "1e999",
    "truncated": lambda text: text[: len(text) // 2],
    "huge": lambda text: text + " " * (5 << 20),
    "another stage": spoil(stage="vectors"),
    "another key": spoil(key=KEY),
    "no key": spoil(key=None),
    "a path outside": spoil(files={"../../../../etc/passwd": {"bytes": 1, "sha256": KEY}}),
    "an absolute path": spoil(files={"/etc/passwd": {"bytes": 1, "sha256": KEY}}),
    "a file of another stage": spoil(files={"vectors.npy": {"bytes": 1, "sha256": KEY}}),
    "no files": spoil(files={}),
    "negative size": spoil(files={"neighbors.npy": {"bytes": -1, "sha256": KEY}}),
    "a result of other fields": spoil(result={"recall": 1.0, "scale": 1.0, "more": 1}),
    "a result out of range": spoil(result={"recall": 7.0, "scale": 1.0}),
    "a result of other types": spoil(result={"recall": "all", "scale": [1]}),
    "no result": spoil(result=None),
    "unknown fields": spoil(run="rm -rf"),
    "seconds that are none": spoil(measured={"neighbors_seconds": "many"}),
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_mark_that_is_none_is_passed_over(stopped, reference, tmp_path, hostile):
    path = tmp_path / "c"
    shutil.copytree(stopped, path)
    mark = path / WORK / "marks" / "neighbors.json"
    mark.write_text(HOSTILE[hostile](mark.read_text()))
    _, done = run(path)
    assert done == ["neighbors", "diffusion:default"]
    assert content(path) == reference


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_mark_that_is_no_file_is_passed_over(stopped, reference, tmp_path, kind):
    path = tmp_path / "c"
    shutil.copytree(stopped, path)
    mark = path / WORK / "marks" / "neighbors.json"
    content_before = mark.read_text()
    mark.unlink()
    outside = tmp_path / "outside.json"
    outside.write_text(content_before)
    if kind == "link":
        mark.symlink_to(outside)
    elif kind == "pipe":
        os.mkfifo(mark)
    else:
        mark.mkdir()
        (mark / "x").write_text("x")
    _, done = run(path)
    assert done == ["neighbors", "diffusion:default"]
    assert outside.read_text() == content_before
    assert content(path) == reference


def test_a_file_that_is_a_link_is_made_again(stopped, reference, tmp_path):
    path = tmp_path / "c"
    shutil.copytree(stopped, path)
    target, outside = path / WORK / "files" / "vectors.npy", tmp_path / "outside.npy"
    outside.write_bytes(target.read_bytes())
    target.unlink()
    target.symlink_to(outside)
    before = outside.read_bytes()
    assert "vectors" in run(path)[1]
    assert outside.read_bytes() == before
    assert content(path) == reference


@given(st.binary(max_size=400))
def test_any_bytes_are_a_mark_or_none(tmp_path_factory, noise):
    folder = tmp_path_factory.getbasetemp() / "noise"
    folder.mkdir(exist_ok=True)
    (folder / "vectors.json").write_bytes(noise)
    assert read_mark(folder, "vectors", KEY) is None


def test_what_is_written_is_read(tmp_path):
    files = {"models/a.b/indptr.npy": FileInfo(bytes=3, sha256=KEY)}
    mark = Mark(stage="diffusion:a.b", key=KEY, files=files, result={"a": [1]}, measured={"s": 1.5})
    write_mark(tmp_path / "marks", mark)
    assert read_mark(tmp_path / "marks", "diffusion:a.b", KEY) == mark
    assert read_mark(tmp_path / "marks", "diffusion:a.b", "1" * 64) is None
    assert read_mark(tmp_path / "marks", "diffusion:a", KEY) is None
    assert [p.name for p in (tmp_path / "marks").iterdir()] == ["diffusion@a.b.json"]
    assert not is_whole(tmp_path, files)
    (tmp_path / "models" / "a.b").mkdir(parents=True)
    (tmp_path / "models" / "a.b" / "indptr.npy").write_bytes(b"abc")
    assert is_whole(tmp_path, files)
