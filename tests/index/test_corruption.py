"""Every file of a version, damaged in every plain way."""

from __future__ import annotations

import os

import pytest

import kinfold
from kinfold.index import layout
from kinfold.index.files import hash_file
from kinfold.index.manifest import MANIFEST, read_manifest

from .support import copied, files_of, flip, live, rehash, run_python, search_everything, truncate

FILES = [
    "ids-order.npy",
    "ids.arrow",
    "knn.faiss",
    "models/default/graph-neighbors.npy",
    "models/default/graph-similarities.npy",
    "models/default/indices-00000.npy",
    "models/default/indices-00001.npy",
    "models/default/indices-00002.npy",
    "models/default/indices-00003.npy",
    "models/default/indptr.npy",
    "models/default/largest.npy",
    "models/default/order.npy",
    "models/default/places.npy",
    "models/default/scales.npy",
    "models/default/starts.npy",
    "models/default/values-00000.npy",
    "models/default/values-00001.npy",
    "models/default/values-00002.npy",
    "models/default/values-00003.npy",
    "neighbors.npy",
    "payload.arrow",
    "similarities.npy",
    "vectors.npy",
]

NOT_MAPPED = {
    layout.NEIGHBORS,
    layout.neighbors_file("default"),
    layout.similarities_file("default"),
}
MAPPED = [name for name in FILES if name != layout.ENGINE and name not in NOT_MAPPED]


@pytest.fixture
def damaged(full, tmp_path):
    copied(full, tmp_path / "c")
    return tmp_path / "c"


def refusal_of_open(path):
    """What both the collection and the version's own folder are refused with."""
    messages = []
    for target in (path, live(path)):
        with pytest.raises(kinfold.FormatError) as refusal:
            kinfold.open(target)
        messages.append(str(refusal.value))
    assert messages[0] == messages[1]
    return messages[0]


def test_the_list_of_files_is_complete(full):
    assert files_of(live(full)) == FILES
    assert sorted(read_manifest(live(full)).files) == FILES


def test_undamaged_it_works(damaged):
    search_everything(damaged)
    assert kinfold.verify(damaged).ok


@pytest.mark.parametrize("bits", [0x01, 0x80, 0xFF])
@pytest.mark.parametrize("share", [0.5, 1.0])
@pytest.mark.parametrize("name", FILES)
def test_verify_notices_one_changed_byte(damaged, name, share, bits):
    path = live(damaged) / name
    expected = hash_file(path)
    flip(path, int(share * (path.stat().st_size - 1)), bits)
    report = kinfold.verify(damaged)
    assert report.problems == [
        f"{path}: corrupt: expected sha256 {expected}, found {hash_file(path)}"
    ]
    assert not report.ok


@pytest.mark.parametrize("left", ["all but one", "half", "one", "none"])
@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_not_opened(damaged, name, left):
    path = live(damaged) / name
    size = path.stat().st_size
    kept = {"all but one": size - 1, "half": size // 2, "one": 1, "none": 0}[left]
    truncate(path, kept)
    expected = f"{path}: corrupt: expected a file of {size} bytes, found {kept}"
    assert refusal_of_open(damaged) == expected
    assert kinfold.verify(damaged).problems == [
        f"{path}: corrupt: expected {size} bytes, found {kept}"
    ]


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_grew_is_not_opened(damaged, name):
    path = live(damaged) / name
    size = path.stat().st_size
    truncate(path, size + 1)
    assert f"expected a file of {size} bytes, found {size + 1}" in refusal_of_open(damaged)
    assert not kinfold.verify(damaged).ok


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_not_opened(damaged, name):
    path = live(damaged) / name
    path.unlink()
    assert refusal_of_open(damaged) == f"{path}: missing; restore it or build again"
    assert kinfold.verify(damaged).problems == [
        f"{path}: cannot be read: No such file or directory"
    ]


@pytest.mark.parametrize("name", FILES)
def test_a_folder_in_a_files_place_is_not_opened(damaged, name):
    path = live(damaged) / name
    path.unlink()
    path.mkdir()
    assert str(path) in refusal_of_open(damaged)
    assert kinfold.verify(damaged).problems == [f"{path}: cannot be read: Is a directory"]


@pytest.mark.parametrize("name", FILES)
def test_a_pipe_in_a_files_place_is_not_waited_for(damaged, name):
    path = live(damaged) / name
    path.unlink()
    os.mkfifo(path)
    assert str(path) in refusal_of_open(damaged)


@pytest.mark.parametrize("left", [0, 1, 7, 64, 0.5, -8, -1])
@pytest.mark.parametrize("name", MAPPED)
def test_a_manifest_that_agrees_with_a_truncated_file_does_not_help_it(damaged, name, left):
    """As if the writer had written too little: now the readers of the files have to notice."""
    path = live(damaged) / name
    size = path.stat().st_size
    kept = size + left if left < 0 else int(left * size) if isinstance(left, float) else left
    truncate(path, kept)
    path = rehash(damaged) / name
    message = refusal_of_open(damaged)
    assert message.startswith(f"{path}: corrupt: ")
    assert not kinfold.verify(damaged).ok


FAISS = """
import os, sys
import kinfold
from pathlib import Path
from tests.index.support import live, rehash

path = Path(sys.argv[1])
size = (live(path) / "knn.faiss").stat().st_size
for kept in [*range(size - 1, size - 65, -1), *range(size - 65, 0, -max(1, size // 200)), 0]:
    os.truncate(live(path) / "knn.faiss", kept)
    try:
        kinfold.open(path)
        print("opened in spite of its size", kept)
    except kinfold.CorruptIndexError as error:
        assert "knn.faiss" in str(error) and "expected" in str(error), error
    if sys.argv[2] == "agreeing":
        rehash(path)
        try:
            kinfold.open(path)
            print("opened", kept)
        except kinfold.CorruptIndexError as error:
            assert "knn.faiss" in str(error) and "expected" in str(error), error
print("done")
"""


@pytest.mark.parametrize("manifest", ["honest", "agreeing"])
def test_a_truncated_faiss_file_never_crashes(damaged, manifest):
    """In a process of its own: a library that follows a wild pointer takes the process along."""
    result = run_python(FAISS, damaged, manifest)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "done\n"


def test_strangers_are_reported(damaged):
    version = live(damaged)
    (version / "models" / "default" / "notes.txt").write_text("mine")
    (version / ".hidden").write_text("")
    report = kinfold.verify(damaged)
    assert report.problems == [
        f"{version / '.hidden'}: not named by the manifest",
        f"{version / 'models' / 'default' / 'notes.txt'}: not named by the manifest",
    ]
    assert len(kinfold.open(damaged)) == 60


def test_every_problem_is_reported_not_only_the_first(damaged):
    version = live(damaged)
    flip(version / layout.VECTORS, -1)
    truncate(version / layout.PAYLOAD, 10)
    (version / layout.IDS).unlink()
    (version / "stray").write_text("")
    assert len(kinfold.verify(damaged).problems) == 4


@pytest.mark.parametrize("opener", [kinfold.open, kinfold.verify])
def test_a_missing_manifest_is_named(damaged, opener):
    (live(damaged) / MANIFEST).unlink()
    with pytest.raises(kinfold.FormatError, match=r"found no manifest\.json"):
        opener(damaged)


@pytest.mark.parametrize("opener", [kinfold.open, kinfold.verify])
def test_one_changed_byte_of_the_manifest_is_noticed_by_all(damaged, opener):
    """White space between two fields: JSON would not care."""
    path = live(damaged) / MANIFEST
    content = path.read_bytes()
    path.write_bytes(content.replace(b",\n", b",\r", 1))
    with pytest.raises(kinfold.CorruptIndexError, match="content hash") as refusal:
        opener(damaged)
    assert "expected" in str(refusal.value)
    assert "found" in str(refusal.value)


def test_swapped_files_are_noticed(damaged):
    """Two whole files in each other's place have the right sizes, and the wrong hashes."""
    version = live(damaged)
    first, second = (version / layout.indices_file("default", n) for n in (0, 1))
    assert first.stat().st_size != second.stat().st_size
    first.rename(version / "spare")
    second.rename(first)
    (version / "spare").rename(second)
    assert "expected a file of" in refusal_of_open(damaged)
    assert len(kinfold.verify(damaged).problems) == 2
