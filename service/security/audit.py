"""The log of writes: who changed, or tried to change, what."""

from __future__ import annotations

import json
import logging
import os
import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kinfold.errors import InputError
from workers.logs import FIELDS, service_log

audit_log = logging.getLogger("kinfold.audit")

_MODE = 0o600
_MOST_TEXT = 200


class AuditLog:
    """Appends a line of JSON for every request to an address that needs more than read.

    Each line is one write to a file that is opened for appending, so that several processes share
    it. A file that was moved or removed, as by logrotate, is made anew for the next line.
    """

    def __init__(self, path: Path | None) -> None:
        """Raise `InputError` where the file cannot be written."""
        self._path = path
        self._handle: int | None = None
        self._lock = threading.Lock()
        if path is None:
            # Whatever else the log leaves out.
            audit_log.setLevel(logging.INFO)
        else:
            try:
                self._handle = _open(path)
            except OSError as error:
                raise InputError(
                    f"KINFOLD_AUDIT_LOG: {path} cannot be written: {error.strerror}"
                ) from None

    def note(self, **fields: Any) -> None:
        """Write a line; where that fails, it goes to the log of the service instead."""
        fields = {name: _short(value) for name, value in fields.items()}
        if self._path is None:
            audit_log.info("audit", extra={FIELDS: fields})
            return
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        # ASCII: to some readers of lines a line ends at U+2028, too.
        line = json.dumps({"time": time, **fields}, default=str).encode() + b"\n"
        try:
            with self._lock:
                self._append(line)
        except OSError as error:
            reason = f"{self._path}: {error.strerror}"
            service_log.error("audit log: %s", reason, extra={FIELDS: {"audit": fields}})

    def close(self) -> None:
        """Close the file; a later line opens it again."""
        with self._lock:
            if self._handle is not None:
                os.close(self._handle)
                self._handle = None

    def _append(self, line: bytes) -> None:
        assert self._path is not None  # noqa: S101
        if self._handle is not None and not self._is_current(self._handle):
            with suppress(OSError):
                os.close(self._handle)
            self._handle = None
        if self._handle is None:
            self._handle = _open(self._path)
        written = os.write(self._handle, line)
        if written != len(line):
            raise OSError(0, f"{written} of {len(line)} bytes written")

    def _is_current(self, handle: int) -> bool:
        assert self._path is not None  # noqa: S101
        try:
            return os.path.samestat(os.fstat(handle), self._path.stat())
        except FileNotFoundError:
            return False


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _MODE)


def _short(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    usable = value.encode("utf-8", "replace").decode()
    return usable if len(usable) <= _MOST_TEXT else usable[: _MOST_TEXT - 1] + "…"
