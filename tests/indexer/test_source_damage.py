"""Files that are cut, altered, hostile or far larger than they look."""

from __future__ import annotations

import os
import pickle
import struct
import tempfile
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_files import (
    ROWS,
    npy_bytes,
    table,
    text_ids,
    vectors,
    write_arrow,
    write_npy,
    write_npz,
    write_parquet,
    write_zip,
)

from indexer import read_source
from indexer.sources import Columns, Source
from indexer.sources import reading as memory
from kinfold.errors import CapacityError, InputError


def rich_table() -> pa.Table:
    return table(
        rows=12,
        tags=[["x", None]] * 12,
        kind=pa.array(["u", "w"] * 6).dictionary_encode(),
        when=pa.array(range(12), pa.timestamp("us")),
    )


def compressed_npz(path: Path) -> Path:
    np.savez_compressed(path, vectors=vectors(), id=np.array(text_ids()), year=np.arange(ROWS))
    return path


MAKERS = {
    "v.npy": lambda path: write_npy(path, vectors()),
    "stored.npz": lambda path: write_npz(path, v=vectors(), id=np.array(text_ids())),
    "deflated.npz": compressed_npz,
    "snappy.parquet": lambda path: write_parquet(path, rich_table(), row_group_size=7),
    "plain.parquet": lambda path: write_parquet(
        path, rich_table(), compression="none", use_dictionary=False
    ),
    "mapped.arrow": lambda path: write_arrow(path, rich_table(), 7),
    "zstd.arrow": lambda path: write_arrow(path, rich_table(), 7, compression="zstd"),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    return {name: make(folder / name).read_bytes() for name, make in MAKERS.items()}


def read_bytes(content: bytes, name: str) -> Source:
    """A file of its own each time: a mapped one must not change under its reader."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        try:
            return read_source(path)
        except InputError as error:
            assert str(error).startswith(f"{path}: ")
            assert "\n" not in str(error)
            raise


def test_the_whole_files_are_read(whole):
    for name, content in whole.items():
        rows = len(read_bytes(content, name))
        np.testing.assert_array_equal(read_bytes(content, name).vectors, vectors(rows))


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=200)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_that_was_cut_is_refused(whole, name, share):
    content = whole[name][: int(share * len(whole[name]))]
    with pytest.raises(InputError):
        read_bytes(content, name)


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=200)
@given(share=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_any_altered_byte_is_read_or_refused(whole, name, share, value):
    content = bytearray(whole[name])
    content[int(share * len(content))] = value
    try:
        source = read_bytes(bytes(content), name)
    except InputError:
        return
    assert np.array(source.vectors).shape == source.vectors.shape
    if source.columns is not None:
        source.columns.validate(full=True)
        assert source.columns.num_rows == len(source)
    if name.endswith(".npz"):  # its checksums leave nothing unnoticed
        np.testing.assert_array_equal(source.vectors, vectors())


class Malicious:
    """Unpickling it makes a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return (os.mkdir, (str(self.marker),))


@pytest.fixture
def malicious(tmp_path) -> Malicious:
    """It works: whoever unpickles it is found out."""
    pickle.loads(pickle.dumps(Malicious(tmp_path / "tried")))  # noqa: S301
    assert (tmp_path / "tried").is_dir()
    return Malicious(tmp_path / "executed")


def refuse(malicious: Malicious, path: Path, columns: Columns | None = None) -> str:
    with pytest.raises(InputError) as refusal:
        read_source(path, columns)
    assert not malicious.marker.exists()
    assert str(refusal.value).startswith(f"{path}: ")
    assert "allow_pickle" not in str(refusal.value)
    return str(refusal.value)


def test_nothing_in_an_npy_is_unpickled(tmp_path, malicious):
    objects = np.array([[malicious, 1]] * ROWS, dtype=object)
    np.save(tmp_path / "v.npy", objects, allow_pickle=True)
    message = refuse(malicious, tmp_path / "v.npy")
    assert "expected plain numbers or strings, found Python objects" in message
    (tmp_path / "raw.npy").write_bytes(pickle.dumps(malicious))
    refuse(malicious, tmp_path / "raw.npy")
    (tmp_path / "record.npy").write_bytes(
        npy_bytes("(24, 1)", "[('a', '|O')]", pickle.dumps(malicious))
    )
    refuse(malicious, tmp_path / "record.npy")


@pytest.mark.parametrize("name", ["v", "id", "label"])
def test_nothing_in_an_npz_is_unpickled(tmp_path, malicious, name):
    good = {"v": vectors(), "id": np.arange(ROWS), "label": np.arange(ROWS)}
    bad = np.array([malicious] * good[name].size, dtype=object).reshape(good[name].shape)
    np.savez(tmp_path / "v.npz", **{**good, name: bad}, allow_pickle=True)
    for columns in (None, Columns(vectors="v"), Columns(payload=["label"])):
        message = refuse(malicious, tmp_path / "v.npz", columns)
        assert f"array '{name}': expected plain numbers or strings, found Python obj" in message


def test_a_pickle_in_place_of_a_member(tmp_path, malicious):
    path = write_zip(tmp_path / "v.npz", {"vectors.npy": pickle.dumps(malicious)})
    refuse(malicious, path)
    path = write_zip(tmp_path / "w.npz", {"vectors": pickle.dumps(malicious)})
    refuse(malicious, path)


def test_nothing_in_arrow_is_unpickled(tmp_path, malicious):
    """Old releases of Arrow unpickled this extension type as soon as they saw it."""
    field = pa.field("evil", pa.int64()).with_metadata(
        {
            "ARROW:extension:name": "arrow.py_extension_type",
            "ARROW:extension:metadata": pickle.dumps(malicious, 0),
        }
    )
    content = rich_table().append_column(field, pa.array(range(12)))
    for path in (
        write_arrow(tmp_path / "t.arrow", content),
        write_parquet(tmp_path / "t.parquet", content),
    ):
        assert read_source(path).payload.to_pylist()[3]["evil"] == 3
        assert not malicious.marker.exists()


@pytest.fixture
def peak():
    """The most memory that Python and NumPy have held since the test began."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


CLAIMS = ["(1000000000000, 1)", "(1000000, 1000000)", "(9223372036854775807, 9223372036854775807)"]


@pytest.mark.parametrize("shape", [*CLAIMS, "(-1, 4)", "(-6, -4)", "(True, 4.5)", "7"])
@pytest.mark.parametrize("dtype", ["'<f4'", "'<U999999999'", "'|V2147483647'"])
def test_a_header_that_claims_too_much(tmp_path, peak, shape, dtype):
    content = npy_bytes(shape, dtype, vectors().tobytes())
    (tmp_path / "v.npy").write_bytes(content)
    paths = [
        tmp_path / "v.npy",
        write_zip(tmp_path / "v.npz", {"vectors.npy": content}),
        write_zip(tmp_path / "deflated.npz", {"vectors.npy": content}, zipfile.ZIP_DEFLATED),
    ]
    for path in paths:
        with pytest.raises(InputError, match=str(path)):
            read_source(path)
    assert peak() < 10e6


@pytest.mark.parametrize("dtype", ["'<U0'", "'|V0'"])
def test_a_trillion_rows_of_nothing(tmp_path, peak, dtype):
    """Neither vectors without a dimension nor texts without letters take any bytes."""
    count = 10**12
    members = {
        "v.npy": npy_bytes(f"({count}, 0)"),
        "label.npy": npy_bytes(f"({count},)", dtype),
    }
    with pytest.raises(InputError, match="found dimension 0"):
        read_source(write_zip(tmp_path / "v.npz", members))
    with pytest.raises(InputError, match="expected"):
        read_source(write_zip(tmp_path / "w.npz", {"v.npy": npy_bytes(f"({count}, 4)", dtype)}))
    assert peak() < 10e6


@pytest.mark.parametrize(
    "start", ["(" * 9000, "{" * 9000, "[" * 9000, "-" * 9000, "__import__('os')"]
)
def test_a_header_that_is_no_header(tmp_path, start):
    text = (start + "\n").encode()
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text
    (tmp_path / "v.npy").write_bytes(content)
    for path in (tmp_path / "v.npy", write_zip(tmp_path / "v.npz", {"v.npy": content})):
        with pytest.raises(InputError, match=str(path)):
            read_source(path)


def deflated_bomb(path: Path, rows: int, dimension: int) -> Path:
    """A true .npz of zeros, written without ever holding them: the same deflated block again."""
    head = npy_bytes(f"({rows}, {dimension})")
    block = 1 << 20
    blocks, rest = divmod(4 * rows * dimension, block)
    assert rest == 0
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    parts = [packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)]
    repeated = packer.compress(bytes(block)) + packer.flush(zlib.Z_FULL_FLUSH)
    data = parts[0] + repeated * blocks + packer.flush(zlib.Z_FINISH)
    size, name = len(head) + blocks * block, b"vectors.npy"
    sizes = struct.pack("<III", 0, len(data), size)  # no reader comes as far as the checksum
    local = struct.pack("<IHHHHH", 0x04034B50, 20, 0, 8, 0, 0) + sizes
    local += struct.pack("<HH", len(name), 0) + name
    entry = struct.pack("<IHHHHHH", 0x02014B50, 20, 20, 0, 8, 0, 0) + sizes
    entry += struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, 0) + name
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 1, 1, len(entry), len(local) + len(data), 0)
    path.write_bytes(local + data + entry + end)
    return path


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, peak, monkeypatch):
    path = deflated_bomb(tmp_path / "bomb.npz", 1 << 24, 60)
    assert path.stat().st_size < 5e6
    monkeypatch.setattr(memory, "available_memory", lambda: 1 << 30)
    tracemalloc.reset_peak()
    with pytest.raises(
        CapacityError, match=r"takes 4\.0 GB of memory, 1\.1 GB are avail"
    ) as refusal:
        read_source(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert peak() < 10e6


def test_a_smaller_one_is_unpacked_to_its_end(tmp_path):
    """Which shows that the bomb is refused for its size alone: here only its checksum is wrong."""
    path = deflated_bomb(tmp_path / "small.npz", 1 << 16, 16)
    with pytest.raises(InputError, match="Bad CRC-32"):
        read_source(path)


def test_a_member_that_is_not_wanted_is_not_unpacked(tmp_path, peak):
    """A second matrix, 200 MB unpacked, lies beside the one that is asked for."""
    np.savez_compressed(tmp_path / "v.npz", v=vectors(), other=np.zeros((50_000_000, 1), "f4"))
    tracemalloc.reset_peak()
    source = read_source(tmp_path / "v.npz", Columns(vectors="v"))
    np.testing.assert_array_equal(source.vectors, vectors())
    assert peak() < 10e6


def test_a_parquet_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    values = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(1 << 22, "f4")), 64)
    path = write_parquet(
        tmp_path / "v.parquet", pa.table({"v": values}), compression="zstd", use_dictionary=False
    )
    assert path.stat().st_size < 100_000
    before = pa.total_allocated_bytes()
    monkeypatch.setattr(memory, "available_memory", lambda: 1 << 20)
    with pytest.raises(CapacityError, match=r"takes 1[67]\.\d MB of memory, 1\.0 MB are avail"):
        read_source(path)
    assert pa.total_allocated_bytes() - before < 1 << 20


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [(6, 1, "encrypted"), (8, 99, "compression method|File name|local|header|supported")],
    ids=["encrypted", "of an unknown method"],
)
def test_a_zip_member_that_cannot_be_opened(tmp_path, place, value, reason):
    path = write_npz(tmp_path / "v.npz", vectors=vectors())
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\x01\x02")
    for start, shift in ((0, 0), (entry, 2)):
        content[start + shift + place] = value
    path.write_bytes(content)
    with pytest.raises(InputError, match=reason):
        read_source(path)
