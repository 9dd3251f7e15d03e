"""Whitening that came with an encoder: a mean and a matrix, in an ``.npz`` file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kinfold.arrays import AnyArray, Float32s
from kinfold.errors import InputError

_MOST_BYTES = 1 << 30


def read_whitening(path: Path, dimension: int) -> Float32s:
    """(d + 1, d') float32: vectors become [x, 1] times it, which is matrix · (x - mean).

    Parameters
    ----------
    dimension:
        d, of the encoder.

    Raises
    ------
    InputError
        The file is no ``.npz`` with ``mean`` (d,) and ``matrix`` (d', d), or has values that are
        not finite.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path}: expected at most {_MOST_BYTES >> 30} GB")
        with np.load(path, allow_pickle=False) as arrays:
            mean, matrix = (_numbers(arrays, name) for name in ("mean", "matrix"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except InputError:
        raise
    except Exception as error:
        # NumPy's readers answer damage with nearly anything.
        raise InputError(
            f"{path}: expected an .npz file of mean and matrix, found none: {error}"
        ) from None
    if mean.shape != (dimension,) or matrix.ndim != 2 or matrix.shape[1] != dimension:
        raise InputError(
            f"{path}: expected mean ({dimension},) and matrix (d', {dimension}), as the encoder "
            f"has vectors, found {mean.shape} and {matrix.shape}"
        )
    if not (np.isfinite(mean).all() and np.isfinite(matrix).all()):
        raise InputError(f"{path}: expected finite values, found some that are not")
    whitening: Float32s = np.vstack([matrix.T, -(matrix @ mean)[None]]).astype(np.float32)
    return whitening


def _numbers(arrays: AnyArray, name: str) -> AnyArray:
    if name not in arrays:
        raise InputError(f"whitening: expected the arrays mean and matrix, found no {name}")
    values: AnyArray = np.squeeze(arrays[name]) if name == "mean" else arrays[name]
    if values.dtype.kind not in "fiu":
        raise InputError(f"whitening: {name}: expected numbers, found dtype {values.dtype}")
    return values.astype(np.float64)
