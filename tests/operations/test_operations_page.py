"""docs/operations.md from its first block to its last, as somebody would type it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "operations.md").read_text("utf-8")
PORTS = ("6390", "8001", "8002")
TOOLS = ("bash", "curl", "jq", "redis-server")

BEGINNING = """
set -euo pipefail
end() { code=$?; kill $(jobs -p) 2> ended.log || true; wait; exit $code; }
trap end EXIT
"""


def blocks() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def free_ports(count: int) -> list[int]:
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in taken]
    for listener in taken:
        listener.close()
    return ports


def test_every_block_works(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    missing = [tool for tool in TOOLS if shutil.which(tool, path=path) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")
    script = BEGINNING + "\n".join(blocks())
    for port, free in zip(PORTS, free_ports(len(PORTS)), strict=True):
        assert port in script
        script = script.replace(port, str(free))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KINFOLD_")}
    ran = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**kept, "PATH": path, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    logs = "\n".join(log.read_text("utf-8")[-2000:] for log in sorted(tmp_path.glob("*.log")))
    assert ran.returncode == 0, f"{ran.stdout[-3000:]}\n{ran.stderr[-3000:]}\n{logs}"
    print(ran.stdout)
    assert "event: end" in ran.stdout
    assert "kinfold_http_requests_total" in ran.stdout
    assert '"status": "done"' in ran.stdout
