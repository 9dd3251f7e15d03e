"""The door: what comes in is checked here, once, and every refusal names row and value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from kinfold.arrays import NOTHING, AnyArray, Float32s
from kinfold.errors import InputError

LARGEST_SQUARE = 1e36
"""Squared length of a vector at most: squared distances of two stay inside float32."""

_CHUNK_VALUES = 1 << 24
"""Values looked at in one go, so that checking a memory map never copies all of it."""


def row_chunks(rows: int, width: int) -> Iterator[slice]:
    """Slices over `rows` rows of `width` values, each of a bounded number of values."""
    step = max(1, _CHUNK_VALUES // max(width, 1))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def check_matrix(array: AnyArray, what: str) -> AnyArray:
    """Refuse what is not a numeric (rows, d) matrix; values are not looked at."""
    if array.dtype.kind not in "fiu":
        raise InputError(
            f"{what}: expected numbers (float16, float32, float64 or integers), "
            f"found dtype {array.dtype}"
        )
    if array.ndim != 2:
        raise InputError(
            f"{what}: expected a matrix of shape (rows, dimension), found shape {array.shape}"
        )
    if array.shape[1] == 0:
        raise InputError(f"{what}: expected vectors of at least one value, found dimension 0")
    return array


def as_float32(chunk: AnyArray, what: str, first_row: int) -> Float32s:
    """Convert rows to float32, refusing NaN and infinity (overflow of float32 included)."""
    with np.errstate(over="ignore"):
        converted: Float32s = np.ascontiguousarray(chunk, dtype=np.float32)
    if not np.isfinite(converted).all():
        row, column = (int(v) for v in np.argwhere(~np.isfinite(converted))[0])
        raise InputError(
            f"{what}: expected finite float32 values, found {chunk[row, column]} "
            f"in row {first_row + row}, column {column}"
        )
    return converted


def normalised(chunk: Float32s, what: str, first_row: int) -> Float32s:
    """Scale rows to length one; a zero row has no direction and is refused by its number."""
    largest = np.abs(chunk).max(axis=1, keepdims=True)
    if not largest.all():
        row = int(np.argmin(largest[:, 0]))
        raise InputError(
            f"{what}: row {first_row + row} is all zeros and has no direction, so cosine "
            "similarity is undefined for it; remove the row or use metric = 'l2'"
        )
    # Dividing by the largest value first keeps the squares inside float32's range.
    scaled = chunk / largest
    scaled /= np.sqrt(np.einsum("ij,ij->i", scaled, scaled, dtype=np.float64))[:, None]
    result: Float32s = scaled
    return result


def check_lengths(chunk: Float32s, what: str, first_row: int) -> None:
    """Refuse rows so long that the product of two of them overflows float32."""
    squares = np.einsum("ij,ij->i", chunk, chunk, dtype=np.float64)
    if squares.size and squares.max() > LARGEST_SQUARE:
        row = int(np.argmax(squares))
        raise InputError(
            f"{what}: row {first_row + row} has length {squares[row] ** 0.5:.3g}, expected at most "
            f"{LARGEST_SQUARE**0.5:.0e}; scale the vectors down, or use metric = 'cosine'"
        )


def _as_array(values: object, what: str) -> AnyArray:
    """An array of whatever was given; ragged lists are refused."""
    try:
        return np.asanyarray(values)
    except ValueError as error:
        raise InputError(
            f"{what}: expected a matrix of shape (rows, dimension), found lists of unequal "
            f"length: {error}"
        ) from None


def as_gallery(vectors: AnyArray, what: str = "vectors") -> AnyArray:
    """Check the shape and size of a gallery; its values are checked as they are read."""
    array = check_matrix(_as_array(vectors, what), what)
    if array.shape[0] == 0:
        raise InputError(f"{what}: expected at least 2 rows, found none (shape {array.shape})")
    if array.shape[0] == 1:
        raise InputError(
            f"{what}: expected at least 2 rows, found 1; a gallery of one item has no neighbours"
        )
    if array.shape[0] >= int(NOTHING):
        raise InputError(f"{what}: expected fewer than {int(NOTHING)} rows, found {array.shape[0]}")
    return array


def as_queries(queries: AnyArray | Sequence[float], dimension: int, normalise: bool) -> Float32s:
    """Check queries, (m, d) or one vector (d,), against the index's dimension.

    Returns (m, d) float32, C order; rows of length one when `normalise`.
    """
    array = _as_array(queries, "queries")
    if array.ndim == 1 and array.dtype.kind in "fiu":
        array = array[None, :]
    check_matrix(array, "queries")
    if array.shape[1] != dimension:
        raise InputError(f"index has dimension {dimension}, the query has {array.shape[1]}")
    converted = as_float32(array, "queries", 0)
    if normalise and converted.shape[0]:
        return normalised(converted, "queries", 0)
    check_lengths(converted, "queries", 0)
    return converted


def as_ids(ids: Sequence[int] | Sequence[str] | AnyArray | None, rows: int) -> AnyArray:
    """Check the gallery's ids: one a row, unique, all integers (int64) or all strings.

    None means the row numbers. Returns int64 or object-free ``<U`` strings, (rows,).
    """
    if ids is None:
        return np.arange(rows, dtype=np.int64)
    array = _ids_array(ids)
    if array.shape != (rows,):
        raise InputError(f"ids: expected {rows} of them, one a vector, found shape {array.shape}")
    if array.dtype.kind in "iu":
        if array.dtype == np.uint64 and rows and int(array.max()) > np.iinfo(np.int64).max:
            raise InputError(f"ids: expected 64-bit signed integers, found {int(array.max())}")
        array = array.astype(np.int64)
    elif array.dtype.kind == "O":
        for row, value in enumerate(array):
            if not isinstance(value, str):
                raise InputError(
                    f"ids: expected integers or strings, all of one kind, found {value!r} "
                    f"({type(value).__name__}) in row {row}"
                )
        array = array.astype(np.str_)
    elif array.dtype.kind != "U":
        raise InputError(f"ids: expected integers or strings, found dtype {array.dtype}")
    if array.dtype.kind == "U":
        _refuse_surrogates(array)
    _refuse_duplicates(array)
    return array


def _refuse_surrogates(ids: AnyArray) -> None:
    """Refuse strings that are no text: halves of characters cannot be stored as UTF-8."""
    for row, value in enumerate(ids.tolist()):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InputError(f"ids: expected text, found {value!r} in row {row}") from None


def _ids_array(ids: object) -> AnyArray:
    """Ids as an array; lists are looked at first: NumPy would make 1 and "1" two equal strings."""
    if not isinstance(ids, list | tuple):
        return np.asarray(ids)
    for row, value in enumerate(ids):
        if value is None or isinstance(value, str) != isinstance(ids[0], str):
            raise InputError(
                f"ids: expected integers or strings, all of one kind, found {value!r} "
                f"({type(value).__name__}) in row {row}"
            )
        if isinstance(value, str) and value.endswith("\0"):
            raise InputError(f"ids: expected text that does not end in NUL, found {value!r}")
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise InputError(f"ids: expected 64-bit signed integers, found {value} in row {row}")
    return np.asarray(ids)


def _refuse_duplicates(ids: AnyArray) -> None:
    order = np.argsort(ids, kind="stable")
    same = np.flatnonzero(ids[order[1:]] == ids[order[:-1]])
    if same.size:
        first, second = int(order[same[0]]), int(order[same[0] + 1])
        raise InputError(
            f"ids: expected unique ids, found {ids[first].item()!r} in rows {first} and {second}"
            + (f", and {same.size - 1} more duplicates" if same.size > 1 else "")
        )
