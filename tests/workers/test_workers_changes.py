"""Change messages: heard at once, missed without harm."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

from redis_server import RedisServer
from worker_support import SMALL, settings_for, until, until_status, worker_process

from workers.changes import CHANNEL, ChangeListener, announce
from workers.queue import open_queue


def test_a_change_is_heard_and_garbage_is_not(folder: Path, redis: RedisServer) -> None:
    settings = settings_for(folder, redis_url=redis.url)
    heard: list[str | None] = []

    def hear(name: str | None) -> None:
        heard.append(name)
        if name == "bad":
            raise ValueError("whoever listens fails")

    listener = ChangeListener(settings, hear)
    listener.start()
    until(lambda: heard == [None])
    for message in (
        b"",
        b"\x80\x04.",
        b"[" * 9999,
        b"[]",
        b"{}",
        b'{"collection": 1}',
        b'{"collection": "../x"}',
        json.dumps({"collection": "a" * 99}).encode(),
    ):
        redis.client.publish(CHANNEL, message)
    assert announce(settings, "bad", "v")
    assert announce(settings, "photos", "v1")
    until(lambda: len(heard) == 3)
    listener.close()
    assert heard == [None, "bad", "photos"]


def test_a_listener_comes_back_and_says_that_it_may_have_missed_something(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "redis").mkdir()
    server = RedisServer(tmp_path / "redis")
    settings = settings_for(folder, redis_url=server.url)
    heard: list[str | None] = []
    listener = ChangeListener(settings, heard.append)
    try:
        begun = time.monotonic()
        listener.start()
        assert time.monotonic() - begun < 1, "a start waits for nobody"
        assert not announce(settings, "photos", "v")
        server.start()
        until(lambda: heard == [None])
        server.kill()
        time.sleep(0.5)
        server.start()
        until(lambda: heard == [None, None])
        announce(settings, "photos", "v")
        until(lambda: heard[-1] == "photos")
    finally:
        listener.close()
        server.close()


def test_without_redis_there_is_no_thread(folder: Path) -> None:
    before = threading.active_count()
    listener = ChangeListener(settings_for(folder), lambda _: None)
    listener.start()
    assert threading.active_count() == before
    listener.close()
    assert not announce(settings_for(folder), "photos", "v")


def test_a_build_is_announced_once_it_is_live(folder: Path, redis: RedisServer) -> None:
    settings = settings_for(folder, redis_url=redis.url)
    live: list[bool] = []

    def hear(name: str | None) -> None:
        if name is not None:
            live.append((settings.data / name / "CURRENT").exists())

    listener = ChangeListener(settings, hear)
    listener.start()
    queue = open_queue(settings)
    job = queue.enqueue("photos", SMALL)
    with worker_process(settings, "--burst"):
        until_status(queue, job, "done")
    until(lambda: live == [True])
    listener.close()
