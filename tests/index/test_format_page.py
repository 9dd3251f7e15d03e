"""docs/format.md says what is on disk: its code runs, and no file or field is missing from it."""

from __future__ import annotations

import re

import numpy as np
import pytest

import kinfold
from kinfold import BuildConfig
from kinfold.index import Manifest, ModelInfo, layout
from kinfold.index.manifest import FORMAT_VERSION, MOST_MANIFEST_BYTES, FileInfo, digest
from kinfold.index.publish import CURRENT, VERSIONS
from kinfold.kernels.encode import encode_values, write_steps
from kinfold.kernels.lanes import LANES

from .support import ROOT, files_of, gallery, live

PAGE = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")


def row_of_c():
    """The function of the page's code block."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    names = {}
    exec(compile(code, "docs/format.md", "exec"), names)  # noqa: S102 - our own page
    body = code.partition("def row_of_c")[2].strip().splitlines()[1:]
    assert len(body) == 20
    return names["row_of_c"]


@pytest.mark.parametrize("dtype", ["float8", "float16", "float32", "several blocks"])
def test_the_code_reads_the_matrix(full, tmp_path, dtype):
    path = full
    if dtype != "several blocks":
        path = tmp_path
        kinfold.build(gallery(), path, config=BuildConfig(dtype=dtype, k_d=5))
    index = kinfold.open(path)
    read = row_of_c()
    for row, (columns, values) in enumerate(index.iterate_rows()):
        found_columns, found_values = read(live(path), row)
        ascending = np.argsort(found_columns)
        np.testing.assert_array_equal(found_columns[ascending], columns)
        np.testing.assert_array_equal(found_values[ascending], values)
        assert found_values.dtype == np.float32
    model = index.manifest.models["default"]
    assert (len(model.blocks) > 1) == (dtype == "several blocks")


def test_every_file_is_described(full):
    table = PAGE.partition("## The files of a version")[2].partition("### Columns")[0]
    tree = PAGE.partition("```text")[2].partition("```")[0]
    for name in files_of(live(full)):
        last = name.rpartition("/")[2]
        generic = re.sub(r"-\d{5}\.npy", "-*.npy", last)
        assert f"| `{generic}` |" in table, name
        assert re.sub(r"-\d{5}\.npy", "-00000.npy", last) in tree, name
    for name in (CURRENT, "LOCK", VERSIONS, "manifest.json", ".building-"):
        assert name in tree


def test_every_field_is_described():
    tables = PAGE.partition("## The manifest")[2].partition("## Publishing")[0]
    for fields in (Manifest.model_fields, ModelInfo.model_fields, FileInfo.model_fields):
        for name in fields:
            assert f"`{name}`" in tables, name


def test_types_are_those_that_are_written(full):
    dtypes = {"float32": "<f4", "uint32": "<u4", "int64": "<i8", "uint8": "|u1"}
    rows = re.findall(r"^\| `([a-z*-]+)\.npy` \| (.*?) \(", PAGE, flags=re.MULTILINE)
    assert len(rows) == 16
    for name, words in rows:
        if name in ("thumbnail-starts", "projection"):
            continue  # of pictures, which this index has none of; tests/index/test_extras.py
        (file, *_) = sorted(live(full).rglob(f"{name}.npy"))
        assert np.load(file).dtype.str == dtypes[words.removesuffix(", float16 or float32")], name


def test_numbers_on_the_page_are_those_of_the_code():
    assert f"format {FORMAT_VERSION}" in PAGE
    assert f"times {layout.VALUE_SCALE:.0f}" in PAGE
    assert layout.BLOCK_VALUES == 2**27
    assert "2^27" in PAGE
    assert f"at most {LANES} rows" in PAGE
    assert f"at most {MOST_MANIFEST_BYTES >> 20} MiB" in PAGE
    assert f"{len(digest(b''))} hexadecimal" in PAGE
    assert str(2**32 - 1) in PAGE


def test_the_example_of_columns():
    (text,) = re.findall(r"\n((?:[0-9A-F]{2} +){4,})A6 =", PAGE)
    columns = np.array([5, 6, 300], dtype=np.uint32)
    assert "columns 5, 6 and 300 have the steps 5, 1 and 294" in PAGE
    steps = np.empty(4, dtype=np.uint8)
    first = np.zeros(1, dtype=np.int64)
    write_steps(np.array([3], dtype=np.int64), first, columns, first, steps)
    assert bytes.fromhex(text) == steps.tobytes()


def test_the_example_of_values():
    assert "row whose largest value is 0.4 a value of 0.03" in " ".join(PAGE.split())
    codes, kept = np.empty(2, dtype=np.uint8), np.empty(2, dtype=np.bool_)
    one = np.zeros(1, dtype=np.int64)
    encode_values(
        np.array([2], dtype=np.int64), one, np.array([0.4, 0.03], dtype=np.float32),
        codes, kept, np.empty(1, dtype=np.float32), one.copy(),
    )  # fmt: skip
    assert codes.tolist() == [240, 179]
    assert "179" in PAGE
    assert pytest.approx(0.0296875) == 0.4 * 2**-4 * (1 + 3 / 16)
    assert "0.0296875" in PAGE


def test_errors_on_the_page_exist():
    names = set(re.findall(r"`(\w+Error)`", PAGE))
    assert names == {"BusyError", "CorruptIndexError", "FormatError", "NewerFormatError"}
    assert all(hasattr(kinfold, name) for name in names)
