"""What only a real process shows: exit codes, signals, pipes, a full disk, odd terminals."""

from __future__ import annotations

import json
import os
import resource
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from cli_support import ITEMS, KINFOLD, ROOT, environment, live, run_process

import kinfold as library
from indexer import build_collection, read_source
from kinfold import __version__
from kinfold.index import list_versions
from kinfold.index.publish import VERSIONS, WORK

PEOPLE = ["--data", "data", "--collection", "people"]


def test_the_version():
    outcome = run_process("--version")
    assert (outcome.code, outcome.out, outcome.err) == (0, f"kinfold {__version__}\n", "")


def test_a_mistake(here):
    outcome = run_process("search", "none.npy", *PEOPLE)
    assert outcome.error() == "none.npy: expected a file, found nothing of this name"
    assert outcome.out == ""


def test_a_usage_error(here):
    outcome = run_process("build", "queries.npy", "--nope")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("Usage: kinfold build ")
    assert "No such option: --nope" in outcome.err


def test_damage_is_exit_code_1(here):
    file = live(here / "data" / "people") / "vectors.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    outcome = run_process("verify", "data/people")
    assert (outcome.code, outcome.out) == (1, "")
    assert "vectors.npy: corrupt: expected sha256" in outcome.err
    assert "Traceback" not in outcome.err


def wait_for(condition, process, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_interrupt_during_a_build_leaves_the_old_version(here):
    """SIGINT while neighbours are searched; the next build of something else sweeps the rest."""
    np.save("large.npy", np.random.default_rng(0).normal(size=(40_000, 128)).astype("f4"))
    before = live(here / "data" / "people")
    versions = here / "data" / "people" / VERSIONS
    work = here / "data" / "people" / WORK
    process = subprocess.Popen(
        [*KINFOLD, "build", "large.npy", *PEOPLE, "--set", "join=exact"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(
        lambda: (work / "marks" / "knn.json").exists(),
        process,
    )
    time.sleep(0.3)  # until the next stage has begun, which takes much longer
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "stopped in stage neighbors; done and kept: vectors, items, knn" in err
    assert "run the same command again" in err
    assert "stopped; nothing that was published before is touched" in err
    assert "Traceback" not in err
    assert sorted(p.name for p in (work / "marks").iterdir()) == [
        "items.json", "knn.json", "vectors.json",
    ]  # fmt: skip
    assert live(here / "data" / "people") == before
    assert library.verify(here / "data" / "people").ok

    build_collection(read_source("queries.npy"), here / "data", "people")
    names = sorted(path.name for path in versions.iterdir())
    assert names == list_versions(here / "data" / "people")
    assert len(names) == 2
    assert sorted(p.name for p in (here / "data" / "people").iterdir()) == [
        "CURRENT", "LOCK", VERSIONS,
    ]  # fmt: skip


def test_an_interrupt_while_everything_is_still_being_imported():
    code = """
import os, signal, sys
class Impatient:
    def find_spec(self, name, path=None, target=None):
        if name == "faiss":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Impatient())
from cli.main import main
sys.argv = ["kinfold", "--version"]
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("form", ["table", "json"])
def test_a_reader_that_has_enough(here, form):
    """`kinfold … | head -c 5`, long before all is written."""
    options = ["-k", str(ITEMS), *(["--json"] if form == "json" else [])]
    command = shlex.join([*KINFOLD, "search", "queries.npy", *PEOPLE, *options])
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | head -c 5"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == ("row 0" if form == "table" else '{"res')
    assert done.stderr == ""
    assert done.returncode == 0


def test_a_build_goes_on_when_nobody_listens(here):
    """Its word on standard error finds no reader; the index is built all the same."""
    options = ["--data", "data", "--collection", "alone", "--set", "k_d=5"]
    command = shlex.join([*KINFOLD, "build", "queries.npy", *options])
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} 2>&1 >/dev/null | true"],
        env=environment(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert library.verify(here / "data" / "alone").ok


@pytest.mark.parametrize("neighbors", ["exact", "hnsw"])
def test_a_full_disk(here, neighbors):
    """No file may grow beyond 100 kB: what the disk says then is said in one line."""
    np.save("large.npy", np.random.default_rng(0).normal(size=(1000, 20)).astype("f4"))
    before = live(here / "data" / "people")
    outcome = run_process(
        "build", "large.npy", *PEOPLE, "--set", f"neighbors={neighbors}",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )  # fmt: skip
    message = outcome.error()
    assert "no room left on the disk of data/people" in message
    assert "nothing that was published is touched" in message
    assert live(here / "data" / "people") == before
    assert library.verify(here / "data" / "people").ok
    assert [path.name for path in (before.parent).iterdir()] == [before.name]


def test_a_standard_output_that_is_full(here):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [*KINFOLD, "info", *PEOPLE],
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == "error: [Errno 28] No space left on device\n"


def test_a_terminal_without_unicode(here):
    plain = run_process("info", *PEOPLE, environ={"PYTHONIOENCODING": "ascii"})
    assert plain.code == 0
    assert "120 \\xd7 8, cosine" in plain.out
    options = ["search", "queries.npy", *PEOPLE, "--row", 0, "--json"]
    ascii_only = run_process(*options, environ={"PYTHONIOENCODING": "ascii"})
    assert ascii_only.out.isascii()
    values = run_process(*options, environ={"PYTHONIOENCODING": "utf-8"})
    assert not values.out.isascii()
    assert ascii_only.json == values.json


def test_a_file_name_that_is_no_text(here):
    outcome = run_process("search", os.fsdecode(b"caf\xe9.npy"), *PEOPLE, "--json")
    assert outcome.code == 2
    assert json.loads(outcome.out)["error"]["message"].startswith("caf\udce9.npy: expected a file")


def test_two_builds_at_once(here):
    """The second is told so and leaves; the first is not disturbed."""
    np.save("large.npy", np.random.default_rng(0).normal(size=(12_000, 64)).astype("f4"))
    first = subprocess.Popen(
        [*KINFOLD, "build", "large.npy", *PEOPLE, "--json"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    versions = here / "data" / "people" / VERSIONS
    wait_for(lambda: list(versions.glob(".building-*")), first)
    with pytest.raises(library.BusyError):
        build_collection(read_source("queries.npy"), here / "data", "people")
    out, err = first.communicate(timeout=60)
    assert (first.returncode, err) == (0, "")
    assert json.loads(out)["version"] == live(here / "data" / "people").name


def test_the_processes_run_this_checkout():
    code = "import cli, indexer, kinfold; print(cli.__file__, indexer.__file__, kinfold.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert all(path.startswith(str(ROOT)) for path in done.stdout.split())
