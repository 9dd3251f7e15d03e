"""Done-marks: what says that a stage of a build is complete, and what it gave.

A mark is written beside, synced and renamed, after all files of its stage were synced. It is read
like anything from a disk: of bounded size, checked field by field, and any doubt means "not done".
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kinfold.index.files import sync_folder
from kinfold.index.manifest import FileInfo, FileName

_MOST_BYTES = 4 << 20
_FRESH = ".fresh-"


class Mark(BaseModel):
    """What a stage left behind."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    stage: str = Field(max_length=128)
    key: str = Field(pattern=r"^[0-9a-f]{64}$")
    files: dict[FileName, FileInfo]
    result: dict[str, Any] = Field(description="What later stages and the manifest need.")
    measured: dict[str, float] = Field(description="Seconds of its parts.")


def mark_name(stage: str) -> str:
    """The file of a stage's mark; names of models hold no slash and no colon."""
    return stage.replace(":", "@") + ".json"


def write_mark(folder: Path, mark: Mark) -> None:
    """Write a mark so that it is there whole or not at all, whatever happens."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / mark_name(mark.stage)
    fresh = target.with_name(f"{_FRESH}{target.name}")
    try:
        with fresh.open("wb") as file:
            file.write(mark.model_dump_json(indent=1).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(target)
    except BaseException:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise
    sync_folder(folder)


def read_mark(folder: Path, stage: str, key: str) -> Mark | None:
    """The mark of a stage if it is there, sound, and of this key; None means "not done"."""
    path = folder / mark_name(stage)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            content = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError):
        return None
    if len(content) > _MOST_BYTES:
        return None
    try:
        mark = Mark.model_validate_json(content)
    except (ValidationError, RecursionError):
        return None
    return mark if (mark.stage, mark.key) == (stage, key) else None


def is_whole(folder: Path, files: dict[str, FileInfo]) -> bool:
    """Whether all files are there with the size that they were written with."""
    for name, info in files.items():
        try:
            found = (folder / name).lstat()
        except OSError:
            return False
        if not stat.S_ISREG(found.st_mode) or found.st_size != info.bytes:
            return False
    return True
