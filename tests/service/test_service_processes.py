"""Several processes on one socket: replaced when they die, ended together, counted together."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
from service_client import REPOSITORY, settled, until


@contextmanager
def several(
    data: Path, temporary: Path, **settings: object
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A service of two processes; its address, from its log, and the process above them."""
    given = {"data": data, "port": 0, "processes": 2, "auth": "off", "threads": 1, **settings}
    environment = {f"KINFOLD_{name.upper()}": str(value) for name, value in given.items()}
    log = temporary / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-c", "from service.serve import serve; serve()"],
            cwd=REPOSITORY,
            env={**os.environ, **environment, "TMPDIR": str(temporary)},
            stderr=stderr,
        )
    try:
        found = until(lambda: re.search(r"http://127\.0\.0\.1:\d+", log.read_text()))
        until(lambda: len(serving(process)) == 2)
        yield found[0], process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)
        assert "Traceback" not in log.read_text()


def serving(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes that serve; what helps multiprocessing is none."""
    found = []
    for child in psutil.Process(process.pid).children():
        try:
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


def ready(url: str) -> bool:
    try:
        return settled(httpx.get(f"{url}/readyz", timeout=30)) is not None
    except httpx.HTTPError:
        return False


def total(url: str, name: str) -> float:
    text = httpx.get(f"{url}/metrics", timeout=30).text
    return sum(
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith((f"{name} ", f"{name}{{"))
    )


def healthz(url: str, times: int) -> None:
    for _ in range(times):
        # A connection each, so that the processes share them.
        assert httpx.get(f"{url}/healthz", timeout=30).status_code == 200


COUNTED = 'kinfold_http_requests_total{method="GET",route="/healthz",status="200"}'


def test_counts_replaces_and_ends(data: Path, tmp_path: Path) -> None:
    with several(data, tmp_path) as (url, process):
        until(lambda: ready(url))
        healthz(url, 40)
        # Whoever answers has counted what all did, each time the same.
        assert [total(url, COUNTED) for _ in range(5)] == [40] * 5
        assert total(url, "kinfold_processes") == 2
        assert total(url, "kinfold_resident_bytes") > 50e6
        (folder,) = tmp_path.glob("kinfold-metrics-*")

        victim, other = serving(process)
        victim.kill()
        until(lambda: victim.pid not in {one.pid for one in serving(process)})
        until(lambda: len(serving(process)) == 2)
        assert other.is_running()
        until(lambda: ready(url))
        # What the dead one counted is not lost, but it is no process that is there.
        assert total(url, COUNTED) == 40
        until(lambda: total(url, "kinfold_processes") == 2)
        assert not list(folder.glob(f"gauge_live*_{victim.pid}.db"))

        children = serving(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == -signal.SIGTERM
        assert not folder.exists()
        psutil.wait_procs(children, 10)
        assert not [one for one in children if one.is_running()]


def test_requests_that_run_are_answered(data: Path, tmp_path: Path) -> None:
    with several(data, tmp_path, cache="off") as (url, process):
        until(lambda: ready(url))
        with httpx.Client(timeout=30) as client:
            path = f"{url}/v1/collections/photos/search"
            body = {"ids": list(range(300)), "k": 200}
            # Each process warms up for itself.
            until(lambda: client.post(path, json=body).status_code == 200)
            with ThreadPoolExecutor(1) as pool:
                asked = pool.submit(client.post, path, json=body)
                time.sleep(0.05)
                process.send_signal(signal.SIGINT)
                assert asked.result().status_code == 200
            assert process.wait(60) == 0


def test_children_end_when_the_parent_is_killed(data: Path, tmp_path: Path) -> None:
    with several(data, tmp_path) as (url, process):
        until(lambda: ready(url))
        children = serving(process)
        process.kill()
        process.wait(10)
        _, alive = psutil.wait_procs(children, 30)
        assert not alive
        assert not list(tmp_path.glob("kinfold-metrics-*"))


def test_gives_up_on_what_cannot_start(data: Path, tmp_path: Path) -> None:
    """A data folder that goes away once the service has looked at it."""
    with several(data, tmp_path) as (_, process):
        end = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < end:
            for child in serving(process) if process.poll() is None else []:
                child.kill()
            time.sleep(0.05)
        assert process.returncode == 1
    assert "giving up" in (tmp_path / "log").read_text()
