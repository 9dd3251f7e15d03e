"""Whether a Ray cluster answers, within a time.

Ray itself tries for two minutes to reach an address where nobody is, and ends the process then. So
another process tries first, which can be ended. `python -m indexer.cluster.reach ADDRESS` is it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from indexer.cluster.library import ray_library
from kinfold.errors import InputError, KinfoldError

_LOCAL = ("127.0.0.1", "localhost", "::1")
_CONNECT_SECONDS = 5.0
# On Linux it says that a node's address may be the loopback's, as it is on a laptop elsewhere.
_CLUSTERS = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
_START = "start it there (ray start --head --port PORT), or correct the address"


def split(address: str) -> tuple[str, int]:
    """Host and port of HOST:PORT."""
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port or "/" in address or "@" in address:
        raise InputError(
            f"{address!r} is no address of a Ray cluster; expected 'auto' or HOST:PORT, "
            "as in 10.0.0.1:6379, from a machine that belongs to the cluster"
        )
    return host, port


def is_open(address: str, seconds: float = _CONNECT_SECONDS) -> str | None:
    """None when somebody listens at the address; else why not."""
    try:
        with socket.create_connection(split(address), timeout=seconds):
            return None
    except OSError as error:
        return error.strerror or str(error)


def check_reachable(address: str, seconds: float) -> None:
    """Raise `KinfoldError` unless a Ray cluster answers at the address within the time."""
    end = time.monotonic() + seconds
    closed = is_open(address, min(seconds, _CONNECT_SECONDS))
    if closed is not None:
        raise KinfoldError(f"no Ray cluster at {address}: {closed}; {_START}")
    command = [sys.executable, "-m", "indexer.cluster.reach", address]
    # Whoever imports this package can, so can the other process, wherever it is.
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        asked = subprocess.run(
            command, env=env, capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL, timeout=max(1.0, end - time.monotonic()),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise KinfoldError(
            f"{address} does not answer as a Ray cluster does within {seconds:.0f} s; is it "
            "another service, a cluster with another token (RAY_AUTH_TOKEN), or is a firewall "
            f"between? {_START}"
        ) from None
    answer = asked.stdout.strip().rpartition("\n")[2]
    if asked.returncode == 0 and answer == "{}":
        return
    try:
        reason = str(json.loads(answer)["error"])
    except (ValueError, KeyError, TypeError):
        reason = asked.stderr.strip().rpartition("\n")[2]
    raise KinfoldError(f"the Ray cluster at {address} refuses this process: {in_a_line(reason)}")


def in_a_line(text: str) -> str:
    """What Ray says, which is written for a page, for a message."""
    return " ".join(text.split()) or "it says nothing"


def is_local(host: str) -> bool:
    """Whether it is this machine's loopback."""
    return host in _LOCAL


@contextlib.contextmanager
def loopback(*, on: bool) -> Iterator[None]:
    """Let Ray use 127.0.0.1 as it stands, instead of an address that others can reach."""
    if not on:
        yield
        return
    ray_library()
    from ray._private import ray_constants

    constants, environment = vars(ray_constants), os.environ.get(_CLUSTERS)
    before = constants.get("ENABLE_RAY_CLUSTER", True)
    os.environ[_CLUSTERS] = "0"
    constants["ENABLE_RAY_CLUSTER"] = False
    try:
        yield
    finally:
        constants["ENABLE_RAY_CLUSTER"] = before
        if environment is None:
            del os.environ[_CLUSTERS]
        else:
            os.environ[_CLUSTERS] = environment


def _main(address: str) -> None:
    ray = ray_library()
    answer: dict[str, str] = {}
    try:
        with loopback(on=is_local(split(address)[0])):
            ray.init(
                address=address, log_to_driver=False, configure_logging=False, logging_level="ERROR"
            )
    except Exception as error:
        answer = {"error": str(error) or type(error).__name__}
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _main(sys.argv[1])
