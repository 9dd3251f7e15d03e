"""What is no gallery is refused in one line: the file, what was expected, what was found."""

from __future__ import annotations

import os
import re

import numpy as np
import pyarrow as pa
import pytest
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
from indexer.sources import Columns
from indexer.sources.read import READERS
from kinfold.errors import InputError

ENDINGS = sorted(READERS)


def refused(path, *, match, columns=None):
    """The message of the refusal, which has to begin with the file's name."""
    with pytest.raises(InputError, match=match) as refusal:
        read_source(path, columns)
    message = str(refusal.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_missing_file(tmp_path, ending):
    refused(tmp_path / f"none{ending}", match="expected a file, found nothing of this name")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_folder(tmp_path, ending):
    folder = tmp_path / f"folder{ending}"
    folder.mkdir()
    write_parquet(folder / "part-0.parquet", table())
    refused(folder, match="expected a file, found a folder")


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_empty_file(tmp_path, ending):
    (tmp_path / f"empty{ending}").touch()
    refused(tmp_path / f"empty{ending}", match="expected vectors, found an empty file")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_of_another_kind(tmp_path, ending):
    path = tmp_path / f"letter{ending}"
    path.write_text("Dear reader, this is no gallery at all.\n" * 50)
    refused(path, match="expected an? .* file, found one that is truncated, damaged or of another")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_pipe_is_not_waited_for(tmp_path, ending):
    os.mkfifo(tmp_path / f"pipe{ending}")
    refused(tmp_path / f"pipe{ending}", match="expected a file, found a device or a pipe")


@pytest.mark.parametrize("name", ["gallery.csv", "gallery", "gallery.npy.bak", ".npy"])
def test_an_unknown_ending(tmp_path, name):
    (tmp_path / name).write_text("1,2,3")
    message = refused(tmp_path / name, match="expected a file ending in")
    assert all(ending in message for ending in ENDINGS)
    assert repr((tmp_path / name).suffix or "no ending") in message


def test_paths_that_lead_nowhere(tmp_path):
    write_npy(tmp_path / "v.npy", vectors())
    refused(tmp_path / "v.npy" / "below.npy", match="expected a readable file, found: Not a dir")
    refused(tmp_path / ("x" * 300 + ".npy"), match="found: File name too long")
    refused(tmp_path / "a\0b.npy", match="found: .*embedded null")
    (tmp_path / "loop.npy").symlink_to("loop.npy")
    refused(tmp_path / "loop.npy", match="found: Too many levels of symbolic links")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    write_npy(tmp_path / "v.npy", vectors()).chmod(0)
    refused(tmp_path / "v.npy", match="expected a readable file, found: Permission denied")


@pytest.mark.parametrize(
    ("array", "match"),
    [
        (np.float32(3), r"expected a matrix of shape \(rows, dimension\), found shape \(\)"),
        (np.zeros(5), r"expected a matrix of shape .*, found shape \(5,\)"),
        (np.zeros((2, 3, 4)), r"found shape \(2, 3, 4\)"),
        (np.zeros((5, 0)), "expected vectors of at least one value, found dimension 0"),
        (np.zeros((5, 2), "c8"), "expected numbers .*, found dtype complex64"),
        (np.zeros((5, 2), bool), "expected numbers .*, found dtype bool"),
        (np.zeros((5, 2), "U3"), "expected numbers .*, found dtype <U3"),
        (np.zeros((5, 2), "M8[D]"), r"expected numbers .*, found dtype datetime64\[D\]"),
        (np.zeros((5, 2), [("a", "f4")]), r"expected numbers .*, found dtype \[\('a', '<f4'\)\]"),
    ],
    ids=["scalar", "1-d", "3-d", "no dimension", "complex", "bool", "text", "times", "records"],
)
def test_an_array_that_holds_no_vectors(tmp_path, array, match):
    refused(write_npy(tmp_path / "v.npy", array), match=match)
    refused(
        write_npz(tmp_path / "v.npz", vectors=array),
        match=match,
        columns=Columns(vectors="vectors"),
    )


def test_npy_has_no_columns(tmp_path):
    path = write_npy(tmp_path / "v.npy", vectors())
    refused(path, match="has no named columns.* 'v'", columns=Columns(vectors="v"))
    refused(path, match="has no named columns.* 'code'", columns=Columns(ids="code"))
    refused(path, match="no payload column 'year'; it has: none", columns=Columns(payload=["year"]))
    with pytest.raises(InputError, match=r"v\.npy: no column 'label'; it has: none"):
        read_source(path).column("label")


def test_npz_without_a_matrix(tmp_path):
    refused(write_npz(tmp_path / "v.npz", a=np.zeros(4)), match=r"found 0; name one of: a \(4,\)")
    refused(write_zip(tmp_path / "w.npz", {}), match="found 0; name one of: nothing")
    refused(write_zip(tmp_path / "x.npz", {"readme.txt": b"hello"}), match="name one of: nothing")


@pytest.mark.parametrize("columns", [Columns(ids="code"), Columns(payload=["code"])])
def test_npz_columns_of_another_length(tmp_path, columns):
    path = write_npz(tmp_path / "v.npz", v=vectors(), code=np.arange(9))
    refused(path, match=r"array 'code': expected shape \(24,\).*, found \(9,\)", columns=columns)
    assert read_source(path).ids is None


def test_npz_ids_of_another_length_are_not_passed_over(tmp_path):
    path = write_npz(tmp_path / "v.npz", v=vectors(), id=np.arange(9))
    refused(path, match=r"array 'id': expected shape \(24,\).*, found \(9,\)")


@pytest.mark.parametrize(
    "payload",
    [
        np.zeros(ROWS, dtype="c8"),
        np.zeros(ROWS, dtype=[("a", "f4")]),
        np.zeros(ROWS, dtype="M8[Y]"),
        np.zeros(ROWS, dtype="g"),
    ],
    ids=lambda array: str(array.dtype),
)
def test_npz_payload_that_cannot_be_kept(tmp_path, payload):
    path = write_npz(tmp_path / "v.npz", v=vectors(), odd=payload)
    dtype = re.escape(str(payload.dtype))
    refused(path, match=f"array 'odd': expected numbers.*, found dtype {dtype}.*--payload")


def test_columns_that_are_not_there(tmp_path):
    write_npz(tmp_path / "v.npz", v=vectors(), label=np.arange(ROWS))
    write_parquet(tmp_path / "v.parquet", table().rename_columns(["code", "v", "label"]))
    for path, names in (("v.npz", "label"), ("v.parquet", "code, label")):
        file = tmp_path / path
        found = f"'none'; it has: {names}"
        refused(file, match=f"no id column {found}", columns=Columns(ids="none"))
        refused(file, match=f"no payload column {found}", columns=Columns(payload=["none"]))
        refused(file, match="no (array|column) 'none'; it has: ", columns=Columns(vectors="none"))
        with pytest.raises(InputError, match=f"{path}: no column {found}"):
            read_source(file).column("none")


def lists(values, kind=None):
    return pa.table({"id": text_ids(len(values)), "v": pa.array(values, kind)})


NUMBERS = [[1.0, 2.0]] * 5
NO_VECTORS = {
    "no list": (pa.table({"id": [1], "x": [2.5]}), r"found 0; name one of: id \(int64\), x \(doub"),
    "lists of text": (lists([["a"]] * 5), r"found 0; name one of: .*list<.*string>"),
    "lists of lists": (lists([[[1.0]]] * 5), "expected one column of number lists, found 0"),
    "ragged": (lists([*NUMBERS, [1.0]] * 2), "one dimension, 2 as in row 0, found 1 in row 5"),
    "ragged large": (
        lists([*NUMBERS, [1.0] * 7], pa.large_list(pa.float32())),
        "2 as in row 0, found 7 in row 5",
    ),
    "no vector": (lists([*NUMBERS, None, *NUMBERS]), "expected a vector, found none in row 5"),
    "no vector, fixed": (
        lists([*NUMBERS, None], pa.list_(pa.float32(), 2)),
        "expected a vector, found none in row 5",
    ),
    "a gap": (lists([*NUMBERS, [1.0, None]]), "expected numbers, found an empty value in row 5"),
    "a gap, fixed": (
        lists([*NUMBERS, [None, 1.0]], pa.list_(pa.float32(), 2)),
        "expected numbers, found an empty value in row 5",
    ),
    "no dimension": (lists([[]] * 5, pa.list_(pa.float32())), "found dimension 0"),
    "no rows": (lists([], pa.list_(pa.float32())), "expected at least 2 rows, found none"),
    "no columns": (pa.table({}), "expected one column of number lists, found 0"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "match"), NO_VECTORS.values(), ids=NO_VECTORS.keys())
def test_a_table_without_proper_vectors(tmp_path, content, match):
    refused(write_arrow(tmp_path / "t.arrow", content), match=match)
    refused(write_arrow(tmp_path / "chunks.arrow", content, chunk=2), match=match)
    refused(write_parquet(tmp_path / "t.parquet", content), match=match)
    refused(write_parquet(tmp_path / "groups.parquet", content, row_group_size=2), match=match)


def test_a_column_that_was_named_and_holds_no_vectors(tmp_path):
    path = write_parquet(tmp_path / "t.parquet", table())
    columns = Columns(vectors="label")
    refused(path, match="'label': expected lists of numbers, found string", columns=columns)


def test_two_columns_of_one_name(tmp_path):
    content = table(other=list(range(ROWS))).rename_columns(["id", "vector", "a", "a"])
    path = write_arrow(tmp_path / "t.arrow", content)
    refused(path, match=r"expected unique column names, found \['id', 'vector', 'a', 'a'\]")


@pytest.mark.parametrize(
    ("ids", "found"),
    [
        ([None, *range(1, ROWS)], "float64"),
        ([True] * ROWS, "bool"),
        ([0.5] * ROWS, "float64"),
        (np.arange(ROWS).astype("M8[s]"), "datetime64"),
    ],
    ids=["ids with a gap", "bools", "floats", "times"],
)
def test_ids_that_are_none(tmp_path, ids, found):
    path = write_parquet(tmp_path / "t.parquet", table().set_column(0, "id", pa.array(ids)))
    refused(path, match=f"ids: expected integers or strings without gaps, found {found}")


MASK = [row % 3 == 0 for row in range(ROWS)]


@pytest.mark.parametrize("kind", [pa.bool_(), pa.int64(), pa.uint8()], ids=str)
@pytest.mark.parametrize("write", [write_parquet, write_arrow])
def test_query_masks(tmp_path, kind, write):
    path = write(tmp_path / f"t.{'parquet' if write is write_parquet else 'arrow'}",
                 table(asked=pa.array(MASK).cast(kind)))  # fmt: skip
    source = read_source(path)
    chosen = source.where(source.mask("asked"))
    np.testing.assert_array_equal(chosen.vectors, vectors()[::3])
    assert chosen.ids.tolist() == text_ids()[::3]
    assert chosen.column("label").tolist() == ["class 0"] * 8
    assert chosen.payload.num_rows == len(chosen) == 8
    assert chosen.name == f"{path} (rows counted among the 8 of 24 that are used)"


def test_a_mask_of_everything_changes_nothing(tmp_path):
    source = read_source(write_npz(tmp_path / "v.npz", v=vectors(), all=np.ones(ROWS, bool)))
    assert source.where(source.mask("all")) is source


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ([2, *[0] * (ROWS - 1)], "column 'm': expected true and false, found dtype int64"),
        ([0.0, 1.0] * (ROWS // 2), "expected true and false, found dtype float64"),
        (["true"] * ROWS, "expected true and false, found dtype <U4"),
        ([None, *[True] * (ROWS - 1)], "column 'm' has 1 empty values"),
        ([[True]] * ROWS, "column 'm': expected single values, found list"),
    ],
    ids=["other integers", "floats", "text", "a gap", "lists"],
)
def test_masks_that_are_none(tmp_path, values, match):
    source = read_source(write_parquet(tmp_path / "t.parquet", table(m=values)))
    with pytest.raises(InputError, match=match) as refusal:
        source.mask("m")
    assert str(refusal.value).startswith(f"{tmp_path / 't.parquet'}: ")


def test_a_header_that_lies_about_its_shape(tmp_path):
    body = vectors().tobytes()
    for shape, bytes_ in (("(24, 5)", "480"), ("(25, 4)", "400"), ("(23, 4)", "368")):
        path = tmp_path / "v.npy"
        path.write_bytes(npy_bytes(shape, body=body))
        expected = int(bytes_) + 128
        refused(path, match=f"expected {expected} bytes for float32 of shape .*, found 512")
        zipped = write_zip(tmp_path / "v.npz", {"v.npy": path.read_bytes()})
        refused(zipped, match=f"'v.npy': truncated or damaged: expected {expected} bytes")
