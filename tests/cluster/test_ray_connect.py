"""Connecting to a Ray cluster: what cannot work is said soon, in a line, with what to do."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray_cluster import ROOT, Nodes

from indexer.cluster import connect, environment
from indexer.cluster.reach import is_open
from kinfold.errors import InputError, KinfoldError


@pytest.fixture
def another_service() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def refused(address: str, **options: object) -> str:
    with pytest.raises(KinfoldError) as raised, connect(address, **options):  # type: ignore[arg-type]
        pass
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_closed_port_is_told_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    start = time.monotonic()
    found = refused(address)
    assert found.startswith(f"no Ray cluster at {address}: Connection refused; start it there")
    assert time.monotonic() - start < 5


def test_another_service_is_told_in_time(another_service: str) -> None:
    start = time.monotonic()
    found = refused(another_service, seconds=4)
    assert f"{another_service} does not answer as a Ray cluster does within 4 s" in found
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("address", ["", "host", "ray://host:1/x", "host:port", "a@b:1", ":6379"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(InputError, match="is no address of a Ray cluster; expected 'auto'"):
        connect(address).__enter__()


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "pip install 'kinfold[ray]'" in refused("auto")


def test_another_token_is_told(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    found = refused(nodes.address, seconds=6)
    assert nodes.address in found and "token" in found


@pytest.mark.parametrize("name", ["kinfold", "code of kinfold", "numpy", "numba", "faiss-cpu"])
def test_all_that_computes_must_be_the_same(name: str) -> None:
    here = environment.describe()
    environment.check("m", here, here)
    with pytest.raises(KinfoldError, match=f"m has {name} .*, this machine 0.0:"):
        environment.check("m", here, here | {name: "0.0"})


def test_another_processor_is_no_reason_to_refuse() -> None:
    here = environment.describe()
    environment.check("m", here, here | {environment.PROCESSOR: "another"})
    with pytest.raises(KinfoldError, match=r"m has scipy not installed, this machine 1\.0"):
        environment.check("m", {}, {"scipy": "1.0"})


def test_a_worker_with_other_code_refuses_its_block() -> None:
    with pytest.raises(KinfoldError, match=r"has code of kinfold .*, this machine other"):
        environment.check_code("other")


def test_auto_joins_what_runs_holds_versions_against_ours_and_leaves_it_running(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", nodes.folder)
    handler = signal.getsignal(signal.SIGTERM)
    with connect("auto") as cluster:
        assert cluster.address == nodes.address and not cluster.started
        assert signal.getsignal(signal.SIGTERM) is handler
        with connect("auto") as again:
            assert again == cluster
        assert "connected to a Ray cluster already" in refused("10.0.0.1:6379")
        here = environment.describe()
        found = refused("auto", expected=here | {"Python": "3.9.1"})
        assert f"(127.0.0.1) has Python {here['Python']}, this machine 3.9.1: " in found
        assert "install the same environment on all machines" in found
    assert is_open(nodes.address) is None


LOCAL = """
import json, sys
import numpy as np
import ray
from cluster_tasks import rows_of
from indexer.cluster import connect
from kinfold.blocks import LocalRunner, cut

x, blocks = np.random.default_rng(0).normal(size=(500, 8)), cut(500, 100)
with connect("auto", threads=2) as cluster:
    alike = all(
        mine[name].tobytes() == theirs[name].tobytes()
        for mine, theirs in zip(
            cluster.runner(num_cpus=1).run(rows_of, {"x": x}, blocks),
            LocalRunner(1).run(rows_of, {"x": x}, blocks),
            strict=True,
        )
        for name in theirs
    )
    nodes = [node["NodeManagerAddress"] for node in ray.nodes()]
print(json.dumps([alike, cluster.started, cluster.cores, nodes, ray.is_initialized()]))
"""


def test_auto_starts_one_on_this_machine_alone_and_ends_it() -> None:
    pytest.importorskip("ray")
    with tempfile.TemporaryDirectory(
        prefix="kr-", dir="/tmp", ignore_cleanup_errors=True
    ) as folder:
        # Left behind by a Ray that was killed.
        Path(folder, "ray").mkdir()
        Path(folder, "ray", "ray_current_cluster").write_text("127.0.0.1:9")
        paths = [str(ROOT), str(Path(__file__).parent)]
        env = {**os.environ, "RAY_TMPDIR": folder, "PYTHONPATH": os.pathsep.join(paths)}
        asked = subprocess.run(
            [sys.executable, "-c", LOCAL],
            env=env, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert asked.stderr == ""
        assert json.loads(asked.stdout) == [True, True, 2, ["127.0.0.1"], False]
        left = [
            path.parent.name
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if folder.encode() in read(path)
        ]
        assert not left


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
