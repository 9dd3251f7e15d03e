"""Passes whose results lie in files, block by block: what a killed build goes on from.

<folder>/<pass>/
    <array>.npy    room for a header, then what each block gave, one behind the other
    log            a line a block, written after its data: how far each file goes, and its checksum
    done           written last: every array's dtype and shape

A line of the log is believed when the data has the checksum that it names. So nothing is ever
synced, which would take longer than much of the work: what a crash of the machine loses is found
out, and done again.

Nothing of a pass is written as long as it has taken no time worth mentioning: most passes over a
small gallery never are.
"""

from __future__ import annotations

import os
import re
import shutil
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kinfold.arrays import AnyArray, frozen
from kinfold.blocks import Arrays, Block, BlockRunner, BlockTask, Growing
from kinfold.errors import CorruptIndexError
from kinfold.index.files import disk_errors, map_npy, write_npy_header
from kinfold.progress import Progress, ProgressCallback

WORTH_SECONDS = 0.5
"""Of a pass, from which on what it gave is worth keeping."""

_LOG, _DONE = "log", "done"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_HEADER_BYTES = 128
_MOST_BYTES = 1 << 26
_READ_BYTES = 1 << 22


class _Part(BaseModel):
    """What one block added to one file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: str = Field(pattern=r"^[<|][biuf][0-9]{1,2}$")
    tail: list[int] = Field(max_length=4)
    rows: int = Field(ge=0)
    crc: int = Field(ge=0, lt=1 << 32)

    @property
    def bytes(self) -> int:
        """Of the rows that were added."""
        return int(np.dtype(self.dtype).itemsize * np.prod([self.rows, *self.tail], dtype=object))


class _Line(BaseModel):
    """One block that is done."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    end: int = Field(ge=0)
    parts: dict[str, _Part]


class _Whole(BaseModel):
    """A pass that is done."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    arrays: dict[str, tuple[str, list[int]]]


class FilePasses:
    """Runs the passes of one stage, and keeps what is done; see `kinfold.blocks.Passes`.

    Parameters
    ----------
    folder:
        Of the stage; made when there is something to keep.
    root:
        The collection, which errors name.
    phase:
        What progress is told as, with the name of the pass.
    share:
        See `Passes.share`.
    """

    def __init__(
        self,
        folder: Path,
        root: Path,
        runner: BlockRunner,
        progress: ProgressCallback,
        phase: str,
        share: float = 1.0,
    ) -> None:
        self._folder = folder
        self._root = root
        self._runner = runner
        self._progress = progress
        self._phase = phase
        self.share = share
        self._made: set[str] = set()

    def run(
        self,
        name: str,
        task: BlockTask,
        arrays: Arrays,
        blocks: Sequence[Block],
        rows: int | None = None,
    ) -> dict[str, AnyArray]:
        """See `Passes.run`."""
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"pass {name!r}: expected small letters, digits, '_' and '-'")
        place = self._folder / name
        # Of an earlier process: it may have ended with the machine.
        found = _open(place) if name in self._made or _is_whole(place) else None
        if found is not None:
            return found
        total = blocks[-1][1] if rows is None else rows
        phase = _told_as(self._phase, name)
        with disk_errors(self._root, f"writing {self._phase}"), ExitStack() as stack:
            # Written once it has taken long enough to be worth that, or goes on from what was.
            files = None
            if place.exists():
                files = stack.enter_context(_Files(place, blocks[0][0]))
            left = _after(blocks, files.end) if files is not None else list(blocks)
            held: list[tuple[int, dict[str, AnyArray]]] = []
            begun = time.perf_counter()
            for (_, end), part in zip(left, self._runner.run(task, arrays, left), strict=True):
                held.append((end, part))
                if files is None and time.perf_counter() - begun >= WORTH_SECONDS:
                    files = stack.enter_context(_Files(place, blocks[0][0]))
                while files is not None and held:
                    files.append(*held.pop(0))
                self._progress(Progress(phase, end, total))
            if files is None:
                return _in_memory([part for _, part in held])
            files.finish()
        found = _open(place)
        self._made.add(name)
        if found is None:
            raise CorruptIndexError(f"{place}: expected what was just written, found it changed")
        return found

    def last_round(self, name: str) -> tuple[int, dict[str, AnyArray]] | None:
        """See `Passes.last_round`."""
        rounds = [int(place.name.rpartition("-")[2]) for place in self._rounds(name)]
        for number in sorted(rounds, reverse=True):
            place = self._folder / f"{name}-round-{number}"
            found = _open(place) if _is_whole(place) else None
            if found is not None:
                return number, found
        return None

    def next_round(
        self, name: str, number: int, task: BlockTask, arrays: Arrays, blocks: Sequence[Block]
    ) -> dict[str, AnyArray]:
        """See `Passes.next_round`."""
        result = self.run(f"{name}-round-{number}", task, arrays, blocks)
        for place in self._rounds(name):
            if place.name != f"{name}-round-{number}":
                # Whoever still has its arrays keeps the pages: they are mapped.
                shutil.rmtree(place, ignore_errors=True)
        return result

    def _rounds(self, name: str) -> Iterator[Path]:
        for place in list(self._folder.glob(f"{name}-round-*")):
            if place.name.rpartition("-")[2].isdecimal():
                yield place


def _in_memory(parts: list[dict[str, AnyArray]]) -> dict[str, AnyArray]:
    """What blocks gave, one behind the other; not to be written to, as what lies in files."""
    result: dict[str, Growing] = {}
    for part in parts:
        for key, values in part.items():
            if key in result:
                result[key].append(values)
            else:
                result[key] = Growing(values)
    return {key: frozen(growing.whole()) for key, growing in result.items()}


def _told_as(phase: str, name: str) -> str:
    """What a pass is called to who watches: numbers, and what says the same again, left out."""
    words = [word for word in name.split("-") if not word.isdecimal() and word != "round"]
    return " ".join([phase, *(word for word in words if word not in {"rows", "exact", phase})])


def _after(blocks: Sequence[Block], end: int) -> list[Block]:
    """What is left of blocks when everything before `end` is done."""
    return [(max(begin, end), stop) for begin, stop in blocks if stop > end]


class _Files:
    """The files of a pass that is being made, opened where the last sound block ended."""

    def __init__(self, place: Path, begin: int) -> None:
        self._place = place
        self._stack = ExitStack()
        self._files: dict[str, IO[bytes]] = {}
        self._parts: dict[str, list[_Part]] = {}
        self.end = begin

    def __enter__(self) -> _Files:
        self._place.mkdir(parents=True, exist_ok=True)
        size = self._recover()
        self._log = self._stack.enter_context((self._place / _LOG).open("ab"))
        self._log.truncate(size)
        for key, parts in self._parts.items():
            file = self._open(key, "r+b")
            file.truncate(_HEADER_BYTES + sum(part.bytes for part in parts))
            file.seek(0, os.SEEK_END)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def append(self, end: int, arrays: dict[str, AnyArray]) -> None:
        """Keep what a block gave."""
        parts = {}
        for key, values in arrays.items():
            little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
            data = little.reshape(-1).view(np.uint8).data
            if key not in self._files:
                self._open(key, "w+b").write(bytes(_HEADER_BYTES))
                self._parts[key] = []
            self._files[key].write(data)
            part = _Part(
                dtype=little.dtype.str,
                tail=list(little.shape[1:]),
                rows=little.shape[0],
                crc=zlib.crc32(data),
            )
            self._parts[key].append(part)
            parts[key] = part
        for file in self._files.values():
            file.flush()
        self._log.write(_Line(end=end, parts=parts).model_dump_json().encode() + b"\n")
        self._log.flush()
        self.end = end

    def finish(self) -> None:
        """Make the files what they will be, and say so."""
        arrays = {}
        for key, parts in self._parts.items():
            shape = (sum(part.rows for part in parts), *parts[0].tail)
            file = self._files[key]
            file.seek(0)
            write_npy_header(file, np.dtype(parts[0].dtype), shape)
            if file.tell() != _HEADER_BYTES:
                raise ValueError(f"{key}: expected a header of {_HEADER_BYTES} bytes")
            file.flush()
            arrays[key] = (parts[0].dtype, list(shape))
        fresh = self._place / f".{_DONE}"
        fresh.write_bytes(_Whole(arrays=arrays).model_dump_json().encode())
        fresh.replace(self._place / _DONE)

    def _open(self, key: str, mode: str) -> IO[bytes]:
        if _NAME.fullmatch(key) is None:
            raise ValueError(f"array {key!r}: expected small letters, digits, '_' and '-'")
        file: IO[bytes] = self._stack.enter_context((self._place / f"{key}.npy").open(mode))
        self._files[key] = file
        return file

    def _recover(self) -> int:
        """Read the log as far as the data bears it out; returns how many bytes of it that is."""
        size = 0
        for raw, line in _borne_out(self._place, self.end):
            for key, part in line.parts.items():
                self._parts.setdefault(key, []).append(part)
            self.end = line.end
            size += len(raw)
        return size


def _borne_out(place: Path, end: int) -> Iterator[tuple[bytes, _Line]]:
    """The lines of a log behind row `end`, as long as they follow one another and the data fits."""
    kinds: dict[str, tuple[str, list[int]]] | None = None
    with ExitStack() as stack:
        files: dict[str, IO[bytes]] = {}
        for raw in _lines(place / _LOG):
            line = _parsed(raw)
            if (
                line is None
                or line.end <= end
                or any(_NAME.fullmatch(key) is None for key in line.parts)
            ):
                return
            found = {key: (part.dtype, part.tail) for key, part in line.parts.items()}
            if kinds is None:
                kinds = found
                for key in kinds:
                    with suppress(OSError):
                        file = (place / f"{key}.npy").open("rb")
                        file.seek(_HEADER_BYTES)
                        files[key] = stack.enter_context(file)
            if found != kinds or files.keys() != kinds.keys():
                return
            if not all(_holds(files[key], part) for key, part in line.parts.items()):
                return
            end = line.end
            yield raw, line


def _is_whole(place: Path) -> bool:
    """Whether a pass that is said to be done has the data that its log names."""
    try:
        content = (place / _DONE).read_bytes()
        whole = _Whole.model_validate_json(content[:_MOST_BYTES])
    except (OSError, ValueError, RecursionError):
        return False
    rows: dict[str, int] = {}
    for _, line in _borne_out(place, -1):
        for key, part in line.parts.items():
            rows[key] = rows.get(key, 0) + part.rows
    return rows == {key: shape[0] for key, (_, shape) in whole.arrays.items()}


def _lines(path: Path) -> Iterator[bytes]:
    """The whole lines of a log, of bounded size."""
    with suppress(OSError), path.open("rb") as file:
        content = file.read(_MOST_BYTES)
        for raw in content.splitlines(keepends=True):
            if raw.endswith(b"\n"):
                yield raw


def _parsed(raw: bytes) -> _Line | None:
    with suppress(ValidationError, RecursionError):
        return _Line.model_validate_json(raw)
    return None


def _holds(file: IO[bytes], part: _Part) -> bool:
    """Whether the next bytes of a file are those that a block gave."""
    left, crc = part.bytes, 0
    while left > 0:
        piece = file.read(min(left, _READ_BYTES))
        if not piece:
            return False
        crc = zlib.crc32(piece, crc)
        left -= len(piece)
    return crc == part.crc


def _open(place: Path) -> dict[str, AnyArray] | None:
    """The arrays of a pass that is done, mapped; None where it is not, or is not whole."""
    try:
        with (place / _DONE).open("rb") as file:
            whole = _Whole.model_validate_json(file.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    found: dict[str, Any] = {}
    for key, (dtype, shape) in whole.arrays.items():
        if _NAME.fullmatch(key) is None:
            return None
        try:
            found[key] = map_npy(place / f"{key}.npy", dtype, tuple(shape))
        except (CorruptIndexError, TypeError):
            return None
    return found
