"""A lock that its holder's death frees, whatever the death."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class FolderLock:
    """Held by one process at a time; of one that ends it is free at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def acquire(self) -> bool:
        """Take it, or keep it; False while another has it, or where there is no folder for it."""
        if self._file is not None:
            return True
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError:
            # Before the first job there is no folder; then there is nothing to take either.
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Let another have it."""
        if self._file is not None:
            # Closing alone would leave it with every child forked meanwhile.
            fcntl.flock(self._file, fcntl.LOCK_UN)
            os.close(self._file)
            self._file = None
