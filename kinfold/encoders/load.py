"""Finding an encoder by its name or its description."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from kinfold.encoders.encoder import Encoder, open_encoder
from kinfold.encoders.lite0 import NAME, SPEC, WEIGHTS_SHA256, make_onnx, weights_file
from kinfold.encoders.spec import read_spec
from kinfold.errors import InputError, StorageError

DEFAULT_ENCODER = NAME
_MADE = "1"
"""Goes up when the same weights would give another file."""


def load_encoder(
    which: str | Path | None = None, *, threads: int | None = None, cache: Path | None = None
) -> Encoder:
    """Open an encoder.

    Parameters
    ----------
    which:
        ``efficientnet-lite0``, or the path of a TOML file that describes one; None: the default.
    threads:
        See `open_encoder`.
    cache:
        See `default_encoder_file`.

    Raises
    ------
    InputError
        No encoder has this name, or its description or network cannot be used.
    """
    if which is None or str(which) == DEFAULT_ENCODER:
        return open_encoder(SPEC, default_encoder_file(cache), threads=threads)
    path = Path(which)
    if path.suffix.lower() != ".toml":
        raise InputError(
            f"encoder: expected {DEFAULT_ENCODER}, or a .toml file that describes one, "
            f"found {str(which)!r}"
        )
    spec = read_spec(path)
    return open_encoder(spec, path.parent / str(spec.file), threads=threads)


def default_encoder_file(cache: Path | None = None) -> Path:
    """The ONNX file of the default encoder, made of its package's weights when it is not there.

    Parameters
    ----------
    cache:
        The folder that it is kept in. None: KINFOLD_ENCODERS, else ``kinfold`` in XDG_CACHE_HOME or
        in ``~/.cache``.
    """
    folder = cache_folder() if cache is None else cache
    path = folder / f"{NAME}-{WEIGHTS_SHA256[:8]}-{_MADE}.onnx"
    mark = path.with_suffix(".sha256")
    if _is_whole(path, mark):
        return path
    content = make_onnx(weights_file())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _put(path, content)
        _put(mark, hashlib.sha256(content).hexdigest().encode())
    except OSError as error:
        raise StorageError(
            f"{folder}: the default encoder cannot be kept there: {error.strerror}; name another "
            "folder with KINFOLD_ENCODERS"
        ) from None
    return path


def cache_folder() -> Path:
    """Where files are kept that can be made again."""
    if named := os.environ.get("KINFOLD_ENCODERS"):
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "kinfold"


def _is_whole(path: Path, mark: Path) -> bool:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        return mark.read_text(encoding="ascii") == found
    except (OSError, UnicodeDecodeError):
        return False


def _put(path: Path, content: bytes) -> None:
    """Write a file beside its place, and then into it: others see it whole or not at all."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with open(handle, "wb") as file:  # noqa: PTH123 - of a handle
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
