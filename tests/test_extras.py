"""What is an extra is needed by nothing else: command line, service and worker start without."""

from __future__ import annotations

import subprocess
import sys

EXTRAS = ["PIL", "onnx", "onnxruntime", "matplotlib", "httpx", "ray", "sklearn", "playwright"]

START = f"""
import sys
sys.modules.update(dict.fromkeys({EXTRAS!r}))
import cli.app, service.app, service.serve, workers.run, indexer.sources
service.app.create_app(service.settings.Settings(auth="off", otel="off"))
sys.argv = ["kinfold", *sys.argv[1:]]
sys.exit(cli.app.run())
"""


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", START, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_everything_starts_without_them() -> None:
    done = run("--version")
    assert done.returncode == 0, done.stderr


def test_who_needs_one_is_told_which(tmp_path) -> None:
    (tmp_path / "photos").mkdir()
    where = ["--data", tmp_path / "data", "--collection", "photos"]
    done = run("build", tmp_path / "photos", *where)
    assert done.returncode == 2
    assert "pictures need the extra 'images': pip install 'kinfold[images]'" in done.stderr
