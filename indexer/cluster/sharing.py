"""Arrays that all blocks read: in Ray's object store, or in files that every machine sees."""

from __future__ import annotations

import hashlib
import mmap
import os
import platform
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kinfold.arrays import AnyArray
from kinfold.blocks import Arrays
from kinfold.errors import InputError

_PROBE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class MappedFile:
    """Where an array lies in a file, and the hash of its first and last bytes."""

    path: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    probe: str

    def opened(self) -> AnyArray:
        """Map it here; raises `InputError` where this machine sees another file or none."""
        if _probe_of_file(self.path, self.offset, self._bytes) != self.probe:
            raise InputError(
                f"{self.path}: not on {platform.node()} what it is where the build runs; "
                "keep the data folder on storage that all machines mount at the same path, or let "
                "vectors go through Ray's object store (without --ray-shared)"
            )
        mapped = np.memmap(
            self.path, dtype=np.dtype(self.dtype), mode="r", offset=self.offset, shape=self.shape
        )
        return np.asarray(mapped).view(np.ndarray)

    @property
    def _bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


def mapped_file(array: AnyArray) -> MappedFile | None:
    """The file behind an array; None for memory, and for a file that has been replaced since."""
    root: Any = array
    while isinstance(root, np.ndarray) and not isinstance(root.base, mmap.mmap):
        root = root.base
    path = getattr(root, "filename", None)
    if not array.flags.c_contiguous or array.size == 0 or not isinstance(path, os.PathLike):
        return None
    begin = array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    values = array.reshape(-1).view(np.uint8)
    probe = _probe(values[:_PROBE_BYTES].tobytes(), values[-_PROBE_BYTES:].tobytes())
    offset = int(root.offset) + begin
    place = os.path.abspath(path)  # noqa: PTH100 - links are kept, as other machines have them
    if _probe_of_file(place, offset, array.nbytes) != probe:
        return None
    return MappedFile(place, array.dtype.str, array.shape, offset, probe)


def _probe_of_file(path: str, offset: int, length: int) -> str | None:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            size = min(length, _PROBE_BYTES)
            file.seek(offset)
            first = file.read(size)
            file.seek(offset + length - size)
            return _probe(first, file.read(size))
    except OSError:
        return None


def _probe(first: bytes, last: bytes) -> str:
    return hashlib.sha256(first + b"|" + last).hexdigest()


class SharedArrays:
    """Puts each array once, and forgets it when nobody has it any more.

    An array that can be written to may have changed between two passes: it is put for each. One
    that cannot, as every memory map of a build, is put once for all of them.

    Parameters
    ----------
    put:
        Takes an array, gives what is sent to workers instead.
    files:
        Every machine sees the same files: what is mapped from one is not put.
    """

    def __init__(self, put: Callable[[AnyArray], Any], *, files: bool) -> None:
        self._put = put
        self._files = files
        self._known: dict[int, tuple[weakref.ref[AnyArray], Any]] = {}

    def given(self, arrays: Arrays) -> dict[str, Any]:
        """What stands for the arrays in a task."""
        return {name: self._of(array) for name, array in arrays.items()}

    def bytes_to_put(self, arrays: Arrays) -> int:
        """How much of them goes through the object store, each counted once."""
        each: Mapping[int, AnyArray] = {id(array): array for array in arrays.values()}
        return sum(array.nbytes for array in each.values() if self._file(array) is None)

    def _of(self, array: AnyArray) -> Any:
        if array.flags.writeable:
            return self._put(np.asarray(array, order="C"))
        key = id(array)
        if key not in self._known:
            given = self._file(array) or self._put(np.asarray(array, order="C"))
            # The callback frees the object, and the number, which another array may get then.
            self._known[key] = weakref.ref(array, lambda _: self._known.pop(key, None)), given
        return self._known[key][1]

    def _file(self, array: AnyArray) -> MappedFile | None:
        return mapped_file(array) if self._files else None
