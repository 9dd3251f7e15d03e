"""What tests of jobs share: galleries, settings, real worker processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from workers.jobs import BuildSpec, Job
from workers.queue import JobQueue
from workers.settings import WorkerSettings

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL = BuildSpec(source="small.npy")

Value = TypeVar("Value")


def clusters(rows: int, dimension: int, seed: int = 1) -> np.ndarray:
    random = np.random.default_rng(seed)
    centres = random.normal(size=(rows // 15, dimension))
    picked = centres[random.integers(0, len(centres), rows)]
    return (picked + 0.6 * random.normal(size=(rows, dimension))).astype(np.float32)


def settings_for(folder: Path, **given: Any) -> WorkerSettings:
    values = {"heartbeat_seconds": 0.5, "build_threads": 1} | given
    return WorkerSettings(data=folder / "data", sources=folder / "sources", **values)


def until(condition: Callable[[], Value], seconds: float = 60) -> Value:
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)
    return value


def until_status(queue: JobQueue, job: Job, *wanted: str, seconds: float = 60) -> Job:
    """The job once it is in one of the states; fails at once if it ends in another."""

    def look() -> Job | None:
        found = queue.get(job.id)
        assert found.status in wanted or found.is_active, found
        return found if found.status in wanted else None

    return until(look, seconds)


def until_phase(queue: JobQueue, job: Job) -> Job:
    """The job once its build has told of progress."""
    return until(lambda: found if (found := queue.get(job.id)).progress is not None else None)


@contextmanager
def worker_process(settings: WorkerSettings, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """`kinfold worker` as a process of its own; ended by its id."""
    names = ("data", "sources", "heartbeat_seconds", "build_threads", "job_ttl_hours")
    environment = {
        f"KINFOLD_{name.upper()}": str(value)
        for name in names
        if (value := getattr(settings, name)) is not None
    }
    if settings.redis_url is not None:
        environment["KINFOLD_REDIS_URL"] = settings.redis_url.get_secret_value()
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "worker", *options],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        _, log = process.communicate(timeout=30)
        sys.stderr.write(log.decode(errors="replace"))
