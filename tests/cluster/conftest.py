"""One cluster for all tests of this room."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator

import pytest
from ray_cluster import Nodes


@pytest.fixture(scope="session")
def nodes() -> Iterator[Nodes]:
    pytest.importorskip("ray")
    # The names of Ray's sockets must not be longer than 107 bytes.
    folder = tempfile.mkdtemp(prefix="kr-", dir="/tmp")
    try:
        found = Nodes(folder)
        try:
            yield found
        finally:
            found.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
