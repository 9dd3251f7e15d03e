"""NumPy files: ``.npy`` is mapped, ``.npz`` is read; neither may hold Python objects.

Headers are held against the sizes of what follows them before anything is read, so that a file
that lies makes nobody allocate what it claims.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from indexer.sources.reading import check_memory, reading
from indexer.sources.source import DEFAULT_ID, Columns, Source, assemble
from kinfold.arrays import AnyArray
from kinfold.errors import InputError
from kinfold.validate import check_matrix

_ENDING = ".npy"
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@dataclass(frozen=True, slots=True)
class _Head:
    """What the header of an array says, and the bytes that it takes itself."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    offset: int

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_npy(path: Path, wanted: Columns) -> Source:
    """Map a ``.npy`` file of shape (n, d)."""
    for option, name in (("vectors", wanted.vectors), ("id", wanted.ids)):
        if name is not None:
            raise InputError(
                f"{path}: a .npy file has no named columns, so there is no {option} column "
                f"{name!r}; use .npz or .parquet for ids and payload"
            )
    with reading(path, "a .npy"), path.open("rb") as file:
        head = _head(str(path), file, path.stat().st_size)
        _refuse_objects(str(path), head)
        vectors = _mapped(path, head)
    return assemble(str(path), vectors, {}, wanted)


def _mapped(path: Path, head: _Head) -> AnyArray:
    if head.bytes == 0:
        return np.empty(head.shape, dtype=head.dtype)
    return np.memmap(path, head.dtype, "r", head.offset, head.shape, "F" if head.fortran else "C")


def read_npz(path: Path, wanted: Columns) -> Source:
    """Read an ``.npz`` file: one 2-d array of vectors, and 1-d arrays of the same length."""
    with reading(path, "an .npz"), zipfile.ZipFile(path) as archive:
        members = {
            member.filename.removesuffix(_ENDING): member
            for member in archive.infolist()
            if member.filename.endswith(_ENDING)
        }
        heads = {name: _member_head(path, archive, member) for name, member in members.items()}
        name = wanted.vectors or _only_matrix(path, heads)
        if name not in heads:
            raise InputError(f"{path}: no array {name!r}; it has: {_listed(heads)}")
        rows = heads[name].shape[0] if heads[name].shape else 0
        others = _others(path, heads, name, rows, wanted)
        check_memory(path, sum(heads[other].bytes for other in (name, *others)))
        # The vectors first: without a dimension they may claim any number of rows.
        vectors = check_matrix(_member(path, archive, members[name], heads[name]), str(path))
        columns = {other: _member(path, archive, members[other], heads[other]) for other in others}
    return assemble(str(path), vectors, columns, wanted)


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, AnyArray]:
    """Named arrays of an ``.npz`` file; raises `InputError` where one is missing or damaged."""
    with reading(path, "an .npz"), zipfile.ZipFile(path) as archive:
        members = {member.filename: member for member in archive.infolist()}
        found = {}
        for name in names:
            member = members.get(name + _ENDING)
            if member is None:
                raise InputError(
                    f"{path}: expected the arrays {' and '.join(names)}, found no {name}"
                )
            head = _member_head(path, archive, member)
            check_memory(path, head.bytes)
            found[name] = _member(path, archive, member, head)
    return found


def _others(
    path: Path, heads: dict[str, _Head], vectors: str, rows: int, wanted: Columns
) -> list[str]:
    """The arrays of one value a row, after refusing those that were asked for and are none."""
    for asked in (wanted.ids or DEFAULT_ID, *(wanted.payload or ())):
        if asked in heads and asked != vectors and heads[asked].shape != (rows,):
            raise InputError(
                f"{path}: array {asked!r}: expected shape ({rows},), one value a vector, "
                f"found {heads[asked].shape}"
            )
    return [
        name
        for name, head in heads.items()
        if name != vectors
        and head.shape == (rows,)
        and not (head.dtype.hasobject and wanted.leaves_out(name))
    ]


def _member_head(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> _Head:
    with archive.open(member) as file:
        return _head(f"{path}: array {member.filename!r}", file, member.file_size)


def _member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, head: _Head) -> AnyArray:
    _refuse_objects(f"{path}: array {member.filename.removesuffix(_ENDING)!r}", head)
    with archive.open(member) as file:
        array: AnyArray = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _head(what: str, file: IO[bytes], size: int) -> _Head:
    """Read the header of an array in a file, or member, of `size` bytes."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"NumPy's format {version[0]}.{version[1]} is not known here")
    shape, fortran, dtype = _HEADERS[version](file)
    head = _Head(shape, fortran, dtype, file.tell())
    if any(length < 0 for length in shape):
        raise ValueError(f"no array has the shape {shape}")
    if not dtype.hasobject and size != head.offset + head.bytes:
        raise InputError(
            f"{what}: truncated or damaged: expected {head.offset + head.bytes} bytes for "
            f"{dtype} of shape {shape}, found {size}"
        )
    return head


def _refuse_objects(what: str, head: _Head) -> None:
    if head.dtype.hasobject:
        raise InputError(
            f"{what}: expected plain numbers or strings, found Python objects, which are never "
            f"unpickled (dtype {head.dtype}); save it with a plain dtype, as by .astype(str)"
        )


def _only_matrix(path: Path, heads: dict[str, _Head]) -> str:
    matrices = [name for name, head in heads.items() if len(head.shape) == 2]
    if len(matrices) == 1:
        return matrices[0]
    if "vectors" in matrices:
        return "vectors"
    raise InputError(
        f"{path}: expected one 2-d array of vectors, found {len(matrices)}; "
        f"name one of: {_listed(heads)}"
    )


def _listed(heads: dict[str, _Head]) -> str:
    return ", ".join(f"{name} {head.shape}" for name, head in heads.items()) or "nothing"
