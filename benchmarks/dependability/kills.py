"""Service and worker are killed (-9) at random while builds are queued and searches run.

python -m benchmarks.dependability.kills [--kills 50] [--queue files|redis|both]

Every job that was acknowledged must end done, every version on disk must be whole, and no search
may ever be told that a collection is damaged.
"""

from __future__ import annotations

import argparse
import random
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

import kinfold
from benchmarks.dependability.collection import Place, place
from benchmarks.dependability.processes import Process, Redis, Service, Worker, all_of
from benchmarks.dependability.verdict import Verdict
from kinfold.client import (
    BuildEndedError,
    Client,
    ConflictError,
    Job,
    KinfoldServiceError,
    NotFoundError,
    Patience,
    UnreachableError,
)
from kinfold.index.versions import describe_versions

COLLECTIONS = ("one", "two", "three")
_PATIENT = Patience(retries=1000, deadline=120, longest_pause=0.5)
_RETRIES = 5


@dataclass
class Happened:
    """What the threads saw while processes died around them."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    """Collection of each job, by its id."""
    unanswered: int = 0
    refused: int = 0
    searches: int = 0
    wrong: list[str] = field(default_factory=list)


class Trial:
    """Processes that are killed and started again, and threads that ask things of them."""

    def __init__(self, at: Place, service: Service, seed: int) -> None:
        self._at = at
        self._service = service
        self._random = random.Random(seed)
        self._done = threading.Event()
        self.happened = Happened()

    def run(self, victims: list[Process], kills: int, pause: float) -> None:
        """Kill so many times, each time one of the victims, and start it again."""
        threads = [threading.Thread(target=self._ask_for_builds)]
        threads += [threading.Thread(target=self._search, args=(name,)) for name in COLLECTIONS[:2]]
        for thread in threads:
            thread.start()
        try:
            for _ in range(kills):
                time.sleep(self._random.uniform(0.1, 2 * pause))
                victim = self._random.choice(victims)
                # Alone: its builds are orphans, and still at work when it is back.
                victim.kill(alone=self._random.random() < 0.5)
                time.sleep(self._random.uniform(0, 0.3))
                victim.start()
                # Mostly it gets to work before the next one; sometimes it dies while it starts.
                if victim is self._service and self._random.random() < 0.8:
                    self._service.wait_until_ready()
        finally:
            self._done.set()
            for thread in threads:
                thread.join()

    def _ask_for_builds(self) -> None:
        happened = self.happened
        choice = random.Random(1)
        with self._service.client(patience=Patience(retries=0, deadline=20)) as client:
            while not self._done.wait(0.05):
                name = choice.choice(COLLECTIONS)
                try:
                    job = client.start_build(
                        name, source="vectors.npy", config={"k_d": choice.randint(5, 12)}
                    )
                    happened.acknowledged[job.id] = name
                except ConflictError:
                    happened.refused += 1
                except KinfoldServiceError as error:
                    if error.status is not None and error.status >= 500 and error.status != 503:
                        happened.wrong.append(str(error))
                    happened.unanswered += 1

    def _search(self, name: str) -> None:
        happened = self.happened
        with self._service.client(patience=_PATIENT) as client:
            number = 0
            while not self._done.is_set():
                number += 1
                query = self._at.queries[number % len(self._at.queries)]
                try:
                    found = client.search(name, query, k=5)
                    if len(found.ids) != 5:
                        happened.wrong.append(f"{len(found.ids)} hits of 5")
                    happened.searches += 1
                except KinfoldServiceError as error:
                    happened.wrong.append(str(error))


def settle(
    client: Client, jobs: dict[str, str], seconds: float
) -> tuple[list[Job], list[str], int]:
    """Wait until every job is over: those that ended, what is wrong, and how many were retried.

    A job whose process has died too often is given up and says so; by hand it is tried again.
    """
    ended, wrong, retried = [], [], 0
    end = time.monotonic() + seconds
    for job_id, name in jobs.items():
        for _ in range(_RETRIES):
            try:
                left = max(1.0, end - time.monotonic())
                ended.append(client.wait_for_build(name, job_id, timeout=left))
                break
            except BuildEndedError as error:
                retried += 1
                while time.monotonic() < end:
                    try:
                        client.retry_build(name, job_id)
                        break
                    except ConflictError:
                        # Another build of the collection is at work.
                        time.sleep(0.2)
                    except UnreachableError:
                        time.sleep(0.2)
                last = str(error)
            except NotFoundError as error:
                wrong.append(f"lost: {error}")
                break
            except TimeoutError as error:
                wrong.append(f"not over: {error}")
                break
        else:
            wrong.append(f"failed again and again: {last}")
    return ended, wrong, retried


def damaged_versions(at: Place) -> tuple[int, list[str]]:
    """How many versions there are, and what is wrong with any: every byte is read."""
    count, wrong = 0, []
    for name in COLLECTIONS:
        folder = at.data / name
        for info in describe_versions(folder):
            count += 1
            report = kinfold.verify(folder / "versions" / info.name)
            wrong += [f"{name}: {problem}" for problem in report.problems]
    return count, wrong


def trial(queue: str, kills: int, rows: int, pause: float) -> Verdict:
    """One run with one kind of queue."""
    verdict = Verdict(f"kills-{queue}", f"kill -9, {kills} times; jobs in {queue}, {rows:,} × 32")
    with place(rows, 32, names=COLLECTIONS) as at, ExitStack() as stack:
        (at.folder / "sources").mkdir()
        at.save(at.folder / "sources" / "vectors.npy")
        settings: dict[str, object] = {
            "sources": at.folder / "sources", "heartbeat_seconds": 0.5, "watch_seconds": 0.2,
        }  # fmt: skip
        victims: list[Process]
        if queue == "redis":
            redis = Redis(at.folder / "redis", durable=True)
            settings["redis_url"] = redis.url
            service = Service(at.data, at.log("service"), **settings)
            worker = Worker(at.data, at.log("worker"), **settings)
            victims = [service, worker]
            stack.enter_context(all_of(redis, *victims))
        else:
            service = Service(at.data, at.log("service"), **settings)
            victims = [service]
            stack.enter_context(all_of(service))
        service.wait_until_ready()
        tried = Trial(at, service, seed=3)
        tried.run(victims, kills, pause)
        service.wait_until_ready()
        happened = tried.happened
        with service.client(patience=_PATIENT) as client:
            ended, wrong, retried = settle(client, happened.acknowledged, 300)
        versions, damaged = damaged_versions(at)
    verdict.fact("kills", kills)
    verdict.fact("builds asked for and acknowledged", len(happened.acknowledged))
    verdict.fact("refused, a build being at work", happened.refused)
    verdict.fact("without an answer, so not acknowledged", happened.unanswered)
    verdict.fact("of them taken up again by hand", retried)
    verdict.fact("searches answered", happened.searches)
    verdict.fact("versions on disk, each byte verified", versions)
    verdict.at_least("acknowledged builds that ended done", len(ended), len(happened.acknowledged))
    verdict.at_least("acknowledged builds", len(happened.acknowledged), 1)
    verdict.promise("damaged versions", len(damaged), 0)
    verdict.promise("answers that must not be", len(happened.wrong), 0)
    for line in [*wrong, *damaged, *happened.wrong][:10]:
        print(line)
    return verdict


def main() -> None:
    """Both kinds of queue, or one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--queue", choices=["files", "redis", "both"], default="both")
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--pause", type=float, default=1.5, help="seconds between kills, about")
    given = parser.parse_args()
    queues = ["files", "redis"] if given.queue == "both" else [given.queue]
    verdicts = [trial(queue, given.kills, given.rows, given.pause) for queue in queues]
    for verdict in verdicts:
        verdict.print()
    raise SystemExit(any(verdict.broken for verdict in verdicts))


if __name__ == "__main__":
    main()
