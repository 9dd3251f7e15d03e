"""Files from elsewhere: nothing is unpickled, evaluated, followed outside, or read without end."""

from __future__ import annotations

import ast
import json
import struct

import numpy as np
import pytest

import kinfold
from kinfold.index import VersionWriter, layout
from kinfold.index.manifest import MANIFEST
from kinfold.index.publish import CURRENT, VERSIONS

from .support import ROOT, copied, files_of, gallery, live, rehash, rewrite_manifest

HUGE = 2 << 30


def npy(header: str, major: int = 1, length: int | None = None) -> bytes:
    """The start of a .npy file with any header text."""
    text = header.encode("latin1")
    size = struct.pack("<H" if major == 1 else "<I", len(text) if length is None else length)
    return b"\x93NUMPY" + bytes([major, 0]) + size + text


def header(descr: str = "'<f4'", fortran: str = "False", shape: str = "(60, 4)") -> str:
    text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}"
    return text + " " * (63 - (10 + len(text)) % 64) + "\n"


BODY = bytes(60 * 4 * 4)
HEADERS = {
    "object dtype": npy(header("'|O'")),
    "pickled": b"\x80\x04\x95\x0f\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94\x8c\x06system\x94",
    "structured dtype": npy(header("[('a', '<f4')]")),
    "dtype that is none": npy(header("'<f3'")),
    "dates": npy(header("'<M8[s]'")),
    "big endian": npy(header("'>f4'")),
    "double precision": npy(header("'<f8'")),
    "Fortran order": npy(header(fortran="True")),
    "huge shape": npy(header(shape="(9223372036854775807, 4)")),
    "overflowing shape": npy(header(shape=f"({2**62}, 4)")),
    "number of 5000 digits": npy(header(shape=f"({'9' * 5000}, 4)")),
    "negative shape": npy(header(shape="(-60, -4)")),
    "one dimension": npy(header(shape="(240,)")),
    "64 dimensions": npy(header(shape="(" + "1, " * 64 + ")")),
    "wrong rows": npy(header(shape="(4, 60)")),
    "format 2.0": npy(header(), major=2),
    "format 3.0": npy(header(), major=3),
    "format 9.0": npy(header(), major=9),
    "code": npy("__import__('os').abort()\n"),
    "unbalanced": npy("{'descr': (((\n"),
    "unhashable": npy("{[]: 1}\n"),
    "old long integers": npy(header(shape="(60L, 4L)")),
    "deep nesting": npy("(" * 60000 + "\n"),
    "length that lies": npy(header(), length=65535),
    "no length": b"\x93NUMPY\x01\x00",
    "magic alone": b"\x93NUMPY",
    "other magic": b"PK\x03\x04" + bytes(200),
}


@pytest.mark.parametrize("name", [layout.VECTORS, layout.scales_file("default")])
@pytest.mark.parametrize("start", HEADERS.values(), ids=HEADERS.keys())
def test_a_strange_npy_header_is_refused(full, tmp_path, name, start):
    version = copied(full, tmp_path / "c")
    (version / name).write_bytes(start + BODY)
    version = rehash(tmp_path / "c")
    with pytest.raises(kinfold.CorruptIndexError, match="expected") as refusal:
        kinfold.open(tmp_path / "c")
    assert str(version / name) in str(refusal.value)
    assert not kinfold.verify(tmp_path / "c").ok


def test_a_header_of_any_numpy_is_understood(full, tmp_path):
    """What NumPy writes today, and with less or more padding."""
    version = copied(full, tmp_path / "c")
    vectors = np.load(version / layout.VECTORS)
    for text in (header(), header().replace(" \n", "\n"), header()[:-1] + " " * 500 + "\n"):
        (version / layout.VECTORS).write_bytes(npy(text) + vectors.tobytes())
        version = rehash(tmp_path / "c")
        np.testing.assert_array_equal(kinfold.open(tmp_path / "c").vectors, vectors)


def test_arrays_of_objects_are_never_written(tmp_path):
    with VersionWriter(tmp_path) as writer:
        for values in (np.array([{}, None]), np.array([], dtype=object), np.zeros(3, dtype="O,f4")):
            with pytest.raises(kinfold.InputError, match="expected an array of numbers"):
                writer.array("objects.npy", values)
        assert not (writer.folder / "objects.npy").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        {"vectors": np.array([[1, None], [2, 3]], dtype=object)},
        {"ids": [object() for _ in range(12)]},
        {"payload": {"a": [object() for _ in range(12)]}},
    ],
    ids=["vectors", "ids", "payload"],
)
def test_objects_are_refused_at_the_door(tmp_path, arguments):
    with pytest.raises(kinfold.InputError):
        kinfold.build(**{"vectors": gallery(12), "path": tmp_path / "c", **arguments})
    assert not list((tmp_path / "c").rglob("*.npy"))


def test_the_library_imports_and_calls_no_unsafe_reader():
    unsafe = {"pickle", "marshal", "shelve", "joblib", "eval", "exec", "load", "fromfile"}
    for source in (ROOT / "kinfold").rglob("*.py"):
        names = set()
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                names.add(node.func.id)
            elif isinstance(node, ast.Call) and ast.unparse(node.func).startswith("np."):
                names.add(ast.unparse(node.func).removeprefix("np."))
        assert not names & unsafe, source


CURRENTS = {
    "empty": b"",
    "only a newline": b"\n",
    "parent folder": b"../x\n",
    "parent": b"..\n",
    "itself": b".\n",
    "absolute": b"/etc\n",
    "inside": b"a/b\n",
    "hidden": b".building-0\n",
    "non-ASCII": "vërsion\n".encode(),
    "not UTF-8": b"\xff\xfe\n",
    "NUL": b"a\0b\n",
    "blanks": b" a \n",
    "two lines": b"a\nb\n",
    "too long": b"a" * 300,
}


@pytest.mark.parametrize("content", CURRENTS.values(), ids=CURRENTS.keys())
@pytest.mark.parametrize("opener", [kinfold.open, kinfold.verify])
def test_a_strange_current_is_refused(full, tmp_path, content, opener):
    copied(full, tmp_path / "c")
    (tmp_path / "c" / CURRENT).write_bytes(content)
    with pytest.raises(
        kinfold.FormatError, match="expected the name of a version, found"
    ) as refusal:
        opener(tmp_path / "c")
    assert str(tmp_path / "c" / CURRENT) in str(refusal.value)


def test_a_current_that_leads_outside_is_not_followed(full, tmp_path):
    """The folder that it names is a perfectly good version; it is still not ours."""
    version = copied(full, tmp_path / "c")
    version.rename(tmp_path / "outside")
    (tmp_path / "c" / CURRENT).write_text("../../outside\n")
    with pytest.raises(kinfold.FormatError, match="expected the name of a version"):
        kinfold.open(tmp_path / "c")


def test_a_dangling_current_says_what_there_is(full, tmp_path):
    version = copied(full, tmp_path / "c")
    (tmp_path / "c" / CURRENT).write_text("20200101T000000Z-000000000000\n")
    with pytest.raises(kinfold.FormatError, match="does not exist") as refusal:
        kinfold.open(tmp_path / "c")
    assert version.name in str(refusal.value)


def test_a_current_without_its_newline_is_read(full, tmp_path):
    version = copied(full, tmp_path / "c")
    (tmp_path / "c" / CURRENT).write_text(version.name)
    assert kinfold.open(tmp_path / "c").version == version


def sparse(path, size):
    with path.open("r+b") as file:
        file.truncate(size)


def test_a_huge_current_is_not_read(full, tmp_path):
    copied(full, tmp_path / "c")
    sparse(tmp_path / "c" / CURRENT, HUGE)
    with pytest.raises(kinfold.FormatError, match="expected the name of a version"):
        kinfold.open(tmp_path / "c")


def test_a_huge_manifest_is_not_read(full, tmp_path):
    version = copied(full, tmp_path / "c")
    sparse(version / MANIFEST, HUGE)
    with pytest.raises(kinfold.CorruptIndexError, match="expected at most"):
        kinfold.open(tmp_path / "c")


MANIFESTS = {
    "empty": b"",
    "not JSON": b"hello",
    "not UTF-8": b'{"format_version": "\xff"}',
    "a list": b"[]",
    "null": b"null",
    "deep nesting": b"[" * 100_000,
    "a number of 100000 digits": b'{"format_version": ' + b"9" * 100_000 + b"}",
    "no version": b"{}",
    "version as text": b'{"format_version": "1"}',
    "version as float": b'{"format_version": 1.0}',
    "version as truth": b'{"format_version": true}',
    "version 0": b'{"format_version": 0}',
    "version -1": b'{"format_version": -1}',
    "version alone": b'{"format_version": 1}',
}


@pytest.mark.parametrize("content", MANIFESTS.values(), ids=MANIFESTS.keys())
def test_a_strange_manifest_is_corrupt(full, tmp_path, content):
    """In a folder of another name, so that the hash in the name does not say it first."""
    version = copied(full, tmp_path / "c")
    version = version.rename(tmp_path / "renamed")
    (version / MANIFEST).write_bytes(content)
    for opener in (kinfold.open, kinfold.verify):
        with pytest.raises(kinfold.CorruptIndexError) as refusal:
            opener(version)
        assert str(version / MANIFEST) in str(refusal.value)


@pytest.mark.parametrize(
    "name",
    ["/dev/zero", "../../../../dev/zero", "models/../../x", "a/b/c", "", ".", "..", ".hidden"],
)
def test_a_manifest_names_no_file_outside(full, tmp_path, name):
    copied(full, tmp_path / "c")
    files = json.loads((live(tmp_path / "c") / MANIFEST).read_text())["files"]
    rewrite_manifest(tmp_path / "c", files={**files, name: {"bytes": 0, "sha256": "0" * 64}})
    for opener in (kinfold.open, kinfold.verify):
        with pytest.raises(kinfold.CorruptIndexError, match="files"):
            opener(tmp_path / "c")


@pytest.mark.parametrize("name", ["..", "../default", "a/b", "", "a b", "\n"])
def test_a_model_name_is_no_path(full, tmp_path, name):
    copied(full, tmp_path / "c")
    model = json.loads((live(tmp_path / "c") / MANIFEST).read_text())["models"]["default"]
    rewrite_manifest(tmp_path / "c", models={name: model}, default_model=name)
    with pytest.raises(kinfold.CorruptIndexError, match="models"):
        kinfold.open(tmp_path / "c")


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": 1},
        {"rows": 10**30},
        {"rows": "many"},
        {"dimension": 0},
        {"metric": "hamming"},
        {"metric_scale": float("inf")},
        {"metric_scale": float("nan")},
        {"metric_scale": 0},
        {"engine": "annoy"},
        {"ids": "uuid"},
        {"payload_columns": ["label"]},
        {"payload_columns": ["year", "label"]},
        {"default_model": "missing"},
    ],
    ids=str,
)
def test_a_manifest_that_does_not_fit_is_corrupt(full, tmp_path, changes):
    copied(full, tmp_path / "c")
    rewrite_manifest(tmp_path / "c", **changes)
    with pytest.raises(kinfold.CorruptIndexError, match=r"expected|should"):
        kinfold.open(tmp_path / "c")


def test_unnamed_versions_stay_unnoticed(full, tmp_path):
    """A folder in versions/ that is no version harms only who asks for it."""
    copied(full, tmp_path / "c")
    (tmp_path / "c" / VERSIONS / "stray").mkdir()
    assert kinfold.verify(tmp_path / "c").ok
    assert files_of(live(tmp_path / "c"))
    with pytest.raises(kinfold.FormatError, match="no kinfold index here"):
        kinfold.open(tmp_path / "c" / VERSIONS / "stray")
