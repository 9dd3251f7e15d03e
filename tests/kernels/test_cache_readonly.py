"""Where nothing may be written, kernels that were compiled before are used, others compiled."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kinfold.kernels import jit

ASK = """
import numpy as np
from copied.kernels import twice
print(twice(np.{kind}(3)), sum(twice.stats.cache_hits.values()))
"""


def ask(folder: Path, kind: str, *, may_write: bool) -> tuple[float, int]:
    command = [sys.executable, "-B", "-c", ASK.format(kind=kind)]
    if not may_write and os.geteuid() == 0:
        # root writes wherever it likes, unless these are taken from it
        if shutil.which("setpriv") is None:
            pytest.skip("run by root, and there is no setpriv to take its powers away")
        command = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", *command]
    done = subprocess.run(
        command, cwd=folder, check=False, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": "", "HOME": "/proc",
                          "XDG_CACHE_HOME": "/proc"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    value, hits = done.stdout.split()
    return float(value), int(hits)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    package = tmp_path / "copied"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copy(Path(jit.__file__), package / "jit.py")
    (package / "kernels.py").write_text(
        "from copied.jit import kernel\n\n@kernel()\ndef twice(x):\n    return 2 * x\n"
    )
    return tmp_path


def test_what_is_there_is_read(folder: Path) -> None:
    assert ask(folder, "float64", may_write=True) == (6.0, 0)
    cache = folder / "copied" / "__pycache__"
    made = sorted(path.name for path in cache.iterdir())
    assert any(name.endswith(".nbc") for name in made)
    cache.chmod(0o555)
    try:
        assert ask(folder, "float64", may_write=False) == (6.0, 1)
        assert ask(folder, "float32", may_write=False) == (6.0, 0)
    finally:
        cache.chmod(0o755)
    assert sorted(path.name for path in cache.iterdir()) == made


def test_without_any_cache_it_is_compiled(folder: Path) -> None:
    package = folder / "copied"
    package.chmod(0o555)
    try:
        assert ask(folder, "float64", may_write=False) == (6.0, 0)
        assert ask(folder, "float64", may_write=False) == (6.0, 0)
    finally:
        package.chmod(0o755)
    assert not (package / "__pycache__").exists()
