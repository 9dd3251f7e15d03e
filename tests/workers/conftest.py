"""Queues to run the same tests on: on files, and on a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from redis_server import RedisServer
from worker_support import clusters, settings_for

from workers.queue import JobQueue, open_queue
from workers.settings import WorkerSettings


@pytest.fixture(scope="session")
def redis_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.close()


@pytest.fixture
def redis(redis_session: RedisServer) -> RedisServer:
    """Shared by all tests, empty at the start of each."""
    redis_session.client.flushall()
    return redis_session


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder beside a folder of sources: small.npy and large.npy."""
    (tmp_path / "data").mkdir()
    sources = tmp_path / "sources"
    sources.mkdir()
    np.save(sources / "small.npy", clusters(300, 16))
    return tmp_path


@pytest.fixture
def large(folder: Path) -> str:
    """A gallery whose build takes a few seconds."""
    np.save(folder / "sources" / "large.npy", clusters(20_000, 32))
    return "large.npy"


@pytest.fixture(params=["files", "redis"])
def kind(request: pytest.FixtureRequest) -> str:
    """Where jobs are kept."""
    return str(request.param)


@pytest.fixture
def settings(request: pytest.FixtureRequest, kind: str, folder: Path) -> WorkerSettings:
    url = request.getfixturevalue("redis").url if kind == "redis" else None
    return settings_for(folder, redis_url=url)


@pytest.fixture
def queue(settings: WorkerSettings) -> JobQueue:
    return open_queue(settings)
