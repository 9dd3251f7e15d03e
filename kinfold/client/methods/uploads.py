"""Uploads: data for a build."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kinfold.client.answers import Upload
from kinfold.client.calls import Call, FileBody, Steps, Work
from kinfold.client.method import Caller, answer_of, method
from kinfold.errors import InputError

MEDIA_TYPES = {
    ".npy": "application/x-npy",
    ".parquet": "application/vnd.apache.parquet",
    ".arrow": "application/vnd.apache.arrow.file",
    ".feather": "application/vnd.apache.arrow.file",
}
"""What an upload may be, by the ending of its name."""


class Uploads:
    """Data on its way in."""

    @method
    def upload(self: Caller, data: str | os.PathLike[str] | npt.NDArray[Any]) -> Steps[Upload]:
        """Send the vectors of a build: an array (n, d), or a file .npy, .parquet or .arrow.

        Files are sent as they are read; an array goes through a temporary file.
        """
        if isinstance(data, np.ndarray):
            path = yield Work(lambda: _written(data))
            try:
                return (yield from _upload(self, path))
            finally:
                path.unlink(missing_ok=True)
        return (yield from _upload(self, Path(data)))


def _upload(client: Caller, path: Path) -> Steps[Upload]:
    media_type = MEDIA_TYPES.get(path.suffix.lower())
    if media_type is None:
        raise InputError(
            f"{path}: expected a file that ends in {', '.join(MEDIA_TYPES)}, or an array"
        )
    body = yield Work(lambda: file_body(path))
    call = Call("PUT", "/v1/uploads", headers={"Content-Type": media_type}, body=body, endless=True)
    # One that was stored without our knowing is thrown away by the service in time.
    return (yield from answer_of(client, call, Upload))


def _written(vectors: npt.NDArray[Any]) -> Path:
    """An array as a temporary file, which the caller removes."""
    if vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise InputError(
            f"vectors: expected floating point numbers (n, d), found {vectors.dtype} of the shape "
            f"{vectors.shape}"
        )
    handle, name = tempfile.mkstemp(".npy", "kinfold-")
    try:
        with os.fdopen(handle, "wb") as file:
            np.save(file, vectors, allow_pickle=False)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def file_body(path: str | os.PathLike[str]) -> FileBody:
    """A file as a body; raises `InputError` if it cannot be read."""
    found = Path(path)
    try:
        with found.open("rb") as file:
            return FileBody(found, os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise InputError(f"{found}: cannot be read: {error.strerror or error}") from None
