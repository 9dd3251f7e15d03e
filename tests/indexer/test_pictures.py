"""Folders of pictures: what becomes an item, what is told of, and what is done only once."""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image
from tiny_network import make_network

from indexer import build_collection, rebuild_source
from indexer.pictures import encoder_for_build, read_pictures
from indexer.pictures import source as source_module
from indexer.pictures import store as store_module
from indexer.pictures.source import count_new
from indexer.pictures.store import STORE
from indexer.pictures.walk import walk
from indexer.reduction import reduce_source
from indexer.sources.names import labels_from
from kinfold import open as open_index
from kinfold.encoders import EncoderSpec, default_encoder_file, load_encoder, open_encoder
from kinfold.encoders.lite0 import SPEC
from kinfold.errors import InputError, StorageError

RNG = np.random.default_rng(2)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory):
    cache = tmp_path_factory.mktemp("cache")
    small = SPEC.model_copy(update={"size": 32})
    return open_encoder(small, default_encoder_file(cache), threads=1)


def picture(path: Path, seed: int = 0, size: tuple[int, int] = (24, 16)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for number in range(6):
        picture(root / "sub" / f"b-{number}.png", number)
    picture(root / "a.JPG", 7, (640, 480))
    return root


def test_items_and_payload(folder: Path, encoder) -> None:
    read = read_pictures(folder, encoder, label_from="name")
    source = read.source
    assert source.ids.tolist() == ["a.JPG", *(f"sub/b-{n}.png" for n in range(6))]
    assert source.payload_names == ["file", "folder", "width", "height", "bytes", "label"]
    assert source.columns.to_pylist()[0] | {"bytes": 0} == {
        "file": "a.JPG", "folder": "", "width": 640, "height": 480, "bytes": 0, "label": "a",
    }  # fmt: skip
    assert source.columns.to_pylist()[3]["label"] == "b"
    for row, path in enumerate(source.ids.tolist()):
        wanted = encoder.encode([Image.open(folder / path).convert("RGB")])[0]
        assert abs(source.vectors[row] - wanted).max() < (0.02 if row == 0 else 1e-5)
        assert source.extras.thumbnails.of(row).startswith(b"\xff\xd8")
    assert (read.skipped, read.embedded) == ([], 7)


def test_odd_things_are_told_of_and_stop_nothing(folder: Path, encoder) -> None:
    odd = {
        "empty.png": b"",
        "text.png": b"just a text",
        "drawing.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "cut.jpg": (folder / "a.JPG").read_bytes()[:3000],
        "notes.txt": b"no picture, and does not say so",
        ".hidden.png": b"hidden",
    }
    for name, content in odd.items():
        (folder / name).write_bytes(content)
    picture(folder / "line\nbreak ünï 漢 <b>&\x1b[31m.png", 9)
    (folder / "loop").symlink_to(folder)
    (folder / "outside.png").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe.png")
    with open(os.fsencode(folder) + b"/bad-\xff.png", "wb") as file:  # noqa: PTH123
        file.write(b"x")
    (folder / "closed").mkdir()
    picture(folder / "closed" / "c.png")
    (folder / "closed").chmod(0)
    try:
        read = read_pictures(folder, encoder)
    finally:
        (folder / "closed").chmod(0o700)
    told = {one.path: one.reason for one in read.skipped}
    assert told.pop("empty.png") == "expected a picture, found an empty file"
    assert "begins with b'just a text'" in told.pop("text.png")
    assert "begins with" in told.pop("drawing.png")
    assert "damaged or cut off" in told.pop("cut.jpg")
    assert told.pop("loop") == told.pop("outside.png") == "a link, which is not followed"
    assert told.pop("pipe.png") == "a device or a pipe"
    assert told.pop("bad-\udcff.png") == "its name is no UTF-8; rename it"
    if os.geteuid() != 0:
        assert told.pop("closed") == "a folder that cannot be read: Permission denied"
    assert told == {}
    assert "line\nbreak ünï 漢 <b>&\x1b[31m.png" in read.source.ids.tolist()


def test_a_folder_that_cannot_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def closed(path):
        if str(path).endswith("/sub"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    found, skipped = walk(folder)
    assert [one.path for one in found] == ["a.JPG"]
    assert [(one.path, one.reason) for one in skipped] == [
        ("sub", "a folder that cannot be read: Permission denied")
    ]


def test_a_link_to_a_folder_may_be_named_itself(folder: Path, encoder, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    assert len(read_pictures(tmp_path / "link", encoder).source) == 7


def test_deep_folders(tmp_path: Path) -> None:
    deep = tmp_path / "photos"
    for _ in range(70):
        deep = deep / "d"
    picture(deep / "x.png")
    found, skipped = walk(tmp_path / "photos")
    assert found == []
    assert "more than 64 folders deep" in skipped[0].reason


def test_ten_thousand_tiny_files(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    content = picture(tmp_path / "one.png", size=(1, 1)).read_bytes()
    for number in range(10_000):
        path = root / str(number % 100) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if number % 1000 else b"bad")
    spec = EncoderSpec(name="tiny", size=4)
    tiny = open_encoder(spec, make_network(tmp_path / "tiny.onnx"), threads=1)
    read = read_pictures(root, tiny, tmp_path / "c")
    assert (len(read.source), len(read.skipped), read.embedded) == (9_990, 10, 10_000)
    assert read_pictures(root, tiny, tmp_path / "c").embedded == 0


def test_too_few(tmp_path: Path, encoder) -> None:
    (tmp_path / "x.png").write_bytes(b"x")
    with pytest.raises(InputError, match=r"at least 2 pictures .* found 0; 1 others cannot be"):
        read_pictures(tmp_path, encoder)
    with pytest.raises(InputError, match="cannot be read"):
        read_pictures(tmp_path / "none", encoder)


def test_only_what_is_new_is_embedded(folder: Path, encoder, tmp_path: Path) -> None:
    store = tmp_path / "collection"
    first = read_pictures(folder, encoder, store)
    again = read_pictures(folder, encoder, store)
    assert (first.embedded, again.embedded) == (7, 0)
    assert (first.source.vectors == again.source.vectors).all()
    assert first.source.extras.hash() == again.source.extras.hash()
    picture(folder / "sub" / "b-2.png", 99)
    picture(folder / "new.png", 50)
    (folder / "sub" / "b-5.png").unlink()
    (folder / "bad.png").write_bytes(b"bad")
    third = read_pictures(folder, encoder, store)
    assert third.embedded == 3
    assert len(third.source) == 7
    assert "sub/b-5.png" not in third.source.ids.tolist()
    assert [one.path for one in third.skipped] == ["bad.png"]
    fourth = read_pictures(folder, encoder, store)
    assert fourth.embedded == 0
    assert [one.path for one in fourth.skipped] == ["bad.png"]
    plain = read_pictures(folder, encoder)
    assert (plain.source.vectors == fourth.source.vectors).all()


def test_another_encoder_begins_anew(folder: Path, encoder, tmp_path: Path) -> None:
    read_pictures(folder, encoder, tmp_path)
    other = open_encoder(EncoderSpec(name="o", size=40, output="pool"), encoder.model, threads=1)
    assert read_pictures(folder, other, tmp_path).embedded == 7
    assert read_pictures(folder, other, tmp_path).embedded == 0


def test_a_damaged_store_is_made_again(folder: Path, encoder, tmp_path: Path) -> None:
    read_pictures(folder, encoder, tmp_path)
    (tmp_path / STORE).write_bytes(b"no database at all, and longer than its header" * 40)
    assert read_pictures(folder, encoder, tmp_path).embedded == 7


def test_a_store_that_is_in_use_is_no_damage(
    folder: Path, encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_pictures(folder, encoder, tmp_path)
    monkeypatch.setattr(store_module, "_PATIENCE_SECONDS", 0.1)
    with closing(sqlite3.connect(tmp_path / STORE)) as other:
        other.execute("BEGIN EXCLUSIVE")
        picture(folder / "new.png", 77)
        with pytest.raises(StorageError, match="database is locked"):
            read_pictures(folder, encoder, tmp_path)
        other.rollback()
    assert read_pictures(folder, encoder, tmp_path).embedded == 1


def test_counting_what_is_new_changes_nothing(folder: Path, encoder, tmp_path: Path) -> None:
    store = tmp_path / "c"
    assert count_new(folder, encoder, store) == (7, 7)
    assert not store.exists()
    read_pictures(folder, encoder, store)
    other = open_encoder(EncoderSpec(name="o", size=40, output="pool"), encoder.model, threads=1)
    assert count_new(folder, other, store) == (7, 7)
    picture(folder / "new.png", 77)
    assert count_new(folder, encoder, store) == (8, 1)
    assert read_pictures(folder, encoder, store).embedded == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_disk_that_is_full(folder: Path, encoder, tmp_path: Path) -> None:
    """What was embedded is kept, and the same again goes on once there is room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], check=True)
    try:
        for number in range(90):
            picture(folder / f"n-{number}.png", number + 100, (200, 200))
        with pytest.raises(StorageError, match="free some space"):
            read_pictures(folder, encoder, disk / "c")
        subprocess.run(["mount", "-o", "remount,size=16m", disk], check=True)
        read = read_pictures(folder, encoder, disk / "c")
        assert len(read.source) == 97
        assert (read.source.vectors == read_pictures(folder, encoder).source.vectors).all()
    finally:
        subprocess.run(["umount", disk], check=True)


def test_large_arrays_take_their_room_before_they_are_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "_IN_MEMORY", 100)
    room = source_module._room(tmp_path, (50, 10), np.dtype(np.float32))
    assert isinstance(room, np.memmap)
    assert list(tmp_path.iterdir()) == []
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    try:
        with pytest.raises(StorageError):
            source_module._room(tmp_path, (1 << 20, 10), np.dtype(np.float32))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_network_in_several_files_is_refused(tmp_path: Path) -> None:
    model = onnx.load(make_network(tmp_path / "whole.onnx"))
    onnx.save(
        model, tmp_path / "parts.onnx", save_as_external_data=True, size_threshold=0,
        location="parts.data",
    )  # fmt: skip
    (tmp_path / "parts.toml").write_text('file = "parts.onnx"\nsize = 8\n')
    assert load_encoder(tmp_path / "parts.toml").dimension == 5
    with pytest.raises(InputError, match="expected a network in one file"):
        encoder_for_build(tmp_path / "parts.toml")


class StopError(Exception):
    pass


def test_what_is_embedded_when_it_stops_is_kept(tmp_path: Path, encoder) -> None:
    root = tmp_path / "photos"
    for number in range(40):
        picture(root / f"{number}.png", number)

    def stop(event) -> None:
        if event.done == 20:
            raise StopError

    with pytest.raises(StopError):
        read_pictures(root, encoder, tmp_path / "c", stop)
    left = read_pictures(root, encoder, tmp_path / "c").embedded
    assert 15 <= left <= 21


KILLED = """
import os, sys
from pathlib import Path
from indexer.pictures import read_pictures, source
from kinfold.encoders import open_encoder
from kinfold.encoders.lite0 import SPEC
source._BATCH = 4
def die(event):
    if event.done == 21:
        os.kill(os.getpid(), 9)
encoder = open_encoder(SPEC.model_copy(update={"size": 32}), Path(sys.argv[1]), threads=1)
read_pictures(sys.argv[2], encoder, Path(sys.argv[3]), die)
"""


def test_killed(tmp_path: Path, encoder) -> None:
    root = tmp_path / "photos"
    for number in range(30):
        picture(root / f"{number}.png", number)
    command = [sys.executable, "-c", KILLED, encoder.model, root, tmp_path / "c"]
    assert subprocess.run(command, check=False).returncode == -9
    after = read_pictures(root, encoder, tmp_path / "c")
    assert after.embedded == 10
    assert (after.source.vectors == read_pictures(root, encoder).source.vectors).all()


def test_a_build_and_a_rebuild(folder: Path, encoder, tmp_path: Path) -> None:
    data = tmp_path / "data"
    source = read_pictures(folder, encoder, data / "photos").source
    build_collection(source, data, "photos")
    index = open_index(data / "photos")
    spec = EncoderSpec.model_validate(index.extras.encoder.spec)
    own = open_encoder(spec, index.extras.encoder.model, threads=1)
    assert own.key == encoder.key
    query = own.encode([Image.open(folder / "sub" / "b-3.png")])
    assert index.search(query, 1, "knn").ids[0, 0] == "sub/b-3.png"
    summary = build_collection(rebuild_source(data / "photos"), data, "photos")
    assert {stage.stage for stage in summary.stages if stage.source == "live version"} >= {
        "extras",
        "vectors",
    }
    assert open_index(data / "photos").extras.thumbnails.of(2) == index.extras.thumbnails.of(2)


def test_whitening_that_came_with_the_encoder(folder: Path, tmp_path: Path) -> None:
    make_network(tmp_path / "tiny.onnx")
    path = tmp_path / "tiny.toml"
    path.write_text('file = "tiny.onnx"\nsize = 8\nwhitening = "w.npz"\n')
    mean, matrix = RNG.normal(size=5), RNG.normal(size=(3, 5))
    np.savez(tmp_path / "w.npz", mean=mean, matrix=matrix)
    encoder = encoder_for_build(path, threads=1)
    source = read_pictures(folder, encoder, tmp_path / "c").source
    raw = encoder.encode([Image.open(folder / "sub" / "b-4.png")])
    np.testing.assert_allclose(source.vectors[5], matrix @ (raw[0] - mean), atol=1e-4)
    build_collection(source, tmp_path, "c")
    hits = open_index(tmp_path / "c").search(raw, 1, "knn")
    assert (hits.ids[0, 0], round(float(hits.similarities[0, 0]), 4)) == ("sub/b-4.png", 1.0)
    with pytest.raises(InputError, match="reduced already"):
        reduce_source(source, 2)
    for arrays, match in (
        ({"mean": mean}, "found no matrix"),
        ({"mean": mean, "matrix": matrix.T}, r"expected mean \(5,\) and matrix \(d', 5\)"),
        ({"mean": mean, "matrix": matrix * np.inf}, "finite"),
        ({"mean": np.array(list("abcde")), "matrix": matrix}, "expected numbers"),
    ):
        np.savez(tmp_path / "w.npz", **arrays)
        with pytest.raises(InputError, match=match):
            encoder_for_build(path)
    (tmp_path / "w.npz").write_bytes(b"none")
    with pytest.raises(InputError, match=r"expected an \.npz"):
        encoder_for_build(path)


# Labels


def test_labels() -> None:
    paths = ["Bone-12.png", "x/y/Cup_3.JPG", "x/12.png", "a b 7.webp", "no", "x/.9.png", "é-1.png"]
    assert labels_from(paths, "name") == ["bone", "cup", "12", "a b", "no", ".9", "é"]
    assert labels_from(paths[:3], "folder") == ["", "y", "x"]
    assert labels_from(paths[:2], r"([A-Z])[a-z]+[-_]") == ["B", "C"]
    for how, match in (("(", "regular expression"), ("a", "one group"), ("(a)(b)", "one group")):
        with pytest.raises(InputError, match=match):
            labels_from(paths, how)
    with pytest.raises(InputError, match="is not found in 'no'"):
        labels_from(paths, r"(\d+)")


def test_the_default_encoder_is_found_by_its_name(tmp_path: Path) -> None:
    assert load_encoder("efficientnet-lite0", cache=tmp_path).spec == SPEC
