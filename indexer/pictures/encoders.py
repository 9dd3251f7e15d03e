"""Encoders for a build: whole in one file, and with the whitening that came with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from indexer.sources.numpy_files import read_arrays
from kinfold.arrays import AnyArray, Float32s
from kinfold.encoders import Encoder, load_encoder
from kinfold.errors import InputError
from kinfold.index.extras import EncoderFile
from kinfold.index.files import hash_file


def encoder_for_build(which: str | Path | None = None, *, threads: int | None = None) -> Encoder:
    """Open an encoder as `kinfold.encoders.load_encoder` does, and read its whitening.

    Raises
    ------
    InputError
        No such encoder; it keeps its weights in other files; or its whitening is no ``.npz`` of
        ``mean`` (d,) and ``matrix`` (d', d), or has values that are not finite.
    """
    encoder = load_encoder(which, threads=threads)
    _check_whole(encoder.model)
    if which is not None and encoder.spec.whitening is not None:
        path = Path(which).parent / encoder.spec.whitening
        encoder.whitening = read_whitening(path, encoder.dimension)
    return encoder


def encoder_file(encoder: Encoder) -> EncoderFile:
    """The encoder as an index keeps it."""
    spec = encoder.spec.model_dump(mode="json", exclude={"file", "whitening"})
    return EncoderFile(encoder.model, hash_file(encoder.model), spec)


def _check_whole(path: Path) -> None:
    """Refuse a network with weights in files beside it: the index keeps one file alone."""
    graph = onnx.load(path, load_external_data=False).graph
    if any(one.data_location == onnx.TensorProto.EXTERNAL for one in graph.initializer):
        raise InputError(
            f"{path}: expected a network in one file, found one that keeps weights in files beside "
            "it; export it with external_data=False, or onnx.save it without external data"
        )


def read_whitening(path: Path, dimension: int) -> Float32s:
    """(d + 1, d') float32: vectors become [x, 1] times it, which is matrix · (x - mean).

    Parameters
    ----------
    dimension:
        d, of the encoder.
    """
    arrays = read_arrays(path, ("mean", "matrix"))
    mean, matrix = (_numbers(path, name, arrays[name]) for name in ("mean", "matrix"))
    mean = mean.reshape(-1)
    if mean.shape != (dimension,) or matrix.ndim != 2 or matrix.shape[1] != dimension:
        raise InputError(
            f"{path}: expected mean ({dimension},) and matrix (d', {dimension}), as the encoder "
            f"has vectors, found {mean.shape} and {matrix.shape}"
        )
    if not (np.isfinite(mean).all() and np.isfinite(matrix).all()):
        raise InputError(f"{path}: expected finite values, found some that are not")
    whitening: Float32s = np.vstack([matrix.T, -(matrix @ mean)[None]]).astype(np.float32)
    return whitening


def _numbers(path: Path, name: str, values: AnyArray) -> AnyArray:
    if values.dtype.kind not in "fiu":
        raise InputError(f"{path}: array {name!r}: expected numbers, found dtype {values.dtype}")
    return values.astype(np.float64)
