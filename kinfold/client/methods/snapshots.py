"""Snapshots: a version as one archive, to a file and from one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kinfold.client.addresses import collection_at
from kinfold.client.answers import Activated, Snapshot
from kinfold.client.calls import Call, Steps, Work
from kinfold.client.method import Caller, answer_of, method
from kinfold.client.methods.uploads import file_body
from kinfold.client.retry import send
from kinfold.errors import InputError, StorageError


class Snapshots:
    """Versions on their way out and in."""

    @method
    def download_snapshot(
        self: Caller,
        collection: str,
        path: str | os.PathLike[str],
        *,
        version: str | None = None,
        overwrite: bool = False,
    ) -> Steps[Snapshot]:
        """Write a version into a file, the live one unless another is named.

        The file is there complete, or not at all. The service checks what it reads: a damaged
        version ends in an error.
        """
        target = Path(path)
        if target.is_dir() or (target.exists() and not overwrite):
            raise InputError(f"{target} exists; name another file, or say overwrite=True")
        call = Call(
            "GET",
            collection_at(collection, "snapshot"),
            parameters={} if version is None else {"version": version},
            endless=True,
        )
        part = _Part(target)
        yield Work(part.open)
        try:
            answer = yield from send(call, self.patience, part.write, aside=True)
            yield Work(part.publish)
        finally:
            part.close()
        return Snapshot(
            path=target, bytes=part.bytes, version=answer.headers.get("x-kinfold-version")
        )

    @method
    def upload_snapshot(
        self: Caller, collection: str, path: str | os.PathLike[str]
    ) -> Steps[Activated]:
        """Import a snapshot; once every byte of it is checked, it is the live version."""
        body = yield Work(lambda: file_body(path))
        call = Call(
            "PUT",
            collection_at(collection, "snapshot"),
            headers={"Content-Type": "application/x-tar"},
            body=body,
            endless=True,
        )
        return (yield from answer_of(self, call, Activated))


class _Part:
    """A file on its way: beside its place until it is complete, and on the disk."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._path = target.with_name(f".{target.name[:200]}-{secrets.token_hex(8)}.part")
        self._file: Any = None
        self.bytes = 0

    def open(self) -> None:
        self._file = self._stored(lambda: self._path.open("xb"))

    def write(self, piece: bytes) -> bool:
        self.bytes += self._stored(lambda: self._file.write(piece))
        return True

    def publish(self) -> None:
        def sync() -> None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._path.replace(self._target)

        self._stored(sync)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)

    def _stored(self, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except OSError as error:
            raise StorageError(
                f"{self._target}: cannot be written: {error.strerror or error}"
            ) from error
