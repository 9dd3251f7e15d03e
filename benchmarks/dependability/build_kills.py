"""Builds are killed (-9) at random moments, sometimes again, and resumed to the end.

python -m benchmarks.dependability.build_kills [--kills 200] [--rows 6000] [--option=--memory=1G]

Each build is a real process of `kinfold build`, half of them on a collection that has a live
version already. After every kill the live version, if there is one, must be whole and answer;
when the last process has ended, every file must be that of a build that nobody disturbed, and
nothing may be left over.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import kinfold
from benchmarks.dependability.processes import Process
from benchmarks.dependability.verdict import Verdict
from benchmarks.manifolds import manifolds
from kinfold.errors import KinfoldError
from kinfold.index import Manifest
from kinfold.index.publish import CURRENT, VERSIONS, WORK, list_versions

NAME = "photos"
MODELS = ("default=mean", "cas=cas", "rdp=rdp", "lhrr=lhrr", "plain=cosine")
AGAIN = 1 / 3
_SECONDS = 300.0
_SEARCHED = 5
_TELL = 10


class Build(Process):
    """``kinfold build`` with its events in its log."""

    def __init__(self, source: Path, data: Path, log: Path, options: list[str]) -> None:
        command = [
            sys.executable, "-c", "from cli.main import main; main()", "build", str(source),
            "--data", str(data), "--collection", NAME, "--progress", "json",
            *(part for model in MODELS for part in ("--model", model)), *options,
        ]  # fmt: skip
        super().__init__("build", command, log)

    def wait(self, seconds: float = _SECONDS) -> int | None:
        """Its status when it has ended; None if it has not after so many seconds."""
        end = time.monotonic() + seconds
        while self.is_running:
            if time.monotonic() >= end:
                return None
            time.sleep(0.005)
        return self._process.wait() if self._process is not None else None

    @property
    def events(self) -> list[dict[str, Any]]:
        """What it told until now."""
        return events(self.log.read_text("utf-8", "replace"))


def events(text: str) -> list[dict[str, Any]]:
    """Events in a log; a line that the kill cut off is none, nor is anything but events."""
    found = []
    for line in text.splitlines():
        with suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict) and "event" in event:
                found.append(event)
    return found


def where(told: list[dict[str, Any]]) -> str:
    """The stage that a killed build was in."""
    stage = "before the first stage"
    for event in told:
        if event["event"] == "stage":
            stage = event["stage"] if event["state"] == "started" else "between stages"
    planned = [event for event in told if event["event"] == "plan"]
    over = [e for e in told if e["event"] == "stage" and e["state"] != "started"]
    if any(event["event"] == "done" for event in told):
        return "after the end"
    if planned and len(over) >= len(planned[-1]["stages"]):
        return "gathering and publishing"
    return stage


def processor_seconds() -> float:
    """Of all processes that have ended and were waited for; a busy machine stretches it little."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def content(manifest: Manifest) -> dict[str, Any]:
    """What two builds of the same must have in common: all but when, and how long it took."""
    values = manifest.model_dump(mode="json", exclude={"created", "measured"})
    for model in values["models"].values():
        del model["measured"]
    return values


@dataclass
class Happened:
    """What came of all the kills."""

    stages: Counter[str] = field(default_factory=Counter)
    reused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)
    builds: int = 0
    seen: int = 0
    chains: int = 0


class Trial:
    """Kills builds of one gallery in one folder."""

    def __init__(self, folder: Path, rows: int, options: list[str], seed: int) -> None:
        self._folder = folder
        self._options = options
        self._random = random.Random(seed)
        self._number = 0
        self.happened = Happened()
        gallery = manifolds(rows, 32, queries=_SEARCHED)
        self._source, self._queries = folder / "vectors.npy", gallery.queries
        np.save(self._source, gallery.vectors)
        # Another gallery, so that nothing is taken over from the version that is live before.
        other = manifolds(rows // 10, 32, queries=_SEARCHED, seed=1).vectors
        kinfold.build(other, folder / "before" / NAME)
        self._other = content(kinfold.open(folder / "before" / NAME).manifest)
        # The first compiles what is not cached yet.
        self._undisturbed(folder / "compiled")
        data = folder / "reference"
        self.duration, self.processor = self._undisturbed(data)
        # What every process takes before it works, and a killed one takes again.
        self.start = self._undisturbed(folder / "no build", "--dry-run")[1]
        self._reference = content(kinfold.open(data / NAME).manifest)

    def run(self, kills: int) -> None:
        """Go on until so many kills have hit a build."""
        happened = self.happened
        while happened.stages.total() < kills:
            data = self._folder / f"trial-{happened.builds}"
            has_live = self._random.random() < 0.5
            if has_live:
                shutil.copytree(self._folder / "before", data)
            happened.builds += 1
            used, hits = processor_seconds(), 0
            while happened.stages.total() < kills and (hits == 0 or self._random.random() < AGAIN):
                build = self._build(data)
                build.start()
                if build.wait(self._random.uniform(0, self.duration)) is not None:
                    # It was quicker than the moment: nobody was killed, and it must be done.
                    break
                build.kill()
                hits += 1
                happened.stages[where(build.events)] += 1
                self._note_reused(build)
                self._look(data / NAME, has_live)
            happened.chains += hits > 1
            build = self._build(data)
            build.start()
            if (status := build.wait()) != 0:
                build.kill()
                self._wrong(f"the resumed build ended with {status}: {build.tail(5)}")
            self._note_reused(build)
            if hits:
                spent = processor_seconds() - used - hits * self.start
                happened.lost.append(max(0.0, spent - self.processor))
            self._judge(data / NAME)
            shutil.rmtree(data)
            if happened.builds % _TELL == 0:
                hit, bad = happened.stages.total(), len(happened.wrong)
                print(f"{hit} kills of {happened.builds} builds, {bad} failures", flush=True)

    def _build(self, data: Path, *more: str) -> Build:
        self._number += 1
        log = self._folder / f"build-{self._number}.log"
        return Build(self._source, data, log, [*self._options, *more])

    def _undisturbed(self, data: Path, *more: str) -> tuple[float, float]:
        """(seconds by the wall, by the processors) of a process that nobody kills."""
        begun, used = time.monotonic(), processor_seconds()
        build = self._build(data, *more)
        build.start()
        if build.wait() != 0:
            raise RuntimeError(f"the undisturbed build failed:\n{build.tail()}")
        return time.monotonic() - begun, processor_seconds() - used

    def _note_reused(self, build: Build) -> None:
        for event in build.events:
            if event["event"] == "stage" and event["state"] == "reused":
                self.happened.reused[event["source"]] += 1

    def _wrong(self, what: str) -> None:
        self.happened.wrong.append(f"build {self.happened.builds}: {what}")

    def _look(self, path: Path, has_live: bool) -> None:
        """Right after a kill: whatever can be seen is whole, and is the old or the new."""
        if not has_live and not (path / CURRENT).exists():
            return
        self.happened.seen += 1
        try:
            index = kinfold.open(path)
            if content(index.manifest) not in (self._other, self._reference):
                self._wrong("the live version is neither the old one nor the new one")
            index.search(self._queries, 10)
            for version in list_versions(path):
                self._verify(path / VERSIONS / version)
        except (KinfoldError, OSError) as error:
            self._wrong(f"after the kill: {error}")

    def _judge(self, path: Path) -> None:
        """At the end: as if nobody had been killed."""
        try:
            if content(kinfold.open(path).manifest) != self._reference:
                self._wrong("other files than those of the undisturbed build")
            for version in list_versions(path):
                self._verify(path / VERSIONS / version)
        except (KinfoldError, OSError) as error:
            self._wrong(f"at the end: {error}")
        left = [name.name for name in path.glob(".*")] + [
            name.name for name in (path / VERSIONS).glob(".*")
        ]
        if left:
            self._wrong(f"left over: {', '.join(left)}")

    def _verify(self, version: Path) -> None:
        for problem in kinfold.verify(version).problems:
            self._wrong(problem)


def main() -> None:
    """Kill, look, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--option", action="append", default=[], help="handed to kinfold build")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kinfold-") as folder:
        tried = Trial(Path(folder), given.rows, given.option, given.seed)
        tried.run(given.kills)
    happened = tried.happened
    verdict = Verdict(
        "build-kills", f"kill -9 of builds, {given.kills} times, {given.rows:,} × 32, 5 models"
    )
    verdict.fact("kills that hit a build", happened.stages.total())
    for stage, count in happened.stages.most_common():
        verdict.fact(f"… in: {stage}", count)
    verdict.fact("builds", happened.builds)
    verdict.fact("of them killed more than once", happened.chains)
    verdict.fact("live versions looked at right after a kill", happened.seen)
    for source, count in happened.reused.most_common():
        verdict.fact(f"stages taken over from: {source}", count)
    verdict.fact("an undisturbed build", tried.duration, "s")
    verdict.fact("an undisturbed build", tried.processor, "CPU s")
    verdict.fact("… of it the start of the process", tried.start, "CPU s")
    verdict.fact("work done again, median of the builds", float(np.median(happened.lost)), "CPU s")
    verdict.fact("work done again, most, by all kills of a build", max(happened.lost), "CPU s")
    verdict.promise("damaged, different, or left over", len(happened.wrong), 0)
    for line in happened.wrong[:10]:
        print(line)
    verdict.close(left_over=f"nothing in {WORK}, no folder beginning with a dot")


if __name__ == "__main__":
    main()
