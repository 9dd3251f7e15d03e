"""Bytes become vectors, or a refusal; never anything else, and never a pickle."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.problems import ProblemError
from service.vectors import as_queries, from_npy, from_raw


def npy(array: np.ndarray, **given: Any) -> bytearray:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **given)
    return bytearray(file.getvalue())


def with_header(text: str, values: bytes = b"", version: bytes = b"\x01\x00") -> bytearray:
    header = text.encode("latin-1")
    length = struct.pack("<H" if version == b"\x01\x00" else "<I", len(header))
    return bytearray(b"\x93NUMPY" + version + length + header + values)


def header(descr: object = "<f4", order: object = False, shape: object = (1, 2)) -> str:
    return f"{{'descr': {descr!r}, 'fortran_order': {order!r}, 'shape': {shape!r}}}"


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_reads_what_numpy_writes(dtype: str, order: str, version: tuple[int, int]) -> None:
    array = np.array(np.arange(12).reshape(4, 3) / 2, dtype=dtype, order=order)
    assert np.array_equal(from_npy(npy(array, version=version)), array)
    assert np.array_equal(from_npy(npy(array[0], version=version)), array[:1])


@pytest.mark.parametrize(
    "array",
    [
        np.ones((2, 3), dtype=">f4"), np.ones((2, 3), dtype=np.int32), np.ones((2, 3), dtype=bool),
        np.ones((2, 3), dtype=np.complex64), np.ones((1, 2, 3), dtype=np.float32),
        np.array(1.0), np.ones((0, 3)), np.ones((3, 0)), np.array(["a"]),
        np.zeros(2, dtype="f4,f4"),
    ],
)  # fmt: skip
def test_refuses_other_arrays(array: np.ndarray) -> None:
    with pytest.raises(ProblemError, match=r"\.npy body"):
        from_npy(npy(array))


def test_never_unpickles() -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return pytest.fail, ("a pickle was read",)

    with pytest.raises(ProblemError, match="little-endian float"):
        from_npy(npy(np.array([Bomb()], dtype=object), allow_pickle=True))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00",
        b"\x93NUMPY\x03\x00" + b"\0" * 100,
        b"\x93NUMPY\x01\x00\xff\xff{",
        b"PK\x03\x04",
        with_header(""),
        with_header("{" * 9000),
        with_header("(" * 9000),
        with_header("[" * 70000, version=b"\x02\x00"),
        with_header("__import__('os')"),
        with_header("1L"),
        with_header("{'descr': '<f4'}"),
        with_header(header(descr="nonsense"), b"\0" * 8),
        with_header(header(descr="|O"), b"\0" * 16),
        with_header(header(descr=("<f4", (2,))), b"\0" * 16),
        with_header(header(order="x"), b"\0" * 8),
        with_header(header(shape=[1, 2]), b"\0" * 8),
        with_header(header(shape=(-1, -2)), b"\0" * 8),
        with_header(header(shape=(1, 3)), b"\0" * 8),
        with_header(header(shape=(True, 2)), b"\0" * 8),
        with_header(header(shape=(2**62, 2**62))),
        with_header(header(shape=(10**9, 10**9))),
        with_header(header(), b"\0" * 7),
        with_header(header(), b"\0" * 9),
    ],
)
def test_refuses_broken_files(body: bytes) -> None:
    with pytest.raises(ProblemError) as caught:
        from_npy(bytearray(body))
    assert caught.value.kind.name == "invalid-vectors"


@given(st.binary(max_size=300), st.sampled_from([b"", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x02\x00"]))
def test_any_bytes(body: bytes, start: bytes) -> None:
    for read in (from_npy, lambda raw: from_raw(raw, 3)):
        try:
            values = read(bytearray(start + body))
        except ProblemError as error:
            assert error.kind.status == 422
        else:
            assert values.ndim == 2


@given(st.data())
def test_damaged_headers(data: st.DataObject) -> None:
    body = npy(np.ones((2, 3), dtype=np.float32))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, 127))] = data.draw(st.integers(0, 255))
    try:
        assert from_npy(body).size == 6
    except ProblemError as error:
        assert error.kind.name == "invalid-vectors"


@pytest.mark.parametrize("shift", range(4))
def test_queries_are_aligned_and_their_own(shift: int) -> None:
    """A crafted header may put the values anywhere; kernels need them where numbers belong."""
    values = np.arange(6, dtype="<f4").tobytes()
    body = with_header(header(shape=(2, 3)) + " " * shift, values)
    queries = as_queries(from_npy(body), 3, 10)
    assert queries.flags.aligned
    assert queries.flags.writeable
    assert queries.flags.c_contiguous
    assert queries.dtype == np.float32
    assert queries.tolist() == [[0, 1, 2], [3, 4, 5]]
    body[-4:] = b"\0\0\0\0"
    assert queries[1, 2] == 5


@pytest.mark.parametrize("size", [0, 1, 4, 11, 13, 25])
def test_raw_bytes_are_whole_vectors(size: int) -> None:
    with pytest.raises(ProblemError, match="12 bytes each") as caught:
        from_raw(bytearray(size), 3)
    assert caught.value.members["found"] == size
