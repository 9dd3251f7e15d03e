"""What every queue does, on files and on Redis alike."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from worker_support import REPOSITORY, SMALL, clusters, settings_for

import kinfold
from workers.errors import (
    BuildInProgressError,
    JobStateError,
    SourceError,
    UnknownJobError,
    UnknownUploadError,
)
from workers.file_store import FileJobStore
from workers.jobs import (
    MOST_ATTEMPTS,
    Beat,
    BuildResult,
    BuildSpec,
    Job,
    JobError,
    JobProgress,
    now,
)
from workers.queue import JobQueue, open_queue
from workers.redis_store import RedisJobStore
from workers.settings import WorkerSettings
from workers.watchman import Watchman

RESULT = BuildResult(version="v", seconds=1.0, bytes=1, rows=2, dimension=3, models=["default"])
ERROR = JobError(type="InputError", message="a mistake")


def claimed(queue: JobQueue, job: Job) -> Job:
    found = queue.claim(job.id, "a worker")
    assert found is not None
    return found


def test_a_job_is_kept_as_it_was_asked_for(queue: JobQueue, settings: WorkerSettings) -> None:
    spec = BuildSpec.checked({"source": "small.npy", "config": {"k_d": 5}})
    job = queue.enqueue("photos", spec, "somebody")
    assert (job.status, job.attempt, job.asked_by) == ("queued", 1, "somebody")
    assert open_queue(settings).get(job.id) == job
    assert queue.active() == [job]


def test_jobs_of_a_collection_come_newest_first(queue: JobQueue) -> None:
    first = queue.enqueue("photos", SMALL)
    queue.enqueue("words", SMALL)
    queue.cancel(first.id)
    time.sleep(0.002)
    second = queue.enqueue("photos", SMALL)
    assert [job.id for job in queue.of_collection("photos")] == [second.id, first.id]
    assert queue.of_collection("nothing") == []


@pytest.mark.parametrize("name", ["0" * 32, "", "../x", "0" * 31 + "\n", "*", "é"])
def test_a_job_that_is_not_there(queue: JobQueue, name: str) -> None:
    for action in (queue.get, queue.cancel, queue.retry):
        with pytest.raises(UnknownJobError):
            action(name)
    assert queue.claim(name, "a worker") is None


def test_a_collection_has_one_build_at_a_time(queue: JobQueue) -> None:
    job = queue.enqueue("photos", SMALL)
    for _ in range(2):
        with pytest.raises(BuildInProgressError) as error:
            queue.enqueue("photos", SMALL)
        assert error.value.job_id == job.id
        queue.claim(job.id, "a worker")
    queue.enqueue("words", SMALL)


@pytest.mark.parametrize("end", ["done", "failed", "cancelled"])
def test_a_job_that_is_over_frees_its_collection(queue: JobQueue, end: str) -> None:
    job = claimed(queue, queue.enqueue("photos", SMALL))
    over = {
        "done": lambda: queue.done(job, RESULT),
        "failed": lambda: queue.failed(job, ERROR),
        "cancelled": lambda: queue.cancelled(job),
    }[end]()
    assert over is not None
    assert over.status == end
    assert over.ended is not None
    assert queue.get(job.id) == over
    assert queue.active() == []
    queue.enqueue("photos", SMALL)


def test_a_job_that_is_gone_frees_its_collection(queue: JobQueue) -> None:
    job = queue.enqueue("photos", SMALL)
    if isinstance(queue.store, FileJobStore):
        (queue.settings.data / ".jobs" / f"{job.id}.json").unlink()
    else:
        assert isinstance(queue.store, RedisJobStore)
        queue.store._client.delete(f"kinfold:job:{job.id}")
    assert queue.active() == []
    queue.enqueue("photos", SMALL)


def test_a_record_that_is_garbage_holds_nothing_up(queue: JobQueue) -> None:
    for number, garbage in enumerate((b"", b"\x80\x04.", b"[" * 100_000, b'{"id": 1}')):
        job = queue.enqueue("photos", SMALL)
        if isinstance(queue.store, FileJobStore):
            (queue.settings.data / ".jobs" / f"{job.id}.json").write_bytes(garbage)
        else:
            assert isinstance(queue.store, RedisJobStore)
            queue.store._client.set(f"kinfold:job:{job.id}", garbage)
        with pytest.raises(UnknownJobError):
            queue.get(job.id)
        assert queue.active() == [], number
        assert queue.of_collection("photos") == []


def test_only_one_of_many_threads_gets_the_collection_and_only_one_the_job(
    settings: WorkerSettings,
) -> None:
    """Each with a queue of its own, as processes have."""

    def ask(_: int) -> str | None:
        try:
            return open_queue(settings).enqueue("photos", SMALL).id
        except BuildInProgressError as error:
            lost.append(error.job_id)
            return None

    lost: list[str] = []
    with ThreadPoolExecutor(12) as pool:
        won = [found for found in pool.map(ask, range(24)) if found]
        assert len(won) == 1
        assert set(lost) == set(won)
        claims = list(pool.map(lambda _: open_queue(settings).claim(won[0], "w"), range(24)))
    assert sum(claim is not None for claim in claims) == 1


def test_only_one_of_many_processes_gets_the_collection(
    settings: WorkerSettings, queue: JobQueue
) -> None:
    url = settings.redis_url.get_secret_value() if settings.redis_url else None
    script = (
        "import sys; from workers.settings import WorkerSettings\n"
        "from workers.queue import open_queue; from workers.jobs import BuildSpec\n"
        "from workers.errors import BuildInProgressError\n"
        f"q = open_queue(WorkerSettings(data={str(settings.data)!r}, "
        f"sources={str(settings.sources)!r}, redis_url={url!r}))\n"
        "print('here', flush=True); sys.stdin.readline()\n"
        "try: print(q.enqueue('photos', BuildSpec(source='small.npy')).id)\n"
        "except BuildInProgressError as e: print('-' + e.job_id)\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(5)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
    said = [process.communicate("go\n", timeout=60)[0].strip() for process in processes]
    won = [text for text in said if not text.startswith("-")]
    assert len(won) == 1
    assert {text.lstrip("-") for text in said} == set(won)
    assert [job.id for job in queue.active()] == won


def test_whoever_was_given_up_changes_nothing_any_more(queue: JobQueue) -> None:
    old = claimed(queue, queue.enqueue("photos", SMALL))
    queue.crashed(old, "nothing was heard")
    new = claimed(queue, old)
    queue.beat(old, JobProgress(phase="old", done=1, total=2))
    assert queue.get(new.id).progress is None
    assert queue.done(old, RESULT) is None
    assert queue.failed(old, ERROR) is None
    assert queue.hand_back(old) is None
    assert queue.crashed(old, "again") is None
    assert queue.get(new.id).claim == new.claim
    assert queue.done(new, RESULT) is not None


def test_a_job_whose_workers_die_is_given_up_after_some_attempts(queue: JobQueue) -> None:
    job = queue.enqueue("photos", SMALL)
    for attempt in range(1, MOST_ATTEMPTS + 1):
        assert queue.get(job.id).attempt == attempt
        over = queue.crashed(claimed(queue, job), "killed by SIGKILL")
    assert over is not None
    assert over.status == "failed"
    assert over.error is not None
    assert over.error.type == "WorkerLost"
    assert "SIGKILL" in over.error.message
    queue.retry(job.id)
    again = queue.crashed(claimed(queue, job), "killed")
    assert again is not None
    assert (again.status, again.attempt) == ("queued", MOST_ATTEMPTS + 2)


def test_handing_back_costs_no_attempt(queue: JobQueue) -> None:
    job = queue.enqueue("photos", SMALL)
    for _ in range(MOST_ATTEMPTS + 1):
        back = queue.hand_back(claimed(queue, job))
        assert back is not None
        assert (back.status, back.attempt, back.claim) == ("queued", 1, None)


def test_cancel(queue: JobQueue) -> None:
    waiting = queue.enqueue("photos", SMALL)
    assert queue.cancel(waiting.id).status == "cancelled"
    assert queue.claim(waiting.id, "a worker") is None
    with pytest.raises(JobStateError, match="cancelled"):
        queue.cancel(waiting.id)
    running = claimed(queue, queue.enqueue("photos", SMALL))
    asked = queue.cancel(running.id)
    assert (asked.status, asked.cancel_requested) == ("running", True)
    # Its worker died before it could: that is a cancelled job, and no further attempt.
    over = queue.crashed(running, "killed")
    assert over is not None
    assert over.status == "cancelled"


def test_retry(queue: JobQueue) -> None:
    job = queue.enqueue("photos", SMALL)
    with pytest.raises(BuildInProgressError) as busy:
        queue.retry(job.id)
    assert busy.value.job_id == job.id
    queue.failed(claimed(queue, job), ERROR)
    again = queue.retry(job.id)
    assert (again.status, again.attempt, again.error, again.ended) == ("queued", 2, None, None)
    queue.cancel(job.id)
    other = queue.enqueue("photos", SMALL)
    with pytest.raises(BuildInProgressError) as busy:
        queue.retry(job.id)
    assert busy.value.job_id == other.id
    queue.done(claimed(queue, other), RESULT)
    with pytest.raises(JobStateError, match="done"):
        queue.retry(other.id)


def test_a_beat_shows_while_the_job_runs_and_its_last_one_stays(queue: JobQueue) -> None:
    job = claimed(queue, queue.enqueue("photos", SMALL))
    progress = JobProgress(phase="diffusion", done=3, total=4, rate=2.0, eta_seconds=0.5)
    queue.beat(job, progress)
    found = queue.get(job.id)
    assert found.progress == progress
    assert found.heartbeat is not None
    assert queue.of_collection("photos")[0].progress == progress
    queue.failed(job, ERROR)
    assert queue.get(job.id).progress == progress


def test_what_is_over_is_kept_for_its_time_and_no_longer(settings: WorkerSettings) -> None:
    short = settings.model_copy(update={"job_ttl_hours": 1.0 / 3600})
    queue = open_queue(short)
    over = queue.enqueue("photos", SMALL)
    waiting = queue.enqueue("words", SMALL)
    queue.cancel(over.id)
    queue.store.remove_expired()
    assert queue.get(over.id).status == "cancelled"
    time.sleep(1.2)
    queue.store.remove_expired()
    with pytest.raises(UnknownJobError):
        queue.get(over.id)
    assert queue.of_collection("photos") == []
    assert queue.get(waiting.id) == waiting


def test_watching_shows_every_state_until_the_end(queue: JobQueue) -> None:
    job = queue.enqueue("photos", SMALL)
    seen: list[Job] = []
    thread = threading.Thread(target=lambda: seen.extend(queue.watch(job.id)))
    thread.start()
    time.sleep(0.3)
    running = claimed(queue, job)
    queue.beat(running, JobProgress(phase="vectors", done=1, total=2))
    time.sleep(0.5)
    queue.done(running, RESULT)
    thread.join(10)
    assert not thread.is_alive()
    assert [found.status for found in seen] == ["queued", "running", "done"]
    assert seen[-1].result == RESULT


def test_a_silent_job_is_given_to_another_worker(settings: WorkerSettings) -> None:
    """The watchman is asked directly: a live job keeps its worker, a silent one does not."""
    quick = settings.model_copy(update={"heartbeat_seconds": 0.2})
    queue = open_queue(quick)
    lively = claimed(queue, queue.enqueue("photos", SMALL))
    silent = claimed(queue, queue.enqueue("words", SMALL))
    watchman = Watchman(queue)
    end = time.monotonic() + 0.6
    while time.monotonic() < end:
        queue.beat(lively, None)
        watchman.look()
        time.sleep(0.05)
    assert queue.get(lively.id).claim == lively.claim
    found = queue.get(silent.id)
    assert (found.status, found.attempt) == ("queued", 2)


def test_a_beat_of_long_ago_is_no_sign_of_death_to_a_new_watchman(queue: JobQueue) -> None:
    job = claimed(queue, queue.enqueue("photos", SMALL))
    assert job.claim is not None
    queue.store.write_beat(job.id, Beat(claim=job.claim, at=now() - timedelta(days=1)))
    watchman = Watchman(queue)
    watchman.look()
    watchman.look()
    assert queue.get(job.id).status == "running"


def test_what_cannot_be_built_is_refused_before_it_is_a_job(queue: JobQueue) -> None:
    with pytest.raises(SourceError, match="no file"):
        queue.enqueue("photos", BuildSpec(source="other.npy"))
    with pytest.raises(UnknownUploadError):
        queue.enqueue("photos", BuildSpec(upload="0" * 32))
    with pytest.raises(SourceError, match="no live version"):
        queue.enqueue("photos", BuildSpec())
    assert queue.active() == []
    kinfold.build(clusters(50, 8), queue.settings.data / "photos")
    queue.enqueue("photos", BuildSpec())


def test_jobs_of_files_survive_without_their_data_folder_being_there(tmp_path) -> None:
    """Asking about jobs before there was any makes nothing."""
    queue = open_queue(settings_for(tmp_path))
    assert queue.active() == []
    assert queue.of_collection("photos") == []
    assert not (tmp_path / "data").exists()
