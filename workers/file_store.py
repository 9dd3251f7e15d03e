"""Jobs as files of the data folder, for any number of processes of one machine.

    <data>/.jobs/<id>.json            a record, replaced by rename, synced before it is relied on
    <data>/.jobs/<id>.beat            what its worker says; neither synced nor relied on
    <data>/.jobs/active/<collection>  the id of the job that holds the collection
    <data>/.jobs/LOCK                 held (flock) for the moment of a change

The name in `active` is written before the record of a new job and removed after that of one that
ended, so that whatever a crash leaves behind belongs to a job that is gone or over: it is free.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

from pydantic import ValidationError

from kinfold.errors import StorageError
from kinfold.index.files import disk_errors, sync_folder
from kinfold.index.publish import COLLECTION_NAME
from workers.errors import BuildInProgressError, QueueUnavailableError
from workers.jobs import Beat, Job, is_id, now
from workers.logs import worker_log
from workers.store import Change

FOLDER = ".jobs"
_RECORD = ".json"
_BEAT = ".beat"
_FRESH = ".fresh-"
_FRESH_SECONDS = 60
_MOST_BYTES = 4 << 20
_LOCK_SECONDS = 10.0
_LOCK_PAUSE = 0.01


class FileJobStore:
    """See `workers.store.JobStore`; needs nothing but the data folder.

    Parameters
    ----------
    data:
        The data folder.
    keep:
        How long jobs that are over are kept.
    """

    def __init__(self, data: Path, keep: timedelta) -> None:
        self._folder = data / FOLDER
        self._slots = self._folder / "active"
        self._keep = keep

    def add(self, job: Job) -> None:
        """See `JobStore.add`."""
        with self._locked():
            self._take_slot(job)
            self._write(self._record(job.id), job.to_bytes())

    def read(self, job_id: str) -> Job | None:
        """See `JobStore.read`."""
        if not is_id(job_id):
            return None
        path = self._record(job_id)
        content = _read(path)
        if content is None:
            return None
        try:
            job = Job.model_validate_json(content)
        except ValidationError as error:
            worker_log.warning("%s is no job and passed over: %s", path, error.errors()[0]["msg"])
            return None
        return job if job.id == job_id else None

    def change(self, job_id: str, change: Change) -> Job | None:
        """See `JobStore.change`."""
        with self._locked():
            job = self.read(job_id)
            changed = None if job is None else change(job)
            if job is None or changed is None:
                return job
            if changed.is_active:
                self._take_slot(changed)
            self._write(self._record(job_id), changed.to_bytes())
            if not changed.is_active:
                self._free_slot(job)
                self._record(job_id).with_suffix(_BEAT).unlink(missing_ok=True)
            return changed

    def of_collection(self, collection: str) -> list[Job]:
        """See `JobStore.of_collection`."""
        found = [job for job in self._all() if job.collection == collection]
        return sorted(found, key=lambda job: (job.created, job.id), reverse=True)

    def active(self) -> list[Job]:
        """See `JobStore.active`."""
        found = []
        for name in _names(self._slots):
            job = self._holder(name) if COLLECTION_NAME.fullmatch(name) else None
            if job is not None:
                found.append(job)
        return sorted(found, key=lambda job: (job.created, job.id))

    def write_beat(self, job_id: str, beat: Beat) -> None:
        """See `JobStore.write_beat`."""
        path = self._record(job_id).with_suffix(_BEAT)
        with _unavailable_without_disk():
            self._write(path, beat.model_dump_json().encode(), sync=False)

    def read_beat(self, job_id: str) -> Beat | None:
        """See `JobStore.read_beat`."""
        content = _read(self._record(job_id).with_suffix(_BEAT)) if is_id(job_id) else None
        with suppress(ValidationError):
            return None if content is None else Beat.model_validate_json(content)
        return None

    def remove_expired(self) -> int:
        """See `JobStore.remove_expired`."""
        before, removed = now() - self._keep, 0
        for job in self._all():
            if job.ended is not None and not job.is_active and job.ended < before:
                with self._locked():
                    again = self.read(job.id)
                    if again is not None and not again.is_active:
                        self._record(job.id).unlink(missing_ok=True)
                        self._record(job.id).with_suffix(_BEAT).unlink(missing_ok=True)
                        removed += 1
        for folder in (self._folder, self._slots):
            for path in folder.glob(f"{_FRESH}*"):
                with suppress(FileNotFoundError):
                    if time.time() - path.stat().st_mtime > _FRESH_SECONDS:
                        path.unlink()
        return removed

    def _record(self, job_id: str) -> Path:
        return self._folder / f"{job_id}{_RECORD}"

    def _all(self) -> Iterator[Job]:
        for name in _names(self._folder):
            job = self.read(name.removesuffix(_RECORD)) if name.endswith(_RECORD) else None
            if job is not None:
                yield job

    def _holder(self, collection: str) -> Job | None:
        """The job that holds a collection; a name left by one that is over or gone is no hold."""
        content = _read(self._slots / collection)
        job = None if content is None else self.read(content.decode("ascii", "replace").strip())
        return job if job is not None and job.is_active and job.collection == collection else None

    def _take_slot(self, job: Job) -> None:
        holder = self._holder(job.collection)
        if holder is None:
            self._write(self._slots / job.collection, job.id.encode())
        elif holder.id != job.id:
            raise BuildInProgressError(job.collection, holder.id)

    def _free_slot(self, job: Job) -> None:
        path = self._slots / job.collection
        if _read(path) == job.id.encode():
            path.unlink(missing_ok=True)

    def _write(self, path: Path, content: bytes, *, sync: bool = True) -> None:
        fresh = path.parent / f"{_FRESH}{secrets.token_hex(8)}"
        with disk_errors(self._folder, "jobs"):
            try:
                with fresh.open("xb") as file:
                    file.write(content)
                    if sync:
                        file.flush()
                        os.fsync(file.fileno())
                fresh.replace(path)
            finally:
                fresh.unlink(missing_ok=True)
            if sync:
                sync_folder(path.parent)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with disk_errors(self._folder, "jobs"):
            if not self._slots.is_dir():
                self._slots.mkdir(parents=True, exist_ok=True)
                sync_folder(self._folder)
                sync_folder(self._folder.parent)
            lock = os.open(self._folder / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _acquire(lock, self._folder)
            yield
        finally:
            # Closing alone would leave it with every child forked meanwhile.
            fcntl.flock(lock, fcntl.LOCK_UN)
            os.close(lock)


def _acquire(lock: int, folder: Path) -> None:
    end = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise QueueUnavailableError(
                    f"{folder}: another process has been changing jobs for {_LOCK_SECONDS:.0f} s; "
                    "see whether one is stopped, and try again"
                ) from None
            time.sleep(_LOCK_PAUSE)
        else:
            return


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise QueueUnavailableError(f"{path}: cannot be read: {error.strerror}") from None
    return content if len(content) <= _MOST_BYTES else None


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise QueueUnavailableError(f"{folder}: cannot be read: {error.strerror}") from None


@contextmanager
def _unavailable_without_disk() -> Iterator[None]:
    """A full disk stops no build that only wanted to say how far it is."""
    try:
        yield
    except StorageError as error:
        raise QueueUnavailableError(str(error)) from None
