"""`kinfold doctor`: every fault that it knows is put in, and is found, with what to do."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis
from cli_support import flip, live, run_process
from own_redis import OwnRedis

from cli import doctor_machine, doctor_service
from service.security.keys import KEYS_FILE
from service.security.store import create_key, revoke_key


@pytest.fixture(autouse=True)
def clean(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with data/people and a key, and no settings of others."""
    for name in list(os.environ):
        if name.startswith("KINFOLD_"):
            monkeypatch.delenv(name)
    create_key(here / "data" / KEYS_FILE, "admin")
    return here


@pytest.fixture
def doctor(kinfold, monkeypatch):
    """Runs it with settings; gives the exit code, and what it says by check and status."""

    def run(*arguments, **settings):
        for name, value in settings.items():
            monkeypatch.setenv(f"KINFOLD_{name.upper()}", str(value))
        outcome = kinfold("doctor", "--json", *arguments)
        assert "Traceback" not in outcome.err
        found = outcome.json
        assert outcome.code == (0 if found["ok"] else 1)
        assert found["ok"] == all(one["status"] != "failed" for one in found["checks"])
        for one in found["checks"]:
            assert one["status"] == "ok" or one["advice"], one
        return found["checks"]

    return run


def of(checks: list[dict[str, str]], check: str, status: str) -> str:
    """What was found, of one check with one status; there must be one."""
    said = [
        f"{c['found']} → {c['advice']}"
        for c in checks
        if (c["check"], c["status"]) == (check, status)
    ]
    assert said, (check, status, checks)
    return "\n".join(said)


def test_all_is_well(kinfold, doctor):
    checks = doctor()
    assert {one["status"] for one in checks} == {"ok"}
    assert {"settings", "data folder", "disk", "keys", "redis", "clock", "collection people"} <= {
        one["check"] for one in checks
    }
    shown = kinfold("doctor")
    assert shown.code == 0
    assert re.search(r"collection people +ok +\d+ × 8", shown.out)
    assert re.search(r"\n\d+ ok, 0 warning, 0 failed\n", shown.out)


def test_full_hashes_every_file(doctor, here):
    assert "as built" in of(doctor("--full"), "collection people", "ok")
    flip(live(here / "data" / "people") / "vectors.npy", -1)
    of(doctor(), "collection people", "ok")
    assert "sha256" in of(doctor("--full"), "collection people", "failed")


def test_a_collection_that_does_not_open(doctor, here):
    version = live(here / "data" / "people")
    (version / "vectors.npy").unlink()
    assert "vectors.npy" in of(doctor(), "collection people", "failed")
    shutil.rmtree(version)
    assert "which does not exist" in of(doctor("--full"), "collection people", "failed")


def test_bad_settings(doctor):
    said = of(doctor(port="x", rate_limit="often"), "settings", "failed")
    assert "KINFOLD_PORT" in said
    assert "KINFOLD_RATE_LIMIT" in said


def test_no_data_folder(doctor):
    checks = doctor("--data", "nowhere")
    assert "cannot be read" in of(checks, "data folder", "failed")
    assert "mkdir" in of(checks, "data folder", "failed")


def test_a_data_folder_that_cannot_be_written(doctor, here, monkeypatch):
    # The user of the tests may be root, whom no mode keeps out.
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor_service.Path, "write_bytes", refused)
    assert "cannot be written: Permission denied" in of(doctor(), "data folder", "warning")


@pytest.mark.parametrize(
    ("free", "status"), [(10 << 20, "failed"), (300 << 20, "warning"), (80 << 30, "ok")]
)
def test_disk(doctor, monkeypatch, free, status):
    usage = SimpleNamespace(total=100 << 30, used=0, free=free)
    monkeypatch.setattr(doctor_service.shutil, "disk_usage", lambda _: usage)
    assert "free" in of(doctor(), "disk", status)


def test_keys(doctor, here):
    path = here / "data" / KEYS_FILE
    assert "1 valid of 1" in of(doctor(), "keys", "ok")
    path.chmod(0o644)
    assert "chmod 600" in of(doctor(), "keys", "warning")
    path.chmod(0o666)
    assert "not believed" in of(doctor(), "keys", "failed")
    path.chmod(0o600)
    create_key(path, "read", expires_days=3)
    assert "expires" in of(doctor(), "keys", "warning")
    for key in json.loads(path.read_bytes())["keys"]:
        revoke_key(path, key["id"])
    assert "none of them valid → make one: kinfold keys create" in of(doctor(), "keys", "failed")
    path.write_text("{")
    assert "damaged" in of(doctor(), "keys", "failed")
    path.unlink()
    assert "does not exist" in of(doctor(), "keys", "failed")


def test_auth_off_is_said(doctor):
    checks = doctor(auth="off", host="0.0.0.0")  # noqa: S104
    said = of(checks, "security", "warning")
    assert "everybody who reaches this service" in said
    assert "open to the network" in said
    assert not [one for one in checks if one["check"] == "keys"]


def test_every_origin_is_said(doctor):
    assert "every origin" in of(doctor(cors_origins="*"), "security", "warning")


def test_audit_log(doctor, here):
    assert "a.jsonl" in of(doctor(audit_log=here / "a.jsonl"), "audit log", "ok")
    assert "cannot be written" in of(doctor(audit_log=here / "no" / "a"), "audit log", "failed")


def test_leftovers(doctor, here):
    people = here / "data" / "people"
    folder = people / "versions" / ".building-0123"
    folder.mkdir()
    (folder / "vectors.npy").write_bytes(b"x" * 3000)
    (here / "data" / ".dropped-4567").mkdir()
    said = of(doctor(), "leftovers", "warning")
    assert re.search(r"\.building-0123: 3(\.0)? kB", said)
    assert ".dropped-4567" in said
    # A build that is at work is none.
    with (people / "LOCK").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert ".building-0123" not in of(doctor(), "leftovers", "warning")


def test_strange_names(doctor, here):
    shutil.copytree(here / "data" / "people", here / "data" / "My People")
    assert "My People is not served" in of(doctor(), "collections", "warning")


def test_no_collections(doctor, here):
    shutil.rmtree(here / "data" / "people")
    assert "kinfold build" in of(doctor(), "collections", "warning")


def test_an_empty_collection_is_no_fault(doctor, kinfold):
    assert kinfold("collections", "create", "new", "--data", "data").code == 0
    assert "waits for a build" in of(doctor(), "collection new", "ok")


def test_more_threads_than_cores(doctor):
    assert "KINFOLD_THREADS" in of(doctor(threads=900), "cores", "warning")


def test_a_clock_that_went_back(doctor, here):
    shutil.copytree(
        live(here / "data" / "people"), here / "data/people/versions/29990101T000000Z-ab"
    )
    assert "29990101" in of(doctor(), "clock", "warning")


def test_libraries(doctor, monkeypatch):
    monkeypatch.setattr(
        doctor_machine.metadata,
        "requires",
        lambda _: ["numpy>=99", "nothing-of-this-name>=1", 'x; extra == "dev"'],
    )
    said = of(doctor(), "libraries", "failed")
    assert "numpy>=99 wanted" in said
    assert "nothing-of-this-name>=1 is missing" in said


def test_a_check_that_fails_itself_is_a_finding(doctor, monkeypatch):
    def broken(_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(doctor_machine, "clock", broken)
    assert "could not be checked: RuntimeError" in of(doctor(), "clock", "failed")


def test_as_a_process(here):
    (here / "data" / "people" / "CURRENT").write_bytes(b"\xff\x00")
    outcome = run_process("doctor", "--data", "data", cwd=here)
    assert outcome.code == 1
    assert "Traceback" not in outcome.out + outcome.err
    assert "1 failed" in outcome.out


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., OwnRedis]]:
    """A real redis-server, with options."""
    started: list[OwnRedis] = []

    def start(*options: str) -> OwnRedis:
        started.append(OwnRedis(tmp_path, *options))
        return started[-1]

    yield start
    for one in started:
        one.kill()


def test_redis_as_it_should_be(doctor, start):
    own = start("--appendonly", "yes", "--maxmemory-policy", "noeviction")
    checks = doctor(redis_url=own.url, redis_timeout_ms=2000)
    assert re.search(r"Redis \d+\.\d+\.\d+, [\d.]+ ms", of(checks, "redis", "ok"))
    assert "appendonly" in of(checks, "redis persistence", "ok")
    assert "noeviction" in of(checks, "redis memory", "ok")
    with redis.Redis(port=own.port) as client:
        assert client.dbsize() == 0


def test_redis_as_it_should_not_be(doctor, start):
    own = start("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    checks = doctor(redis_url=own.url)
    assert "appendonly yes" in of(checks, "redis persistence", "warning")
    assert "noeviction" in of(checks, "redis memory", "warning")


def test_redis_that_is_slow(doctor, start):
    own = start()
    with redis.Redis(port=own.port) as client:
        # Nothing is answered in a quarter of a second, over and over.
        client.config_set("lua-time-limit", 100_000)
        busy = subprocess.Popen(
            ["redis-cli", "-p", str(own.port), "-r", "20", "eval",
             "local t = redis.call('time'); local e = t[1] * 1000000 + t[2] + 250000; repeat t = "
             "redis.call('time') until t[1] * 1000000 + t[2] > e", "0"],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            assert "KINFOLD_REDIS_TIMEOUT_MS=50" in of(
                doctor(redis_url=own.url), "redis", "warning"
            )
        finally:
            busy.kill()
            busy.wait(10)


def test_redis_with_a_wrong_password(doctor, start):
    own = start("--requirepass", "right")
    url = f"redis://:very-wrong@127.0.0.1:{own.port}/0"
    said = of(doctor(redis_url=url), "redis", "failed")
    assert "very-wrong" not in said
    assert f"redis://127.0.0.1:{own.port}/0" in said
    doctor_says = doctor(redis_url=url.replace("very-wrong", "right"))
    assert "Redis" in of(doctor_says, "redis", "ok")


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:1/0", "http://127.0.0.1/", "nonsense", "redis://[:"]
)
def test_redis_that_is_not_there(doctor, url):
    assert "KINFOLD_REDIS_URL" in of(doctor(redis_url=url), "redis", "failed")


def test_redis_wanted_by_several_processes(doctor):
    assert "KINFOLD_REDIS_URL" in of(doctor(processes=2), "redis", "warning")
