"""The dependability scripts measure what they say, in seconds; the promises take minutes."""

from __future__ import annotations

import time
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np
import psutil
import pytest

from benchmarks.dependability import redis
from benchmarks.dependability.collection import NAME, SEARCH, Place, place
from benchmarks.dependability.kills import trial
from benchmarks.dependability.load import Load, Seen
from benchmarks.dependability.memory import Watch, growth, look
from benchmarks.dependability.processes import Process, Redis, Service, all_of, until
from benchmarks.dependability.swaps import in_turn, swap
from benchmarks.dependability.verdict import Verdict


@pytest.fixture(scope="module")
def at() -> Place:
    with place(600, 16, versions=2) as found:
        yield found


def test_growth_is_the_slope_and_not_a_peak() -> None:
    assert growth([5] * 50) == 0
    assert growth([5, 5, 500, 5, 5, 5, 5, 5]) == 0
    assert growth(list(range(100))) == pytest.approx(99)
    assert growth([1, 2]) == 0


def test_what_was_seen_is_counted() -> None:
    seen = Seen(np.arange(4.0), np.array([0.1, 0.2, 0.3, 9.0]), np.array([200, 200, 503, 0]))
    assert seen.failed == 2
    assert seen.statuses == {"lost": 1, "200": 2, "503": 1}
    assert seen.milliseconds(1.0) == 200
    assert len(seen.during([(0, 1), (2, 3)])) == 2


def test_a_broken_promise_ends_the_program_with_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.common.OUTPUT", tmp_path)
    for found, status in ((1.0, 0), (3.0, 1), (float("nan"), 1)):
        verdict = Verdict("some", "Some")
        verdict.promise("a thing", found, 2)
        verdict.at_least("another", 5, 5)
        with pytest.raises(SystemExit) as ended:
            verdict.close()
        assert ended.value.code == status
    assert (tmp_path / "dependability-some.json").is_file()
    assert "NO" in capsys.readouterr().out


def lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def test_a_process_is_killed_with_its_children(tmp_path: Path) -> None:
    process = Process("shell", ["sh", "-c", "sleep 60 & sleep 60"], tmp_path / "log")
    with process:
        while len(process.family()) < 3:
            time.sleep(0.01)
        family = process.family()
        assert look(process).descriptors > 0
        process.kill()
        assert not process.is_running
        # Killed all at once, but only the first of them is waited for.
        until(lambda: not any(lives(one) for one in family), "all of them to end", 10)


def test_swaps_under_load_fail_no_search(at: Place) -> None:
    with Service(at.data, at.log("service"), cache="off") as service, service.client() as client:
        service.wait_until_ready()
        with (
            Load(service.port, SEARCH, at.queries, at.folder, rate=40) as load,
            Watch(service) as watch,
        ):
            live = list(islice(in_turn(client), 4))
            for other in live:
                swap(client, other)
            time.sleep(0.5)
        assert live[0] == live[2] != live[1]
        assert load.saw.failed == 0
        assert len(load.saw) > 10
        assert watch.holdings[0].private > 0
        assert client.describe_collection(NAME).version == live[-1]


def test_redis_killed_under_load_fails_no_search(at: Place) -> None:
    server = Redis(at.folder / "redis")
    service = Service(at.data, at.log("with redis"), redis_url=server.url, cache="redis")
    with all_of(server, service), service.client() as client:
        service.wait_until_ready()
        load = Load(service.port, SEARCH, redis.queries(at.queries), at.folder, rate=40)
        with load:
            time.sleep(0.5)
            server.kill()
            time.sleep(1.0)
            server.start()
            time.sleep(0.5)
        assert load.saw.failed == 0
        assert client.readiness().is_ready


@pytest.mark.long
@pytest.mark.parametrize("queue", ["files", "redis"])
def test_kills_lose_nothing_that_was_acknowledged(queue: str) -> None:
    verdict = trial(queue, kills=1, rows=600, pause=1.0)
    assert not verdict.broken, verdict.rows
