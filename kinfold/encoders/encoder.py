"""Encoder: a network that is open, and all that is done around it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

from kinfold.arrays import Float32s
from kinfold.encoders.pooling import pool
from kinfold.encoders.prepare import PREPARATION, input_shape, least_side, prepare
from kinfold.encoders.spec import EncoderSpec
from kinfold.errors import InputError
from kinfold.pictures.shapes import THUMBNAIL_SIDE

_MOST_BYTES = 4 << 30
_ONLY_FATAL = 4


class Encoder:
    """Makes vectors of pictures. Any number of threads may use one.

    Attributes
    ----------
    spec:
        How pictures are prepared, and what becomes of the output.
    model:
        The ONNX file.
    dimension:
        d, the length of a vector.
    least:
        The smallest side that a picture is needed at, here and for its thumbnail; see
        `kinfold.pictures.decode`. Gallery and queries are decoded alike.
    whitening:
        (d + 1, d') float32, or None: what is to become of the vectors of gallery and queries
        alike, which `encode` gives as they are; see `kinfold.index.extras.Projection`.
    key:
        Equal where the same picture gives the same vector.
    """

    def __init__(self, spec: EncoderSpec, model: Path, session: onnxruntime.InferenceSession):
        self.spec = spec
        self.model = model
        self._session = session
        self._input = _input(session, spec, model)
        self._output = _output(session, spec, model)
        self._one_by_one = self._input.shape[0] == 1
        probe = prepare(Image.new("RGB", (8, 8)), spec)
        self.dimension = int(self._run(probe[None]).shape[1])
        self.whitening: Float32s | None = None
        self.least = max(least_side(spec), THUMBNAIL_SIDE)
        self.key = _key(spec, model)

    def prepare(self, image: Image.Image) -> Float32s:
        """The numbers that a picture goes in as."""
        return prepare(image, self.spec)

    def encode(self, images: Sequence[Image.Image]) -> Float32s:
        """(n, d) float32 vectors of RGB pictures, of length one."""
        if not images:
            return np.empty((0, self.dimension), dtype=np.float32)
        batch = np.empty((len(images), *input_shape(self.spec)), dtype=np.float32)
        for image, room in zip(images, batch, strict=True):
            prepare(image, self.spec, room)
        return self.encode_prepared(batch)

    def encode_prepared(self, batch: Float32s) -> Float32s:
        """(n, d) float32 vectors, of length one, of pictures that were prepared, (n, 3, h, w).

        Raises
        ------
        InputError
            The network gave a vector that is not finite, or has no direction.
        """
        vectors = self._run(batch).astype(np.float32)
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
        if not (np.isfinite(lengths) & (lengths > 0)).all():
            raise InputError(
                f"{self.spec.name}: expected finite vectors of some length, found one that is "
                "not; check mean, std and output of the encoder"
            )
        result: Float32s = (vectors / lengths).astype(np.float32)
        return result

    def _run(self, batch: Float32s) -> Float32s:
        if self._one_by_one and len(batch) > 1:
            return np.concatenate([self._run(one[None]) for one in batch])
        values = batch.astype(np.float16) if self._input.type == "tensor(float16)" else batch
        try:
            found = self._session.run([self._output], {self._input.name: values})[0]
        except Exception as error:
            # onnxruntime has exceptions of its own, of no common kind.
            raise InputError(
                f"{self.model}: the network fails on a picture of "
                f"{' × '.join(map(str, batch.shape[1:]))}: {_line(error)}; check size and layout"
            ) from None
        expected = 2 if self.spec.pooling == "none" else 4
        if found.ndim != expected:
            what = "vectors (n, d)" if expected == 2 else "a feature map (n, d, h, w)"
            raise InputError(
                f"{self.model}: output {self._output!r}: expected {what} for pooling = "
                f"{self.spec.pooling!r}, found shape {found.shape}"
            )
        return pool(found.astype(np.float32, copy=False), self.spec)


def open_encoder(spec: EncoderSpec, model: Path, *, threads: int | None = None) -> Encoder:
    """Open a network.

    Parameters
    ----------
    threads:
        Cores that one picture, or one batch, is computed on; None: all.

    Raises
    ------
    InputError
        The file is missing or no ONNX file, has not the input and output that the spec names, or
        fails on a picture.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    options.log_severity_level = _ONLY_FATAL
    # Threads that wait for more by spinning take the cores of those that decode.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        if model.stat().st_size > _MOST_BYTES:
            raise InputError(f"{model}: expected an ONNX file of at most {_MOST_BYTES >> 30} GB")
        session = onnxruntime.InferenceSession(
            str(model), options, providers=["CPUExecutionProvider"]
        )
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{model}: expected an ONNX file, found nothing of this name") from None
    except Exception as error:
        raise InputError(f"{model}: expected an ONNX file: {_line(error)}") from None
    return Encoder(spec, model, session)


def _input(session: onnxruntime.InferenceSession, spec: EncoderSpec, model: Path) -> Any:
    found = {one.name: one for one in session.get_inputs()}
    if spec.input is None and len(found) == 1:
        return next(iter(found.values()))
    if spec.input not in found:
        raise InputError(
            f"{model}: input: expected one of {', '.join(found)}, found {spec.input or 'none'}"
        )
    return found[spec.input]


def _output(session: onnxruntime.InferenceSession, spec: EncoderSpec, model: Path) -> str:
    found = [one.name for one in session.get_outputs()]
    if spec.output is None:
        return str(found[0])
    if spec.output not in found:
        known = ", ".join(found)
        raise InputError(f"{model}: output: expected one of {known}, found {spec.output}")
    return spec.output


def _key(spec: EncoderSpec, model: Path) -> str:
    values = spec.model_dump_json(exclude={"file", "name", "whitening"})
    found = hashlib.sha256(f"{PREPARATION} {values} ".encode())
    with model.open("rb") as file:
        while piece := file.read(1 << 22):
            found.update(piece)
    return found.hexdigest()


def _line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
