"""Every format that a gallery may come in, read into the same vectors, ids and payload."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from source_files import (
    DIMENSION,
    ROWS,
    table,
    text_ids,
    vectors,
    write_arrow,
    write_npy,
    write_npz,
    write_parquet,
)

import kinfold
from indexer import build_collection, read_source
from indexer.sources import Columns
from kinfold import BuildConfig
from kinfold.errors import InputError

NUMBERS = ["float16", "float32", "float64", "int8", "uint8", "int64", "uint64"]


def numbers(dtype: str) -> np.ndarray:
    """Vectors that every one of the dtypes holds exactly."""
    return np.round(vectors() * 8).clip(0, 100).astype(dtype)


@pytest.mark.parametrize("dtype", [*NUMBERS, ">f4", ">i8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy(tmp_path, dtype, order):
    expected = np.asarray(numbers(dtype), order=order)
    source = read_source(write_npy(tmp_path / "v.npy", expected))
    np.testing.assert_array_equal(source.vectors, expected)
    assert source.vectors.dtype == np.dtype(dtype)
    assert (source.ids, source.payload, len(source)) == (None, None, ROWS)
    assert source.name == str(tmp_path / "v.npy")


def test_npy_is_mapped_and_not_read(tmp_path):
    path = write_npy(tmp_path / "v.npy", vectors())
    source = read_source(path)
    assert isinstance(source.vectors, np.memmap)
    assert not source.vectors.flags.writeable
    with path.open("r+b") as file:
        file.seek(-4, 2)
        file.write(np.float32(123.5).tobytes())
    assert source.vectors[-1, -1] == 123.5


def test_a_large_npy_takes_no_memory(tmp_path):
    """64 GB that are a hole in the file."""
    path = tmp_path / "v.npy"
    shape = (1 << 30, 16)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": shape}
        )
        file.truncate(file.tell() + 4 * shape[0] * shape[1])
    source = read_source(path)
    assert source.vectors.shape == shape
    assert source.vectors[-1].tolist() == [0.0] * 16


def test_an_ending_may_be_in_capitals(tmp_path):
    write_npy(tmp_path / "v.npy", vectors()).rename(tmp_path / "v.NPY")
    assert len(read_source(tmp_path / "v.NPY")) == ROWS


def test_a_path_may_be_text_or_a_link(tmp_path):
    write_npy(tmp_path / "v.npy", vectors())
    (tmp_path / "link.npy").symlink_to("v.npy")
    assert len(read_source(str(tmp_path / "link.npy"))) == ROWS


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_one_matrix(tmp_path, save):
    label = np.array([f"klass ü{row % 3}" for row in range(ROWS)])
    save(
        tmp_path / "v.npz",
        anything=vectors(),
        id=np.arange(ROWS) * 7,
        label=label,
        shown=np.arange(ROWS) % 2 == 0,
        day=np.arange(ROWS).astype("M8[D]"),
        big_endian=np.arange(ROWS, dtype=">i4"),
        other_length=np.arange(5),
        scalar=np.float64(3),
    )
    source = read_source(tmp_path / "v.npz")
    np.testing.assert_array_equal(source.vectors, vectors())
    np.testing.assert_array_equal(source.ids, np.arange(ROWS) * 7)
    assert source.payload.column_names == ["label", "shown", "day", "big_endian"]
    np.testing.assert_array_equal(source.column("label"), label)
    np.testing.assert_array_equal(source.column("big_endian"), np.arange(ROWS))
    assert source.mask("shown").tolist() == [row % 2 == 0 for row in range(ROWS)]


def test_npz_several_matrices(tmp_path):
    first, second = vectors(seed=1), vectors(dimension=7, seed=2)
    path = write_npz(tmp_path / "v.npz", a=first, b=second)
    with pytest.raises(InputError, match=r"found 2; name one of: a \(24, 4\), b \(24, 7\)"):
        read_source(path)
    np.testing.assert_array_equal(read_source(path, Columns(vectors="b")).vectors, second)
    with pytest.raises(InputError, match=r"no array 'c'; it has: a \(24, 4\), b \(24, 7\)"):
        read_source(path, Columns(vectors="c"))


def test_npz_one_of_several_is_called_vectors(tmp_path):
    path = write_npz(tmp_path / "v.npz", a=vectors(dimension=9), vectors=vectors())
    assert read_source(path).vectors.shape == (ROWS, DIMENSION)


def test_npz_choice_of_ids_and_payload(tmp_path):
    codes = np.array([f"c{row}" for row in range(ROWS)])
    path = write_npz(
        tmp_path / "v.npz", v=vectors(), id=np.arange(ROWS), code=codes, year=np.arange(ROWS)
    )
    source = read_source(path, Columns(ids="code", payload=["year"]))
    assert source.ids.tolist() == codes.tolist()
    assert source.payload.column_names == ["year"]
    assert read_source(path, Columns(ids="code")).payload.column_names == ["id", "year"]
    assert read_source(path, Columns(payload=[])).payload is None


def test_npz_arrays_that_nobody_asked_for_need_not_be_usable(tmp_path):
    """Python objects, complex numbers and records do no harm until somebody wants them kept."""
    path = tmp_path / "v.npz"
    np.savez(
        path,
        v=vectors(),
        year=np.arange(ROWS),
        waves=np.zeros(ROWS, dtype="c8"),
        records=np.zeros(ROWS, dtype=[("a", "f4")]),
        objects=np.array([{}] * ROWS),
        note=np.array({"made": "by hand"}, dtype=object),
    )
    assert read_source(path, Columns(payload=["year"])).payload.column_names == ["year"]


LISTS = [
    pytest.param(lambda kind: pa.list_(kind), id="list"),
    pytest.param(lambda kind: pa.large_list(kind), id="large_list"),
    pytest.param(lambda kind: pa.list_(kind, DIMENSION), id="fixed_size_list"),
]
FILES = [
    pytest.param(lambda folder, t: write_parquet(folder / "t.parquet", t), id="parquet"),
    pytest.param(
        lambda folder, t: write_parquet(folder / "t.pq", t, row_group_size=5, compression="gzip"),
        id="parquet in groups",
    ),
    pytest.param(lambda folder, t: write_arrow(folder / "t.arrow", t), id="arrow"),
    pytest.param(
        lambda folder, t: write_arrow(folder / "t.feather", t, 5, compression="zstd"),
        id="arrow in chunks",
    ),
    pytest.param(
        lambda folder, t: write_arrow(folder / "t.ipc", t.slice(0, 9), 4, compression="lz4"),
        id="arrow of a slice",
    ),
]


@pytest.mark.parametrize("write", FILES)
@pytest.mark.parametrize("make", LISTS)
@pytest.mark.parametrize("dtype", NUMBERS)
def test_columns_of_lists(tmp_path, write, make, dtype):
    expected = numbers(dtype)
    kind = make(pa.from_numpy_dtype(dtype))
    content = pa.table({"id": text_ids(), "v": pa.array(list(expected), kind)})
    source = read_source(write(tmp_path, content))
    np.testing.assert_array_equal(source.vectors, expected[: len(source)])
    assert source.vectors.dtype == np.dtype(dtype)
    assert source.ids.tolist() == text_ids()[: len(source)]
    assert len(source) in (ROWS, 9)


@pytest.mark.parametrize("make", LISTS)
def test_a_slice_is_read_from_where_it_begins(tmp_path, make):
    """Its buffers begin earlier than its rows do."""
    kind = make(pa.float32())
    parts = [table(kind).slice(7, 6), table(kind).slice(20, 3)]
    source = read_source(write_arrow(tmp_path / "t.arrow", pa.concat_tables(parts)))
    rows = [*range(7, 13), *range(20, 23)]
    np.testing.assert_array_equal(source.vectors, vectors()[rows])
    assert source.ids.tolist() == [text_ids()[row] for row in rows]


@pytest.mark.parametrize(
    ("ids", "kind"),
    [
        (list(range(100, 100 + ROWS)), pa.int32()),
        ([2**62 + row for row in range(ROWS)], pa.int64()),
        (list(range(ROWS)), pa.uint8()),
        (text_ids(), pa.large_string()),
        (text_ids(), pa.string_view()),
        (text_ids(), pa.dictionary(pa.int8(), pa.string())),
    ],
    ids=lambda value: str(value) if isinstance(value, pa.DataType) else "",
)
def test_ids_of_every_kind(tmp_path, ids, kind):
    content = table().set_column(0, "id", pa.array(ids, kind))
    source = read_source(write_arrow(tmp_path / "t.arrow", content))
    summary = build_collection(source, tmp_path, "c", BuildConfig(k_d=3))
    with kinfold.open(summary.path) as index:
        assert index.ids_of(np.arange(ROWS, dtype=np.uint32)).tolist() == ids
        assert index.position(ids[5]) == 5


def test_payload_with_nulls_nested_values_and_times(tmp_path):
    noon = datetime(2024, 5, 17, 12, tzinfo=UTC)
    extra = {
        "note": [None if row % 5 == 0 else f"[{row}]" for row in range(ROWS)],
        "tags": pa.array([["a", None][: row % 3] for row in range(ROWS)], pa.list_(pa.string())),
        "place": [{"at": [row, None], "city": None} for row in range(ROWS)],
        "when": pa.array(
            [noon + timedelta(hours=row) for row in range(ROWS)], pa.timestamp("ms", "UTC")
        ),
        "score": [float("nan") if row == 2 else row / 3 for row in range(ROWS)],
    }
    content = table(**extra)
    for path in (
        write_parquet(tmp_path / "t.parquet", content, row_group_size=7),
        write_arrow(tmp_path / "t.arrow", content, 7),
    ):
        source = read_source(path)
        summary = build_collection(source, tmp_path, path.suffix[1:], BuildConfig(k_d=3))
        with kinfold.open(summary.path) as index:
            rows = index.payload(np.arange(ROWS))
        expected = content.drop_columns(["id", "vector"]).to_pylist()
        assert str(rows) == str(expected)  # NaN is not equal to itself
        assert rows[1]["note"] == "[1]"
        assert rows[2]["when"] == noon + timedelta(hours=2)


def test_two_columns_of_vectors(tmp_path):
    lists = pa.array(list(vectors(seed=3)), pa.list_(pa.float64()))
    content = pa.table({"a": lists, "b": pa.array([[1, 2]] * ROWS), "n": range(ROWS)})
    path = write_parquet(tmp_path / "t.parquet", content)
    with pytest.raises(InputError, match=r"found 2; name one of: a .*, b .*, n \(int64\)"):
        read_source(path)
    source = read_source(path, Columns(vectors="a"))
    np.testing.assert_array_equal(source.vectors, vectors(seed=3))
    assert source.payload.column_names == ["b", "n"]
    named = write_parquet(tmp_path / "u.parquet", content.rename_columns(["x", "vector", "n"]))
    assert read_source(named).vectors.shape == (ROWS, 2)


def test_a_folder_named_like_a_partition_adds_no_column(tmp_path):
    (tmp_path / "label=3").mkdir()
    path = write_parquet(tmp_path / "label=3" / "t.parquet", table())
    assert read_source(path).column("label")[:2].tolist() == ["class 0", "class 1"]


@pytest.mark.parametrize("write", FILES)
def test_choice_of_columns(tmp_path, write):
    path = write(tmp_path, table(year=list(range(ROWS)), code=[f"c{row}" for row in range(ROWS)]))
    source = read_source(path, Columns(ids="code", payload=["year", "id"]))
    assert source.ids[3] == "c3"
    assert source.payload.column_names == ["year", "id"]
    assert read_source(path).payload.column_names == ["label", "year", "code"]
