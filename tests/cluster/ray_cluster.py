"""A real Ray cluster of two nodes on this machine, for tests; ended by its process."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Ray reads these when it is imported; nothing of it is to touch the home folder, or to be open to
# other users of this machine.
RAY = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
if "ray" not in sys.modules:
    os.environ.update(RAY)


class Nodes:
    """The process that holds the nodes."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        paths = [str(ROOT), str(Path(__file__).parent)]
        self.env = {
            **os.environ,
            "RAY_TMPDIR": folder,
            "RAY_USAGE_STATS_ENABLED": "0",
            # That a machine is gone is noticed within seconds.
            "RAY_health_check_initial_delay_ms": "1000",
            "RAY_health_check_period_ms": "500",
            "RAY_health_check_timeout_ms": "2000",
            "RAY_health_check_failure_threshold": "4",
            "PYTHONPATH": os.pathsep.join(paths),
        }
        self._log = Path(folder, "nodes.log").open("wb")  # noqa: SIM115 - closed by close
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("ray_nodes.py"))],
            env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
            text=True,
        )  # fmt: skip
        self.address = self._line()
        self.count = 1
        self.two()

    def two(self) -> None:
        """Let the second node be there."""
        if self.count < 2:
            self._say("add")

    def kill_second(self) -> None:
        """End its processes as a power cut does."""
        self._say("kill")

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(60)
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._log.close()

    def _say(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        self.count = int(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        log = Path(self.folder, "nodes.log")
        assert line, f"the nodes do not start: {log.read_text(errors='replace')[-2000:]}"
        return line
