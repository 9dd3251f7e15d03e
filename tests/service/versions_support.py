"""Data folders whose collections get new versions while they are served."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
from service_client import Client, until

import kinfold
from kinfold import BuildConfig
from kinfold.index.publish import VERSIONS, live_version

ROWS, DIMENSION = 60, 8
CONFIG = BuildConfig(k_d=5)


def gallery(rows: int = ROWS, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    centres = random.normal(size=(6, DIMENSION))
    noise = random.normal(size=(rows, DIMENSION))
    return (centres[np.arange(rows) % 6] + 0.5 * noise).astype(np.float32)


def build(data: Path, name: str = "photos", rows: int = ROWS, seed: int = 0) -> str:
    """Publish a version; returns its name."""
    return kinfold.build(gallery(rows, seed), data / name, config=CONFIG).version.name


def version_of(client: Client, name: str = "photos") -> str | None:
    """The version that answers a search."""
    answer = client.search(name, id=1, k=3)
    return answer.json()["version"] if answer.status_code == 200 else None


def wait_for(client: Client, version: str, name: str = "photos") -> None:
    until(lambda: version_of(client, name) == version)


def state_of(client: Client, name: str = "photos") -> dict | None:
    states = client.get("/v1/collections").json()["collections"]
    return next((state for state in states if state["name"] == name), None)


def damage(data: Path, name: str = "photos") -> None:
    """Let the live version miss the end of a file."""
    path = live_version(data / name) / "vectors.npy"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1])


def flip(data: Path, name: str = "photos") -> None:
    """Damage that only reading everything shows."""
    path = live_version(data / name) / "similarities.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()
    path.write_bytes(content)


def mapped(data: Path) -> set[str]:
    """Versions below a folder of which this process has a page mapped or a descriptor."""
    found = set()
    paths = [line.split(maxsplit=5)[-1] for line in
             Path("/proc/self/maps").read_text("utf-8").splitlines()]  # fmt: skip
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            paths.append(str(entry.readlink()))
    for path in paths:
        if path.startswith(str(data)) and f"/{VERSIONS}/" in path:
            found.add(path.partition(f"/{VERSIONS}/")[2].partition("/")[0])
    return found
