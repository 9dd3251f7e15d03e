"""Query vectors as they arrive: JSON lists, raw float32, or a ``.npy`` file.

Every function here gives (m, d) float32, C order, writable, its own memory: the form that the
kernels are warmed up for.
"""

from __future__ import annotations

import math
from io import BytesIO
from typing import NoReturn

import numpy as np

from kinfold.arrays import AnyArray, Float32s
from service.problems import INVALID_VECTORS, TOO_MANY, WRONG_DIMENSION, ProblemError

_NUMBERS = {float, int}
_FLOAT32_BYTES = 4
_NPY_DTYPES = {np.dtype("<f2"), np.dtype("<f4"), np.dtype("<f8")}


def from_list(value: object) -> AnyArray:
    """One vector of a JSON body, (1, d) float64; or of a MessagePack one, of float32's bytes."""
    if type(value) is bytes:
        return _from_bytes(value, "vector")[None, :]
    if type(value) is not list or not value:
        refuse("vector: expected a list of numbers", "a list of numbers", value)
    return from_lists([value], "vector")


def from_lists(value: object, name: str = "vectors") -> AnyArray:
    """Vectors of a JSON body, (m, d) float64; or of a MessagePack one, each of float32's bytes.

    All of them in one piece of bytes give (m d,), as the length of one is not known here.
    """
    if type(value) is bytes:
        return _from_bytes(value, name)
    if type(value) is list and value and type(value[0]) is bytes:
        return _from_pieces(value, name)
    if type(value) is not list or not value:
        refuse(f"{name}: expected a list of vectors", "a list of lists of numbers", value)
    for number, row in enumerate(value):
        where = name if name == "vector" else f"{name}[{number}]"
        if type(row) is not list or not row:
            refuse(f"{where}: expected a list of numbers", "a list of numbers", row)
        # By exact type: to Python true is a number, too.
        if not set(map(type, row)) <= _NUMBERS:
            place = next(i for i, item in enumerate(row) if type(item) not in _NUMBERS)
            refuse(f"{where}[{place}]: expected a number", "a number", row[place])
        if len(row) != len(value[0]):
            refuse(
                f"{where} has {len(row)} values, but {name}[0] has {len(value[0])}",
                len(value[0]),
                len(row),
            )
    return np.array(value, dtype=np.float64)


def _from_bytes(value: bytes, name: str) -> AnyArray:
    if not value or len(value) % _FLOAT32_BYTES:
        refuse(
            f"{name}: expected bytes of little-endian float32 values, found {len(value)} bytes",
            f"a multiple of {_FLOAT32_BYTES} bytes, at least one value",
            len(value),
        )
    return np.frombuffer(value, dtype="<f4")


def _from_pieces(value: list[object], name: str) -> AnyArray:
    """Vectors of one length, each a piece of bytes."""
    rows = []
    for number, row in enumerate(value):
        where = f"{name}[{number}]"
        if type(row) is not bytes:
            refuse(f"{where}: expected bytes, as {name}[0] is", "bytes", row)
        rows.append(_from_bytes(row, where))
        if len(rows[-1]) != len(rows[0]):
            refuse(
                f"{where} has {len(rows[-1])} values, but {name}[0] has {len(rows[0])}",
                len(rows[0]),
                len(rows[-1]),
            )
    return np.stack(rows)


def from_raw(body: bytearray | memoryview, dimension: int) -> AnyArray:
    """Vectors sent as nothing but little-endian float32 values, row after row."""
    width = _FLOAT32_BYTES * dimension
    if not body or len(body) % width:
        raise ProblemError(
            INVALID_VECTORS,
            f"expected a whole number of vectors of {width} bytes each ({dimension} float32 "
            f"values), found {len(body)} bytes",
            expected=f"a multiple of {width} bytes, at least one",
            found=len(body),
        )
    return np.frombuffer(body, dtype="<f4").reshape(-1, dimension)


def from_npy(body: bytearray) -> AnyArray:
    """Vectors sent as a ``.npy`` file: (d,) or (m, d), float16, float32 or float64.

    The header is held against the size of the body before anything is made of it; a pickle is
    never read.
    """
    shape, fortran, dtype, begin = _npy_header(body)
    if dtype not in _NPY_DTYPES:
        refuse(
            "the .npy body: expected little-endian float16, float32 or float64 values",
            "<f2, <f4 or <f8",
            dtype.str,
        )
    if len(shape) not in (1, 2) or not all(type(n) is int and n > 0 for n in shape):
        refuse(
            "the .npy body: expected a vector or a matrix with at least one row and column",
            "shape (d,) or (rows, d)",
            str(shape),
        )
    expected = math.prod(shape) * dtype.itemsize
    if len(body) - begin != expected:
        refuse(
            f"the .npy body: shape {shape} of {dtype} needs {expected} bytes after the header",
            expected,
            len(body) - begin,
        )
    values = np.frombuffer(body, dtype=dtype, offset=begin)
    return np.atleast_2d(values.reshape(shape, order="F" if fortran else "C"))


def _npy_header(body: bytearray) -> tuple[tuple[int, ...], bool, np.dtype[np.generic], int]:
    """Shape, order, dtype of a ``.npy`` file, and where its values begin."""
    # Only the header is copied: its length is written in the first twelve bytes.
    file = BytesIO(body[: 1 << 16])
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
        else:
            raise ValueError(f"format version {version}, expected 1.0 or 2.0")
    except Exception as error:
        # NumPy's parser fails in many ways on bytes made to mislead it; all mean the same here.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        refuse(f"the body is not a .npy file: {reason}", "a .npy file")
    return shape, fortran, dtype, file.tell()


def as_queries(values: AnyArray, dimension: int, most: int) -> Float32s:
    """Vectors as (m, d) float32 queries of a collection, refused if they do not fit it.

    Raises
    ------
    ProblemError
        More than `most` rows, a wrong dimension, or a value that is not finite as float32.
    """
    rows, found = values.shape
    if found != dimension:
        raise ProblemError(
            WRONG_DIMENSION,
            f"the collection has dimension {dimension}, the query has {found}",
            expected=dimension,
            found=found,
        )
    check_batch(rows, most)
    with np.errstate(over="ignore"):
        queries = np.array(values, dtype=np.float32, order="C")
    finite = np.isfinite(queries)
    if not finite.all():
        row, column = (int(place) for place in np.argwhere(~finite)[0])
        refuse(
            f"expected finite float32 values, found {values[row, column]} in query {row}, "
            f"value {column}",
            "finite float32 values",
            str(values[row, column]),
        )
    return queries


def check_batch(queries: int, most: int) -> None:
    """Refuse a batch of more than `most` queries."""
    if queries > most:
        raise ProblemError(
            TOO_MANY,
            f"expected at most {most} queries in one request, found {queries}; send them in parts",
            expected=most,
            found=queries,
        )


def refuse(detail: str, expected: object, found: object = None) -> NoReturn:
    """Raise the problem of vectors that cannot be read."""
    raise ProblemError(INVALID_VECTORS, detail, expected=expected, found=found)
