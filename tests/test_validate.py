"""What a build refuses, each with the class it should have and the value that was wrong."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import kinfold
from kinfold import BuildConfig
from kinfold.errors import FormatError, InputError
from kinfold.validate import as_float32, as_ids, as_queries, normalised, row_chunks

ROWS, DIMENSION = 12, 3


def good():
    return np.random.default_rng(0).normal(size=(ROWS, DIMENSION))


def gallery_with(row, column, value):
    vectors = good()
    vectors[row, column] = value
    return vectors


def refused(path, message, vectors=None, error=InputError, **arguments):
    """Building raises, and leaves nothing that could be opened."""
    with pytest.raises(error, match=message):
        kinfold.build(good() if vectors is None else vectors, path / "index", **arguments)
    with pytest.raises(FormatError):
        kinfold.open(path / "index")


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (gallery_with(7, 2, np.nan), "vectors: .*found nan in row 7, column 2"),
        (gallery_with(0, 0, np.inf), "found inf in row 0, column 0"),
        (gallery_with(11, 1, -np.inf), "found -inf in row 11, column 1"),
        (gallery_with(3, 1, 4e38), r"found 4e\+38 in row 3, column 1"),
        (gallery_with(3, 1, -1e300), r"found -1e\+300 in row 3, column 1"),
        (gallery_with(9, slice(None), 0), "row 9 is all zeros.*metric = 'l2'"),
        (np.ones(5), r"shape \(5,\)"),
        (np.ones((4, 3, 2)), r"shape \(4, 3, 2\)"),
        (np.float64(3), r"shape \(\)"),
        (good().astype(object), "dtype object"),
        (good().astype(complex), "dtype complex128"),
        (good().astype(str), "dtype <U"),
        (good() > 0, "dtype bool"),
        (np.zeros((3, 2), dtype="datetime64[s]"), r"dtype datetime64\[s\]"),
        (None, "dtype object"),
        (np.empty((0, 4)), r"found none \(shape \(0, 4\)\)"),
        (np.ones((1, 4)), "at least 2 rows, found 1"),
        (np.empty((5, 0)), "dimension 0"),
        ([], r"shape \(0,\)"),
    ],
)
def test_vectors(tmp_path, vectors, message):
    with pytest.raises(InputError, match=message):
        kinfold.build(vectors, tmp_path / "index")
    with pytest.raises(FormatError):
        kinfold.open(tmp_path / "index")


def test_rows_of_different_lengths(tmp_path):
    refused(tmp_path, "vectors", [[1.0, 2.0], [3.0]])


@pytest.mark.parametrize("value", [np.nan, 0])
def test_rows_are_counted_from_the_first_piece(tmp_path, monkeypatch, value):
    monkeypatch.setattr("kinfold.validate._CHUNK_VALUES", 4 * DIMENSION)
    refused(tmp_path, "row 10", gallery_with(10, slice(None), value))


@pytest.mark.parametrize("metric", ["l2", "inner_product"])
@pytest.mark.parametrize("scale", [1e20, 1e30])
def test_products_that_leave_float32(tmp_path, metric, scale):
    """Nothing can be compared where every product is infinite: an error, not an empty index."""
    config = BuildConfig(metric=metric)
    refused(tmp_path, r"vectors: .*row \d+", good() * scale, config=config)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([*range(10), 4, 11], r"found 4 in rows 4 and 10$"),
        ([*"abcdefghij", "b", "l"], "found 'b' in rows 1 and 10"),
        ([5] * ROWS, "found 5 in rows 0 and 1, and 10 more duplicates"),
        ([*range(11), "eleven"], "found 'eleven'|row 11"),
        (["one", *range(11)], r"found \d+ \(int\) in row 1"),
        ([*range(11), None], "found None"),
        ([*"abcdefghijk", None], r"found None \(NoneType\) in row 11"),
        ([*range(11), 2**63], str(2**63)),
        ([*range(11), 2**70], str(2**70)),
        ([*range(11), 11.5], "dtype float64"),
        ([*range(11), np.nan], "dtype float64"),
        ([True, False] * 6, "dtype bool"),
        ([b"x"] * ROWS, r"dtype \|S1"),
        (range(11), r"expected 12 of them, one a vector, found shape \(11,\)"),
        (range(13), r"found shape \(13,\)"),
        ([], r"found shape \(0,\)"),
        (7, r"found shape \(\)"),
        ("abcdefghijkl", r"found shape \(\)"),
        ([[row] for row in range(12)], r"found shape \(12, 1\)"),
        ([*"abcdefghijk", "\ud800"], "row 11"),
    ],
    ids=str,
)
def test_ids(tmp_path, ids, message):
    refused(tmp_path, message, ids=ids)


def test_ids_that_are_fine(tmp_path):
    for name, ids in {
        "numbers": np.arange(ROWS, dtype=np.uint8)[::-1],
        "extremes": [*range(10), -(2**63), 2**63 - 1],
        "strings": np.array([f"ö {row}" for row in range(ROWS)]),
        "objects": np.array([f"{row}" * row for row in range(ROWS)], dtype=object),
    }.items():
        index = kinfold.build(good(), tmp_path / name, ids=ids)
        hits = index.search(good()[4], ROWS)
        assert sorted(hits.ids[0].tolist()) == sorted(np.asarray(ids).tolist())
        for row, item in enumerate(np.asarray(ids).tolist()):
            assert index.position(item) == row


def test_ids_are_checked_before_anything_is_written(tmp_path):
    refused(tmp_path, "found 1", ids=[1] * ROWS)
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"label": list(range(11))}, "expected 12 rows, one a vector, found 11"),
        (pa.table({"label": list(range(13))}), "expected 12 rows, one a vector, found 13"),
        ({"a": list(range(12)), "b": list(range(5))}, "payload: .*(5|b)"),
        ({"a": [object()] * 12}, "payload: cannot be kept as columns"),
        ([1, 2, 3], "payload: cannot be kept as columns"),
        (
            pa.table([list(range(12))] * 2, names=["a", "a"]),
            r"unique column names, found \['a', 'a'\]",
        ),
    ],
)
def test_payload(tmp_path, payload, message):
    refused(tmp_path, message, payload=payload)
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize("k_d", [ROWS, ROWS + 1, 500])
def test_a_k_d_that_was_asked_for_is_not_lowered(tmp_path, k_d):
    refused(
        tmp_path,
        f"k_d = {k_d} needs at least {k_d + 1} items, found 12; set k_d to at most 11",
        config=BuildConfig(k_d=k_d),
    )


def test_the_default_k_d_is_lowered(tmp_path):
    for rows in (2, 3, 4, 10):
        index = kinfold.build(good()[:rows], tmp_path / str(rows))
        config = index.manifest.models["default"].config
        assert config.k_d == rows - 1
        assert config.min_degree == min(3, rows - 1)
        hits = index.search(good()[0], rows)
        assert sorted(hits.positions[0].tolist()) == list(range(rows))
    enough = np.random.default_rng(0).normal(size=(16, 3))
    index = kinfold.build(enough, tmp_path / "16")
    assert index.manifest.models["default"].config.k_d == BuildConfig().k_d == 15


@pytest.mark.parametrize("threads", [0, -1])
def test_threads(tmp_path, threads):
    refused(tmp_path, f"at least 1, found {threads}", threads=threads)
    assert not (tmp_path / "index").exists()


def test_a_refused_build_leaves_the_live_index_alone(tmp_path):
    kinfold.build(good(), tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError):
        kinfold.build(gallery_with(7, 2, np.nan), tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
    assert len(kinfold.open(tmp_path)) == ROWS


@pytest.mark.parametrize(
    "dtype", [np.float16, np.float32, np.float64, np.int8, np.uint16, np.int64]
)
def test_numbers_of_any_type(tmp_path, dtype):
    vectors = np.round(np.abs(good()) * 20 + 1)
    index = kinfold.build(vectors.astype(dtype), tmp_path, config=BuildConfig(metric="l2"))
    np.testing.assert_array_equal(index.vectors, vectors)


def test_any_memory_layout_and_no_change_in_place(tmp_path):
    vectors = good().astype(np.float32)
    wide = np.zeros((2 * ROWS, 2 * DIMENSION), dtype=np.float32)
    wide[::2, ::2] = vectors
    np.save(tmp_path / "v.npy", vectors)
    frozen = vectors.copy()
    frozen.flags.writeable = False
    expected = kinfold.build(vectors.copy(), tmp_path / "expected").vectors
    for name, given in {
        "columns first": np.asfortranarray(vectors),
        "strided": wide[::2, ::2],
        "mapped": np.load(tmp_path / "v.npy", mmap_mode="r"),
        "frozen": frozen,
        "big endian": vectors.astype(">f4"),
        "list": vectors.tolist(),
    }.items():
        before = np.array(given, dtype=np.float32)
        built = kinfold.build(given, tmp_path / name)
        np.testing.assert_array_equal(built.vectors, expected)
        np.testing.assert_array_equal(np.asarray(given, dtype=np.float32), before)


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e-10, 1.0, 1e30, 3e37])
def test_rows_of_any_length_normalise(tmp_path, scale):
    vectors = good() * scale
    index = kinfold.build(vectors, tmp_path)
    exact = vectors / np.linalg.norm(vectors / scale, axis=1, keepdims=True) / scale
    tolerance = 1e-6 if scale > 1e-37 else 1e-3
    np.testing.assert_allclose(index.vectors, exact, atol=tolerance)
    np.testing.assert_allclose(np.linalg.norm(index.vectors.astype(float), axis=1), 1, atol=1e-6)


def test_rows_of_very_different_lengths_normalise():
    rows = np.float32([[3e30, 4e30, 0], [3e-30, 0, 4e-30], [0, 1e-30, 1e30], [0, 0, 1e-45]])
    expected = [[0.6, 0.8, 0], [0.6, 0, 0.8], [0, 0, 1], [0, 0, 1]]
    before = rows.copy()
    np.testing.assert_allclose(normalised(rows, "vectors", 0), expected, rtol=1e-6)
    np.testing.assert_array_equal(rows, before)


def test_normalised_says_which_row_has_no_direction():
    with pytest.raises(InputError, match="things: row 1002 is all zeros"):
        normalised(np.float32([[1, 0], [0, 1], [0, -0.0]]), "things", 1000)


def test_as_float32_keeps_what_is_float32_already():
    chunk = np.ones((2, 2), dtype=np.float32)
    assert as_float32(chunk, "things", 0) is chunk
    with pytest.raises(InputError, match=r"things: .*found inf in row 41, column 0"):
        as_float32(np.float32([[1, 1], [np.inf, np.nan]]), "things", 40)


def test_as_queries_shapes():
    for given, rows in ((np.ones(4), 1), (np.ones((1, 4)), 1), (np.ones((5, 4)), 5)):
        found = as_queries(given, 4, normalise=True)
        assert (found.shape, found.dtype) == ((rows, 4), np.float32)
        assert found.flags.c_contiguous
        np.testing.assert_allclose(found, 0.5)
        np.testing.assert_array_equal(as_queries(given, 4, normalise=False), 1)


@pytest.mark.parametrize(("rows", "width"), [(1, 1), (10, 3), (7, 100), (100, 1), (5, 0)])
def test_chunks_cover_every_row_once(monkeypatch, rows, width):
    monkeypatch.setattr("kinfold.validate._CHUNK_VALUES", 12)
    pieces = list(row_chunks(rows, width))
    covered = [row for piece in pieces for row in range(piece.start, piece.stop)]
    assert covered == list(range(rows))
    assert all((piece.stop - piece.start) * width <= max(12, width) for piece in pieces)


def test_ids_default_to_row_numbers():
    assert as_ids(None, 3).tolist() == [0, 1, 2]
