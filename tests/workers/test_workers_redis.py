"""What is particular to Redis: no pickles, outages, deliveries that get lost or lie."""

from __future__ import annotations

import base64
import json
import pickle
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis_server import RedisServer
from rq import Queue
from rq.serializers import PickleSerializer
from worker_support import (
    SMALL,
    settings_for,
    until,
    until_phase,
    until_status,
    worker_process,
)

from kinfold.errors import InputError
from workers.deliveries import QUEUE, rq_queue
from workers.errors import QueueUnavailableError
from workers.jobs import BuildSpec
from workers.queue import JobQueue, open_queue
from workers.settings import WorkerSettings, read_settings


@pytest.fixture
def settings(folder: Path, redis: RedisServer) -> WorkerSettings:
    return settings_for(folder, redis_url=redis.url)


@pytest.fixture
def queue(settings: WorkerSettings) -> JobQueue:
    return open_queue(settings)


def values(redis: RedisServer) -> Iterator[tuple[str, bytes]]:
    """Everything that is stored, value by value."""
    client = redis.client
    for key in client.scan_iter():
        name, kind = key.decode(), client.type(key)
        yield name, key
        if kind == b"string":
            yield name, client.get(key) or b""
        elif kind == b"hash":
            for field, value in client.hgetall(key).items():
                yield f"{name} {field.decode()}", value
        elif kind == b"list":
            yield from ((name, value) for value in client.lrange(key, 0, -1))
        elif kind == b"set":
            yield from ((name, value) for value in client.smembers(key))
        elif kind == b"zset":
            yield from ((name, value) for value in client.zrange(key, 0, -1))
        elif kind == b"stream":
            for _, fields in client.xrange(key):
                yield from ((f"{name} {f.decode()}", value) for f, value in fields.items())
        elif kind != b"none":  # which is what has gone since it was listed
            raise AssertionError(f"{name} is a {kind!r}")


def unpacked(value: bytes) -> Iterator[bytes]:
    """A value, and what it is when RQ has compressed or encoded it."""
    yield value
    for undo in (zlib.decompress, lambda v: zlib.decompress(base64.b64decode(v))):
        try:
            yield undo(value)
        except ValueError:
            pass
        except zlib.error:
            pass


def is_pickle(value: bytes) -> bool:
    # All protocols that RQ and Python have written for twenty years begin so.
    return value[:1] == b"\x80" and value[-1:] == b"."


def test_nothing_in_redis_is_a_pickle(
    settings: WorkerSettings, queue: JobQueue, redis: RedisServer, large: str
) -> None:
    assert is_pickle(pickle.dumps(("f", None, ["id"], {})))
    seen: dict[str, bytes] = {}

    def look() -> None:
        for name, value in values(redis):
            for text in unpacked(value):
                assert not is_pickle(text), (name, text)
            seen[name.split(":")[0] + ":" + name.split(":")[1]] = value

    good = queue.enqueue("photos", BuildSpec(source=large))
    bad = queue.enqueue("words", BuildSpec.checked({"source": "small.npy", "config": {"k_d": 300}}))
    look()
    with worker_process(settings):
        until_phase(queue, good)
        look()
        until_status(queue, good, "done")
        until_status(queue, bad, "failed")
        look()
    look()
    assert {"kinfold:job", "kinfold:beat", "kinfold:active", "rq:job", "rq:queue"} <= set(seen)
    data = zlib.decompress(next(iter(sent(redis, queue))))
    assert json.loads(data)[2] == [queue.active()[0].id]


def sent(redis: RedisServer, queue: JobQueue) -> list[bytes]:
    """The data of a delivery that RQ keeps."""
    job = queue.enqueue("more", SMALL)
    return [redis.client.hget(f"rq:job:{job.id}-{job.delivery}", "data")]


def test_what_is_over_is_removed_by_redis_itself(queue: JobQueue, redis: RedisServer) -> None:
    job = queue.enqueue("photos", SMALL)
    assert redis.client.ttl(f"kinfold:job:{job.id}") == -1, "a job that waits has all time"
    queue.cancel(job.id)
    assert 0 < redis.client.ttl(f"kinfold:job:{job.id}") <= 168 * 3600
    queue.retry(job.id)
    assert redis.client.ttl(f"kinfold:job:{job.id}") == -1


def test_a_delivery_that_got_lost_is_sent_again(
    settings: WorkerSettings, queue: JobQueue, redis: RedisServer
) -> None:
    job = queue.enqueue("photos", SMALL)
    redis.client.delete(f"rq:queue:{QUEUE}")
    with worker_process(settings):
        assert until_status(queue, job, "done").attempt == 1


def test_a_job_is_accepted_once_its_record_is_kept(queue: JobQueue, redis: RedisServer) -> None:
    """RQ's own keys are of the wrong type, so that nothing can be sent."""
    redis.client.set(f"rq:queue:{QUEUE}", "no list")
    job = queue.enqueue("photos", SMALL)
    assert queue.get(job.id).status == "queued"


def test_redis_does_not_choose_what_a_worker_runs(
    settings: WorkerSettings, queue: JobQueue, redis: RedisServer, folder: Path
) -> None:
    mark = folder / "mark"
    command = f"touch {mark}"
    ours = "workers.deliveries.deliver"
    plain = rq_queue(redis.client)
    plain.enqueue_call("os.system", args=[command])
    plain.enqueue_call(ours, args=["0" * 32], meta={"a": 1})
    plain.enqueue_call(ours, args=[{"not": "an id"}])
    plain.enqueue_call(ours, args=["a", "b"], kwargs={"c": 1})
    callback = plain.enqueue_call(ours, args=["0" * 32])
    redis.client.hset(callback.key, "success_callback_name", "os.system")
    pickled = Queue(QUEUE, connection=redis.client, serializer=PickleSerializer)
    pickled.enqueue_call("os.system", args=(command,))
    redis.client.rpush(plain.key, "no-such-slip")
    job = queue.enqueue("photos", SMALL)
    with worker_process(settings):
        until_status(queue, job, "done")
    assert not mark.exists()


def test_an_outage_stops_no_build_and_loses_no_job(
    folder: Path, large: str, tmp_path: Path
) -> None:
    (tmp_path / "redis").mkdir()
    server = RedisServer(tmp_path / "redis")
    server.start()
    try:
        settings = settings_for(folder, redis_url=server.url)
        queue = open_queue(settings)
        job = queue.enqueue("photos", BuildSpec(source=large))
        with worker_process(settings) as process:
            until_phase(queue, job)
            waiting = queue.enqueue("words", SMALL)
            server.kill()
            with pytest.raises(QueueUnavailableError):
                queue.get(job.id)
            with pytest.raises(QueueUnavailableError):
                queue.enqueue("more", SMALL)
            time.sleep(2)
            server.start()
            over = until_status(queue, job, "done")
            assert until_status(queue, waiting, "done").attempt == 1
            assert process.poll() is None
        assert over.attempt == 1, "the build went on while Redis was away"
    finally:
        server.close()


def test_a_worker_waits_for_redis_to_come(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    server = RedisServer(tmp_path / "redis")
    settings = settings_for(folder, redis_url=server.url)
    try:
        with worker_process(settings) as process:
            time.sleep(3)
            assert process.poll() is None
            server.start()
            queue = open_queue(settings)
            until_status(queue, queue.enqueue("photos", SMALL), "done")
    finally:
        server.close()


def test_a_full_redis_is_said_to_be_full(queue: JobQueue, redis: RedisServer) -> None:
    redis.client.config_set("maxmemory", "1")
    try:
        with pytest.raises(QueueUnavailableError, match="maxmemory"):
            queue.enqueue("photos", SMALL)
    finally:
        redis.client.config_set("maxmemory", "0")
    assert queue.active() == []


def test_a_frozen_redis_is_not_waited_for_long(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    server = RedisServer(tmp_path / "redis")
    server.start()
    try:
        queue = open_queue(settings_for(folder, redis_url=server.url))
        queue.enqueue("photos", SMALL)
        server.freeze()
        begun = time.monotonic()
        with pytest.raises(QueueUnavailableError):
            queue.enqueue("words", SMALL)
        assert time.monotonic() - begun < 20
    finally:
        server.close()


@pytest.mark.parametrize("url", ["http://:secret@host", "secret", "redis://:secret@host:port"])
def test_an_address_that_is_none_is_refused_without_its_password(folder: Path, url: str) -> None:
    with pytest.raises(InputError, match="KINFOLD_REDIS_URL") as error:
        read_settings(WorkerSettings, data=folder, redis_url=url)
    assert "secret" not in str(error.value)


def test_a_worker_signs_off(settings: WorkerSettings, redis: RedisServer) -> None:
    with worker_process(settings):
        until(lambda: redis.client.scard("rq:workers") == 1)
    assert redis.client.scard("rq:workers") == 0
