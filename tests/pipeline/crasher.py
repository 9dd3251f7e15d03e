"""Builds in forked children that kill themselves at a chosen point of a chosen stage.

    python crasher.py FOLDER       reads lines "NAME POINT" and answers each with "STATUS"
        started:STAGE              when the stage begins
        done:STAGE                 when it is marked as done
        phase:PHASE                at the first step of a phase inside of a stage
        after:SECONDS              from outside, wherever the build is

Runs before any thread exists, so that forking is safe; the parent has compiled every kernel once.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from kinfold import BuildConfig
from kinfold.pipeline import publish
from kinfold.pipeline.events import StageEvent

ROWS = 90


def gallery(seed: int = 0) -> dict[str, Any]:
    """What every build here is made of: each stage has something to do."""
    random = np.random.default_rng(seed)
    return {
        "vectors": random.normal(size=(ROWS, 6)).astype("f4"),
        "ids": [f"item {row}" for row in range(ROWS)],
        "payload": {"row": list(range(ROWS)), "word": [f"w{row % 7}" for row in range(ROWS)]},
    }


MODELS = {
    "near": BuildConfig(k_d=4, similarity=["cosine"], neighbors="hnsw"),
    "far": BuildConfig(k_d=5, neighbors="hnsw", truncation="nearest", max_row=40),
}


def build(path: Path, seed: int = 0, **options: Any) -> str:
    return publish(**gallery(seed), path=path, models=MODELS, threads=1, resume=True, **options)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def doomed(path: Path, point: str) -> None:
    kind, _, what = point.partition(":")

    def told(event: Any) -> None:
        if isinstance(event, StageEvent) and event.state == kind:
            name = event.stage if event.model is None else f"{event.stage}:{event.model}"
            if name == what:
                die()

    def progress(event: Any) -> None:
        if kind == "phase" and event.phase.startswith(what):
            die()

    build(path, told=told, progress=progress)


def main(folder: Path) -> None:
    build(folder / "warm", 1)
    print("ready", flush=True)
    for line in sys.stdin:
        name, point = line.rstrip("\n").split(" ", 1)
        pid = os.fork()
        if pid == 0:
            try:
                doomed(folder / name, point)
            except BaseException:
                # A child must never return into the loop.
                sys.excepthook(*sys.exc_info())
                os._exit(1)
            os._exit(0)
        if point.startswith("after:"):
            time.sleep(float(point.partition(":")[2]))
            os.kill(pid, signal.SIGKILL)
        print(os.waitpid(pid, 0)[1], flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
