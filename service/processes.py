"""Several processes that serve on one socket: started, watched, replaced, and ended together."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from threading import Thread
from typing import Any

from prometheus_client.multiprocess import mark_process_dead

from kinfold.errors import InputError
from service.server import serve_on
from service.settings import Settings
from workers.logs import configure, service_log

FILES = "PROMETHEUS_MULTIPROC_DIR"
_EARLY_SECONDS = 10.0
_MOST_EARLY = 3
_GRACE_SECONDS = 5
_LOOK_SECONDS = 0.5

# Fresh interpreters: what a fork would copy are the threads' locks, but not the threads.
_spawn = multiprocessing.get_context("spawn")


class _Supervisor:
    """Keeps so many processes running until it is told to end."""

    def __init__(self, listener: socket.socket, settings: Settings) -> None:
        self._listener = listener
        self._settings = settings
        self._running: dict[int, SpawnProcess] = {}
        self._since: dict[int, float] = {}
        self._early: dict[int, int] = {}
        self.ended_by: int | None = None
        self.in_a_hurry = False

    def handle(self, number: int, _: object) -> None:
        """Take a signal: the first ends gracefully, a second SIGINT at once."""
        self.in_a_hurry = self.ended_by is not None and number == signal.SIGINT
        if self.ended_by is None:
            self.ended_by = number

    def run(self) -> bool:
        """Run until a signal (true), or until a process cannot be kept running (false)."""
        for number in range(self._settings.processes):
            self._start(number)
        while self.ended_by is None:
            wait([process.sentinel for process in self._running.values()], _LOOK_SECONDS)
            if self.ended_by is None and not self._replace_the_dead():
                break
        self._end()
        return self.ended_by is not None

    def _start(self, number: int, *, again: bool = False) -> None:
        process = _spawn.Process(
            target=_serve_beside,
            args=(self._listener, self._settings, number, again),
            name=f"kinfold-serve-{number}",
        )
        process.start()
        self._running[number] = process
        self._since[number] = time.monotonic()

    def _replace_the_dead(self) -> bool:
        for number, process in list(self._running.items()):
            if process.is_alive():
                continue
            _forget(process)
            lived = time.monotonic() - self._since[number]
            self._early[number] = self._early.get(number, 0) + 1 if lived < _EARLY_SECONDS else 0
            if self._early[number] >= _MOST_EARLY:
                service_log.error(
                    "process %d ended with code %s, %d times shortly after its start; giving up",
                    number, process.exitcode, self._early[number],
                )  # fmt: skip
                return False
            service_log.error(
                "process %d (pid %s) ended with code %s; starting another",
                number, process.pid, process.exitcode,
            )  # fmt: skip
            self._start(number, again=True)
        return True

    def _end(self) -> None:
        """Let all answer what they have begun, and end those that take too long."""
        for process in self._running.values():
            process.terminate()
        end = time.monotonic() + self._settings.shutdown_seconds + _GRACE_SECONDS
        while time.monotonic() < end and not self.in_a_hurry:
            alive = [one.sentinel for one in self._running.values() if one.is_alive()]
            if not alive:
                break
            wait(alive, _LOOK_SECONDS)
        for process in self._running.values():
            if process.is_alive():
                process.kill()
            process.join()
            _forget(process)


def supervise(listener: socket.socket, settings: Settings) -> None:
    """Serve in `settings.processes` processes until SIGINT or SIGTERM.

    One that dies is replaced. One that dies at once, time after time, ends the service with
    exit code 1. SIGTERM and SIGINT end it as they would end a single process.
    """
    supervisor = _Supervisor(listener, settings)
    with _metric_files():
        before = {
            number: signal.signal(number, supervisor.handle)
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            by_signal = supervisor.run()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    if not by_signal:
        sys.exit(1)
    if supervisor.ended_by is not None:
        signal.raise_signal(supervisor.ended_by)


@contextmanager
def _metric_files() -> Iterator[None]:
    """A folder in which processes count side by side, and whoever is asked adds up."""
    folder = tempfile.mkdtemp(prefix="kinfold-metrics-")
    before = os.environ.get(FILES)
    os.environ[FILES] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ[FILES]
        else:
            os.environ[FILES] = before
        shutil.rmtree(folder, ignore_errors=True)


def _forget(process: SpawnProcess) -> None:
    """Take what a process that ended said of its present out of the metrics; its counts stay."""
    if process.pid is not None:
        forget: Any = mark_process_dead
        forget(process.pid)


def _serve_beside(listener: socket.socket, settings: Settings, number: int, again: bool) -> None:
    """What one of the processes does."""
    configure(settings.log_level)
    Thread(target=_end_with_parent, name="kinfold-parent", daemon=True).start()
    try:
        serve_on(listener, settings, first=number == 0, warm_first=again)
    except KeyboardInterrupt:
        pass
    except InputError as error:
        service_log.error("%s", str(error))
        sys.exit(1)


def _end_with_parent() -> None:
    """End gracefully when the parent is gone, even if it had no time to say so."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        shutil.rmtree(os.environ.get(FILES, ""), ignore_errors=True)
        os.kill(os.getpid(), signal.SIGTERM)
