"""Real workers, real builds, and what befalls them."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from worker_support import (
    SMALL,
    clusters,
    until,
    until_phase,
    until_status,
    worker_process,
)

import kinfold
from kinfold.index.publish import VersionWriter
from workers.jobs import BuildSpec, Job
from workers.local import LocalWorker
from workers.queue import JobQueue, open_queue
from workers.run import JobRunner
from workers.settings import WorkerSettings
from workers.uploads import UploadWriter


@pytest.fixture(params=[pytest.param("files", marks=pytest.mark.long), "redis"])
def kind(request: pytest.FixtureRequest) -> str:
    """As everywhere here, but files take their turn in the long tests."""
    return str(request.param)


def children(process_id: int) -> list[psutil.Process]:
    return psutil.Process(process_id).children(recursive=True)


def test_from_a_source_an_upload_and_the_live_version(
    settings: WorkerSettings, queue: JobQueue, folder: Path
) -> None:
    vectors = clusters(200, 8)
    table = pa.table({"v": list(vectors), "key": [f"k{i}" for i in range(200)], "n": range(200)})
    pq.write_table(table, folder / "some.parquet")
    with UploadWriter(settings.data, "application/vnd.apache.parquet", 1 << 30) as writer:
        writer.write((folder / "some.parquet").read_bytes())
        upload = writer.finish()
    spec = {
        "upload": upload.id,
        "columns": {"vectors": "v", "ids": "key", "payload": ["n"]},
        "models": {"far": {"alpha": 0.99}, "near": {"alpha": 0.5}},
    }
    photos = queue.enqueue("photos", BuildSpec.checked({"source": "small.npy"}))
    words = queue.enqueue("words", BuildSpec.checked(spec))
    with worker_process(settings, "--burst") as process:
        assert process.wait(120) == 0
    found = queue.get(photos.id)
    assert found.status == "done", found.error
    assert found.result is not None
    assert found.result.rows == 300
    assert (settings.data / "photos" / "CURRENT").read_text().strip() == found.result.version
    assert found.progress is not None
    assert found.progress.done == found.progress.total
    assert found.progress.rss_bytes is not None
    assert found.result.models == ["default"]
    first = queue.get(words.id).result
    assert first is not None
    assert first.models == ["far", "near"]

    again = queue.enqueue("words", BuildSpec())
    with worker_process(settings, "--once") as process:
        assert process.wait(120) == 0
    second = queue.get(again.id).result
    assert second is not None
    assert second.version != first.version
    assert second.models == first.models
    index = kinfold.open(settings.data / "words")
    assert index.version.name == second.version
    assert index.ids_of(np.arange(3, dtype=np.uint32)).tolist() == ["k0", "k1", "k2"]
    assert index.manifest.payload_columns == ["n"]


def test_a_users_mistake_fails_the_job_with_the_reason_and_no_path(
    settings: WorkerSettings, queue: JobQueue, folder: Path
) -> None:
    assert settings.sources is not None
    bad = clusters(50, 8)
    bad[7, 3] = np.nan
    np.save(settings.sources / "nan.npy", bad)
    (settings.sources / "empty.npy").write_bytes(b"")
    damaged = queue.enqueue("photos", BuildSpec(source="nan.npy"))
    empty = queue.enqueue("words", BuildSpec(source="empty.npy"))
    with worker_process(settings, "--burst") as process:
        assert process.wait(60) == 0
    for job, said in ((damaged, "row 7"), (empty, "empty.npy")):
        found = queue.get(job.id)
        assert (found.status, found.attempt) == ("failed", 1)
        assert found.error is not None
        assert found.error.type == "InputError"
        assert said in found.error.message
        assert str(folder) not in found.error.message


def test_a_worker_that_is_killed_is_noticed_and_its_job_goes_on(
    settings: WorkerSettings, queue: JobQueue, large: str
) -> None:
    job = queue.enqueue("photos", BuildSpec(source=large))
    with worker_process(settings) as first:
        until_phase(queue, job)
        (builder,) = children(first.pid)
        first.kill()
        first.wait()
        killed = time.monotonic()
        # Nothing builds on behind its back.
        until(lambda: not builder.is_running() or builder.status() == psutil.STATUS_ZOMBIE, 10)
        with worker_process(settings):
            until(lambda: queue.get(job.id).attempt == 2, 30)
            noticed = time.monotonic() - killed
            over = until_status(queue, job, "done")
    # Three heartbeats, and the start of the other worker, which takes its time on a busy machine.
    assert noticed < 3 * settings.heartbeat_seconds + 15
    assert over.crashes == 1
    assert kinfold.open(settings.data / "photos").version.name == over.result.version


def test_a_build_that_is_killed_is_tried_again_by_the_same_worker(
    settings: WorkerSettings, queue: JobQueue, large: str
) -> None:
    job = queue.enqueue("photos", BuildSpec(source=large))
    with worker_process(settings) as process:
        until_phase(queue, job)
        (builder,) = children(process.pid)
        builder.kill()
        until(lambda: queue.get(job.id).attempt == 2, 20)
        assert until_status(queue, job, "done").crashes == 1


def test_a_build_that_is_always_killed_is_given_up(
    settings: WorkerSettings, queue: JobQueue, large: str
) -> None:
    job = queue.enqueue("photos", BuildSpec(source=large))
    with worker_process(settings) as process:

        def kill_builder() -> Job | None:
            for builder in children(process.pid):
                builder.kill()
            found = queue.get(job.id)
            return None if found.is_active else found

        over = until(kill_builder)
    assert over.status == "failed"
    assert over.error is not None
    assert over.error.type == "WorkerLost"
    assert "SIGKILL" in over.error.message
    assert over.attempt == 3


def test_a_running_job_is_cancelled_within_about_a_second(
    settings: WorkerSettings, queue: JobQueue, large: str
) -> None:
    job = queue.enqueue("photos", BuildSpec(source=large))
    with worker_process(settings) as process:
        until_phase(queue, job)
        (builder,) = children(process.pid)
        asked = time.monotonic()
        assert queue.cancel(job.id).cancel_requested
        until_status(queue, job, "cancelled", seconds=20)
        seconds = time.monotonic() - asked
        assert not builder.is_running()
        assert not (settings.data / "photos" / "CURRENT").exists()
        # The worker is free at once, and the job can be had back.
        queue.retry(job.id)
        until_status(queue, job, "done")
    assert seconds < 5, "far beyond a second, even on a busy machine"


def test_sigterm_hands_the_running_job_back(
    settings: WorkerSettings, queue: JobQueue, large: str
) -> None:
    job = queue.enqueue("photos", BuildSpec(source=large))
    with worker_process(settings) as process:
        until_phase(queue, job)
        process.send_signal(signal.SIGTERM)
        told = time.monotonic()
        assert process.wait(20) == 0
        assert time.monotonic() - told < 10
    found = queue.get(job.id)
    assert (found.status, found.attempt, found.claim) == ("queued", 1, None)
    with worker_process(settings, "--burst") as process:
        assert process.wait(120) == 0
    assert queue.get(job.id).status == "done"


def test_idle_workers_end_at_once(settings: WorkerSettings) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with worker_process(settings) as process:
            assert process.stderr is not None
            assert b"takes jobs" in process.stderr.readline()
            time.sleep(0.5)
            process.send_signal(number)
            assert process.wait(10) == 0


def test_a_worker_in_this_process_works_beside_others(folder: Path) -> None:
    """As in a service without Redis; two of them, as two services on one folder would be."""
    from worker_support import settings_for

    queue = open_queue(settings_for(folder))
    before = set(threading.enumerate())
    workers = [LocalWorker(open_queue(queue.settings)) for _ in range(2)]
    for worker in workers:
        worker.start()
    jobs = [queue.enqueue(name, SMALL) for name in ("a", "b", "c")]
    for job in jobs:
        assert until_status(queue, job, "done").attempt == 1
    for worker in workers:
        worker.close()
    left = set(threading.enumerate()) - before
    assert not [thread for thread in left if thread.name.startswith("kinfold")]


def test_a_collection_that_somebody_builds_by_hand_is_waited_for(folder: Path) -> None:
    from worker_support import settings_for

    queue = open_queue(settings_for(folder))
    job = queue.claim(queue.enqueue("photos", SMALL).id, "a worker")
    assert job is not None
    runner = threading.Thread(target=JobRunner(queue, threading.Event()).run, args=(job,))
    with VersionWriter(settings_for(folder).data / "photos"):
        runner.start()
        time.sleep(4)
        assert queue.get(job.id).status == "running"
    runner.join(60)
    assert queue.get(job.id).status == "done"


def test_a_job_that_was_given_to_somebody_else_is_left_alone(folder: Path, large: str) -> None:
    """A worker that was frozen for long, and wakes up, does not disturb its successor."""
    from worker_support import settings_for

    queue = open_queue(settings_for(folder))
    job = queue.claim(queue.enqueue("photos", BuildSpec(source=large)).id, "frozen")
    assert job is not None
    runner = threading.Thread(target=JobRunner(queue, threading.Event()).run, args=(job,))
    runner.start()
    until_phase(queue, job)
    queue.crashed(job, "nothing was heard")
    successor = queue.claim(job.id, "successor")
    runner.join(10)
    assert not runner.is_alive()
    assert queue.get(job.id).claim == successor.claim
