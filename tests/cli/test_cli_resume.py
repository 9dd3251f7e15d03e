"""Builds that are stopped by real signals, and what the same command then does."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from cli_support import KINFOLD, environment, live, run_process

import kinfold as library
from kinfold.index.publish import WORK

LARGE = ["--data", "data", "--collection", "large"]
BUILD = ["build", "large.npy", *LARGE]
MARKS = {
    "knn.json": "neighbors",
    "similarity@default.json": "diffusion",
}
EARLY = pytest.param("knn.json", marks=pytest.mark.long)


@pytest.fixture
def large(here):
    random = np.random.default_rng(0)
    np.save("large.npy", random.normal(size=(16_000, 96)).astype("f4"))
    return here / "data" / "large"


def start(*arguments, stderr=subprocess.PIPE):
    return subprocess.Popen(
        [*KINFOLD, *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def wait_for_mark(path, name, process):
    wait_until((path / WORK / "marks" / name).exists, process)


def wait_until(fulfilled, process, seconds=120):
    deadline = time.monotonic() + seconds
    while not fulfilled():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


_REFERENCES = {}


def reference(here, *options):
    """The files of a build that nobody stopped; the gallery is always the same one."""
    if options not in _REFERENCES:
        where = ["--data", "data", "--collection", "ref"]
        assert run_process("build", "large.npy", *where, *options).code == 0
        _REFERENCES[options] = library.open(here / "data" / "ref").manifest.files
    return _REFERENCES[options]


@pytest.mark.parametrize("mark", [EARLY, "similarity@default.json"])
def test_kill_9_and_the_same_command_again(here, large, mark):
    process = start(*BUILD)
    wait_for_mark(large, mark, process)
    time.sleep(0.2)
    process.kill()
    process.communicate()
    outcome = run_process(*BUILD)
    assert outcome.code == 0
    (line,) = [line for line in outcome.err.splitlines() if "interrupted build" in line]
    names = line.removesuffix(": from the interrupted build").split(", ")
    assert names[:3] == ["vectors", "items", "knn"]
    assert ("neighbors" in names) == (MARKS[mark] == "diffusion")
    assert not (large / WORK).exists()
    assert library.verify(large).ok
    assert library.open(large).manifest.files == reference(here)


@pytest.mark.parametrize(
    ("mark", "number"),
    [
        pytest.param("knn.json", signal.SIGTERM, marks=pytest.mark.long),
        ("similarity@default.json", signal.SIGINT),
    ],
)
def test_a_signal_stops_within_seconds(here, large, number, mark):
    process = start(*BUILD)
    wait_for_mark(large, mark, process)
    time.sleep(0.3)
    begun = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    # One second to be heard; the rest is for a machine that has other things to do.
    assert time.monotonic() - begun < 10
    assert (process.returncode, out) == (130, "")
    assert f"stopped in stage {MARKS[mark]}; done and kept: vectors, items, knn" in err
    assert "run the same command again to go on from there" in err
    assert "stopped; nothing that was published before is touched" in err
    assert "Traceback" not in err
    assert (large / WORK / "marks" / mark).exists()
    assert "from the interrupted build" in run_process(*BUILD, "--json", "--progress", "bar").err


def test_a_second_signal_ends_at_once(here, large):
    process = start(*BUILD)
    wait_for_mark(large, "knn.json", process)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 130
    assert (large / WORK / "marks" / "knn.json").exists()


def test_lines_of_json(here, large):
    outcome = run_process(*BUILD, "--progress", "json")
    events = [json.loads(line) for line in outcome.err.splitlines()]
    assert [event["event"] for event in events][-1] == "done"
    assert {"plan", "stage", "progress"} < {event["event"] for event in events}
    assert outcome.out.startswith("version")
    outcome = run_process(*BUILD, "--progress=json", "--json", "--set", "alpha=0.5")
    events = [json.loads(line) for line in outcome.err.splitlines()]
    stages = {stage["stage"]: stage["how"] for stage in outcome.json["stages"]}
    assert stages.pop("diffusion") == "computed"
    assert set(stages.values()) == {"reused"}
    assert events[-1]["stages"] == outcome.json["stages"]


def test_an_interrupt_is_a_line_of_json_too(here, large):
    with Path("events").open("w") as file:
        process = start(*BUILD, "--progress", "json", stderr=file)
    begun = '"event": "stage", "stage": "neighbors"'
    wait_until(lambda: begun in Path("events").read_text(), process)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    events = [json.loads(line) for line in Path("events").read_text().splitlines()]
    assert [event["event"] for event in events].count("interrupted") == 1
    assert events[-1]["event"] == "interrupted"
    assert events[-1]["stage"] == "neighbors"


@pytest.mark.parametrize("source", ["none.npy", "spoiled.npy"])
def test_errors_are_lines_of_json_too(here, source):
    spoiled = np.ones((30, 4), dtype="f4")
    spoiled[7] = 0
    np.save("spoiled.npy", spoiled)
    outcome = run_process("build", source, *LARGE, "--progress", "json")
    assert (outcome.code, outcome.out) == (2, "")
    events = [json.loads(line) for line in outcome.err.splitlines()]
    errors = [event for event in events if event["event"] == "error"]
    assert len(errors) == 1
    assert errors[0] == events[-1]
    assert errors[0]["type"] == "InputError"
    assert errors[0]["message"].startswith(source)


def test_a_dry_run(kinfold, here):
    before = sorted(str(p) for p in here.rglob("*"))
    options = ["--data", "data", "--collection", "people", "--dry-run"]
    outcome = kinfold("build", "all.parquet", *options, "--query-mask", "is_query")
    assert outcome.code == 0
    assert "estimate: " in outcome.err
    version = live(here / "data" / "people").name
    lines = outcome.out.splitlines()
    assert lines[0].split() == ["stage", "what", "it", "does", "state", "estimate"]
    assert [line.split("  ")[0] for line in lines[1:7]] == [
        "vectors", "items", "knn", "neighbors", "similarity of default", "diffusion of default",
    ]  # fmt: skip
    assert all(f"unchanged since version {version}" in line for line in lines[1:7])
    assert lines[-1] == "about 0 s; nothing was built (--dry-run)"
    outcome = kinfold("build", "all.parquet", *options, "--set", "alpha=0.5", "--json")
    states = {stage["stage"]: stage["state"] for stage in outcome.json["stages"]}
    assert states["diffusion"] == "to do"
    assert outcome.json["version"] == version
    assert outcome.json["estimate"]["memory"] > 0
    fresh = kinfold("build", "all.parquet", *options, "--fresh", "--json").json["stages"]
    assert {stage["state"] for stage in fresh} == {"to do"}
    assert sorted(str(p) for p in here.rglob("*")) == before


def test_what_is_unchanged_is_said(kinfold, here):
    version = live(here / "data" / "people").name
    people = ["--data", "data", "--collection", "people", "--query-mask", "is_query"]
    outcome = kinfold("build", "all.parquet", *people, "--set", "alpha=0.5")
    assert (
        "vectors, items, knn, neighbors, similarity of default: "
        f"unchanged since version {version}\n"
    ) in outcome.err
    outcome = kinfold("build", "all.parquet", *people, "--set", "alpha=0.5", "--fresh")
    assert "unchanged" not in outcome.err
    assert "memory " in outcome.err


def test_progress_that_nobody_wants(kinfold, here):
    outcome = kinfold(
        "build", "all.parquet", "--data", "d", "--collection", "b", "--progress", "none"
    )
    assert "✓" not in outcome.err
    assert outcome.out.startswith("version")


def test_a_disk_that_is_full_goes_on_when_it_is_not(here):
    """A limit on the size of files: the matrix C is the first that is larger."""
    table = pq.read_table("all.parquet")
    np.save("wide.npy", np.repeat(np.stack(table["vector"].to_numpy()), 20, axis=0)
            + np.random.default_rng(0).normal(size=(20 * len(table), 8)))  # fmt: skip
    command = ["build", "wide.npy", "--data", "data", "--collection", "people"]
    before = live(here / "data" / "people")

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))

    done = subprocess.run(
        [*KINFOLD, *command], env=environment(), capture_output=True, text=True,
        timeout=120, check=False, preexec_fn=limit,
    )  # fmt: skip
    assert done.returncode == 2
    (message,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "no room left on the disk" in message
    assert "are free" in message
    assert "what is done is kept, and the same build goes on after it: vectors, items" in message
    assert live(here / "data" / "people") == before
    work = here / "data" / "people" / WORK
    assert not list((work / "files").rglob("values-*.npy"))
    assert not list((before.parent).glob(".building-*"))
    outcome = run_process(*command)
    assert "similarity of default: from the interrupted build" in outcome.err
    assert library.verify(here / "data" / "people").ok
    assert not work.exists()
    assert os.listdir(before.parent)  # noqa: PTH208
