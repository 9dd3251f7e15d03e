"""A worker that takes jobs from the data folder: a thread of the service, or `kinfold worker`."""

from __future__ import annotations

import os
import socket
import threading

from kinfold.errors import StorageError
from workers.errors import QueueUnavailableError
from workers.file_store import FOLDER
from workers.lock import FolderLock
from workers.logs import worker_log
from workers.queue import POLL_SECONDS, JobQueue
from workers.run import JobRunner
from workers.watchman import Watchman

_PAUSE_SECONDS = 1.0


def worker_name() -> str:
    """Which process works, for people."""
    return f"{socket.gethostname()}:{os.getpid()}"


class LocalWorker:
    """Runs the jobs of a queue that is looked at, one at a time.

    Parameters
    ----------
    alone:
        Work only while no other such worker does on this data folder: of the processes of a
        service one is enough.
    """

    def __init__(self, queue: JobQueue, *, alone: bool = False) -> None:
        self._alone = FolderLock(queue.settings.data / FOLDER / "WORKER") if alone else None
        self._queue = queue
        self._name = worker_name()
        self._stop = threading.Event()
        self._runner = JobRunner(queue, self._stop)
        self._watchman = Watchman(queue)
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Work in a thread of its own until `close`."""
        self._thread = threading.Thread(target=self.work, name="kinfold-worker", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hand the running job back and end; takes about a second."""
        self.stop()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def stop(self) -> None:
        """Ask for the end; safe in a signal handler."""
        self._stop.set()

    def work(self, *, burst: bool = False, most: int | None = None) -> int:
        """Take and run jobs; returns how many were run.

        Parameters
        ----------
        burst:
            End when no job is queued.
        most:
            End after so many jobs.
        """
        self._watchman.start()
        ran = 0
        try:
            while not self._stop.is_set() and (most is None or ran < most):
                if self._run_next():
                    ran += 1
                elif burst:
                    break
                else:
                    self._stop.wait(POLL_SECONDS)
        finally:
            self._watchman.close()
            if self._alone is not None:
                self._alone.release()
        return ran

    def _run_next(self) -> bool:
        try:
            if self._alone is not None and not self._alone.acquire():
                return False
            job = self._queue.claim_next(self._name)
            if job is None:
                return False
            self._runner.run(job)
        except (QueueUnavailableError, StorageError) as error:
            worker_log.warning("jobs cannot be taken: %s", error)
            self._stop.wait(_PAUSE_SECONDS)
            return False
        except Exception:
            # The job is found by the watchman; this worker goes on.
            worker_log.exception("a job could not be run")
            self._stop.wait(_PAUSE_SECONDS)
            return False
        return True
