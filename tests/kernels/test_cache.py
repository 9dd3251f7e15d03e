"""What is cached of a kernel is dropped when any kernel changes, and used when none does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import kinfold.kernels
from kinfold.kernels import combine, jit

ASK = """
import numpy as np
from copied import caller
print(caller.twice(np.float64(3)), sum(caller.twice.stats.cache_hits.values()))
"""


def ask(folder):
    done = subprocess.run(
        [sys.executable, "-c", ASK], cwd=folder, check=True, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": ""},
    )  # fmt: skip
    value, hits = done.stdout.split()
    return float(value), int(hits)


def test_a_change_in_a_kernel_that_is_called_from_another_file(tmp_path):
    folder = tmp_path / "copied"
    folder.mkdir()
    (folder / "__init__.py").touch()
    shutil.copy(Path(jit.__file__), folder / "jit.py")
    called = folder / "called.py"
    start = "from copied.jit import kernel\n\n@kernel()\n"
    called.write_text(start + "def once(x):\n    return 2 * x\n")
    (folder / "caller.py").write_text(
        "from copied.called import once\n" + start + "def twice(x):\n    return once(x) + once(x)\n"
    )
    assert ask(tmp_path) == (12.0, 0)
    assert ask(tmp_path) == (12.0, 1)
    called.write_text(start + "def once(x):\n    return 5 * x\n")
    assert ask(tmp_path) == (30.0, 0)
    assert ask(tmp_path) == (30.0, 1)


def test_every_kernel_has_that_cache():
    assert isinstance(combine.best_touched._cache, jit._Cache)
    folder = Path(kinfold.kernels.__file__).parent
    assert len(list(folder.glob("*.py"))) > 10
