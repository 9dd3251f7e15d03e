"""Writing files into a folder: each one hashed on the way and synced at the end."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pyarrow as pa

from kinfold.arrays import AnyArray
from kinfold.errors import CorruptIndexError, InputError
from kinfold.index.files import HashingFile, disk_errors, write_npy_header
from kinfold.index.manifest import FileInfo

_COPY_BYTES = 1 << 22


class FileWriter:
    """Writes files of a version into a folder and keeps account of them.

    Attributes
    ----------
    path:
        The folder of the collection, which errors name.
    folder:
        Where the files are put.
    files:
        Size and hash of each file that is complete.
    """

    def __init__(self, path: Path, folder: Path) -> None:
        self.path = path
        self.folder = folder
        self.files: dict[str, FileInfo] = {}

    @contextmanager
    def file(self, name: str) -> Iterator[HashingFile]:
        """Open a new file of the folder; its size and hash are noted at the end."""
        target = self.folder / name
        with disk_errors(self.path, f"writing {name}"):
            target.parent.mkdir(parents=True, exist_ok=True)
            file = HashingFile(target)
            try:
                yield file
                size, sha256 = file.finish()
            except BaseException:
                with suppress(OSError):
                    file.close()
                raise
        self.files[name] = FileInfo(bytes=size, sha256=sha256)

    def array(self, name: str, values: AnyArray) -> None:
        """Write an array as ``.npy``, C order, little endian."""
        if values.dtype.hasobject:
            raise InputError(f"{name}: expected an array of numbers, found dtype {values.dtype}")
        values = np.ascontiguousarray(values)
        little = values.astype(values.dtype.newbyteorder("<"), copy=False)
        with self.file(name) as file:
            write_npy_header(file, little.dtype, little.shape)
            if little.size:
                file.write(little.reshape(-1).view(np.uint8))

    def link(self, name: str, source: Path, info: FileInfo) -> None:
        """Take over a file of another version of this collection, without a copy if possible.

        Both versions then name the same file, which neither ever changes. `info` goes with it, so
        that damage done before still shows.
        """
        target = self.folder / name
        with disk_errors(self.path, f"linking {name}"):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source, target)
            except OSError as error:
                if error.errno in {errno.ENOENT, errno.ENOSPC, errno.EDQUOT}:
                    raise
                # Not every file system has links, nor as many as are asked for.
                self.copy(name, source, info)
        self.files[name] = info

    def copy(self, name: str, source: Path, info: FileInfo) -> None:
        """Copy a file in, held against its size and hash on the way."""
        with self.file(name) as file, source.open("rb") as original:
            while piece := original.read(_COPY_BYTES):
                file.write(piece)
        if self.files[name] != info:
            raise CorruptIndexError(
                f"{source}: corrupt: expected sha256 {info.sha256}, found {self.files[name].sha256}"
            )

    def table(self, name: str, table: pa.Table) -> None:
        """Write a table as an uncompressed Arrow file, which maps without decoding."""
        with self.file(name) as file:
            sink = pa.PythonFile(file, mode="w")
            with pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table)
