"""Builds in forked children that kill themselves at the n-th call to the file system.

    python killer.py FOLDER        reads lines and answers each with "STATUS CALLS"
        NAME step N                kill the build of collection NAME at the N-th call
        NAME after SECONDS         rebuild NAME without end, and kill that from outside

Runs before any thread exists, so that forking is safe; the parent has compiled every kernel once,
so that a child's build takes a tenth of a second.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import kinfold
from kinfold import BuildConfig

ROWS = 40
WATCHED = ("fsync", "rename", "replace", "mkdir", "rmdir", "unlink", "open", "close")


def build(path: Path, seed: int) -> None:
    """A gallery that uses every file there is; the seed decides about its vectors."""
    kinfold.build(
        np.random.default_rng(seed).normal(size=(ROWS + seed, 4)),
        path,
        ids=[f"item {row}" for row in range(ROWS + seed)],
        payload={"row": list(range(ROWS + seed))},
        config=BuildConfig(k_d=5, neighbors="hnsw"),
        threads=1,
    )


class Fuse:
    """Kills this process right after the n-th call of any watched function."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.calls = 0

    def tick(self) -> None:
        if self.calls == self.step:
            os.kill(os.getpid(), signal.SIGKILL)
        self.calls += 1

    def wrap(self, module: Any, name: str) -> None:
        real = getattr(module, name)

        def watched(*arguments: Any, **options: Any) -> Any:
            result = real(*arguments, **options)
            self.tick()
            return result

        setattr(module, name, watched)


def child(path: Path, step: int) -> None:
    """Build with the fuse burning; says how many ticks there were when it survives."""
    fuse = Fuse(step)
    for name in WATCHED:
        fuse.wrap(os, name)
    fuse.wrap(io, "open")
    build(path, seed=1)
    fuse.step = -1
    with Path(f"{path}.calls").open("w") as file:
        file.write(str(fuse.calls))


def main(folder: Path) -> None:
    build(folder / "warm", seed=0)
    print("ready", flush=True)
    for line in sys.stdin:
        name, kind, when = line.split()
        path = folder / name
        pid = os.fork()
        if pid == 0:
            try:
                while kind == "after":
                    build(path, seed=1)
                child(path, int(when))
            except BaseException:
                # A child must never return into the loop.
                sys.excepthook(*sys.exc_info())
                os._exit(1)
            os._exit(0)
        if kind == "after":
            time.sleep(float(when))
            os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        calls = Path(f"{path}.calls")
        print(status, calls.read_text() if calls.exists() else "-", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
