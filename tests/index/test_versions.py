"""Rebuilding: a second version beside the first, and readers of either."""

from __future__ import annotations

import numpy as np
import pytest

import kinfold
from kinfold import BuildConfig
from kinfold.index import list_versions, live_version
from kinfold.index.publish import CURRENT, VERSIONS, point_at

from .support import files_of, gallery, live

CONFIG = BuildConfig(k_d=5)


@pytest.fixture
def rebuilt(tmp_path):
    """A collection of two versions, and an index that was opened between the two builds."""
    kinfold.build(gallery(60), tmp_path, config=CONFIG)
    before = kinfold.open(tmp_path)
    kinfold.build(gallery(40, seed=1), tmp_path, config=CONFIG)
    return tmp_path, before


def test_a_rebuild_goes_live_and_keeps_the_old_folder(rebuilt):
    path, before = rebuilt
    after = kinfold.open(path)

    assert len(after) == 40
    assert list_versions(path) == [before.version.name, after.version.name]
    assert live_version(path) == after.version == live(path)
    assert files_of(before.version)
    for version in list_versions(path):
        assert kinfold.verify(path / VERSIONS / version).ok


def test_an_open_index_keeps_answering_from_its_own_version(rebuilt):
    path, before = rebuilt
    queries = gallery(60)[:5]
    again = kinfold.open(path / VERSIONS / before.version.name)
    assert len(before) == 60
    np.testing.assert_array_equal(
        before.search(queries, 20).positions, again.search(queries, 20).positions
    )


def test_either_version_opens_by_its_folder(rebuilt):
    path, before = rebuilt
    sizes = [len(kinfold.open(path / VERSIONS / name)) for name in list_versions(path)]
    assert sizes == [60, 40]
    assert kinfold.open(before.version).version == before.version


def test_going_back_is_one_rename(rebuilt):
    path, before = rebuilt
    point_at(path, before.version.name)
    assert kinfold.open(path).version == before.version
    assert not list(path.glob(f".{CURRENT}*"))


def test_equal_builds_in_one_second_are_two_versions_in_order(tmp_path):
    built = [kinfold.build(gallery(12), tmp_path, config=CONFIG) for _ in range(6)]
    assert list_versions(tmp_path) == [index.version.name for index in built]
    assert kinfold.open(tmp_path).version == built[-1].version


def test_a_link_to_a_version_opens_and_is_checked(rebuilt, tmp_path_factory):
    _, before = rebuilt
    link = tmp_path_factory.mktemp("elsewhere") / "served"
    link.symlink_to(before.version)
    assert len(kinfold.open(link)) == 60
    manifest = link / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"rows": 60', b'"rows": 61'))
    with pytest.raises(kinfold.CorruptIndexError, match="content hash"):
        kinfold.open(link)


def test_a_copied_version_may_have_any_name(rebuilt, tmp_path_factory):
    _, before = rebuilt
    moved = tmp_path_factory.mktemp("elsewhere") / "portraits-collections1"
    before.version.rename(moved)
    assert len(kinfold.open(moved)) == 60
    assert kinfold.verify(moved).ok


def test_no_versions_where_no_index_is(tmp_path):
    assert list_versions(tmp_path) == []
    assert list_versions(tmp_path / "missing") == []


def test_a_version_cannot_be_built_into(rebuilt):
    _, before = rebuilt
    with pytest.raises(kinfold.InputError, match="found a version of one"):
        kinfold.build(gallery(12), before.version, config=CONFIG)
    assert kinfold.verify(before.version).ok


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda p: None, "the folder does not exist"),
        (lambda p: p.mkdir(), "it has no CURRENT file"),
        (lambda p: p.write_text("hello"), "it is a file, not a folder"),
        (lambda p: (p / CURRENT).mkdir(parents=True), "Is a directory"),
        (lambda p: (p / "manifest.json").mkdir(parents=True), "it has no CURRENT file"),
    ],
    ids=["nothing", "an empty folder", "a file", "CURRENT is a folder", "manifest is a folder"],
)
@pytest.mark.parametrize("opener", [kinfold.open, kinfold.verify])
def test_a_path_without_an_index_is_refused_by_name(tmp_path, make, reason, opener):
    path = tmp_path / "collection"
    make(path)
    with pytest.raises(kinfold.FormatError, match=reason) as refusal:
        opener(path)
    assert str(path) in str(refusal.value)


def test_an_impossible_path_is_refused():
    with pytest.raises(kinfold.FormatError, match="null"):
        kinfold.open("a\0b")
