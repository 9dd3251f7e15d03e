"""A small gallery, builds of it that are stopped at a stage, and what they redo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

import kinfold
from kinfold import BuildConfig
from kinfold.index import live_version
from kinfold.pipeline import publish
from kinfold.pipeline.events import StageEvent

ROWS = 70
CONFIG = BuildConfig(k_d=4, k_m=12, max_row=30)
SHARED = ["vectors", "items", "knn", "neighbors"]
OF_MODEL = ["similarity:default", "diffusion:default"]
STAGES = [*SHARED, *OF_MODEL]


class Stopped(Exception):  # noqa: N818 - no error
    """Raised out of a callback, as by somebody who cancels a build."""


def inputs(**changes: Any) -> dict[str, Any]:
    random = np.random.default_rng(3)
    given = {
        "vectors": random.normal(size=(ROWS, 5)).astype("f4"),
        "ids": list(range(100, 100 + ROWS)),
        "payload": {"row": list(range(ROWS))},
        "config": CONFIG,
    }
    return {**given, **changes}


def name_of(event: Any) -> str:
    return event.stage if event.model is None else f"{event.stage}:{event.model}"


def run(path: Path, stop: str | None = None, **changes: Any) -> tuple[list[str], list[str]]:
    """Build; returns (stages reused, stages done). Stopped when stage `stop` begins."""
    options = {"resume": True, "threads": 1, **changes}
    reused: list[str] = []
    done: list[str] = []

    def told(event: Any) -> None:
        if isinstance(event, StageEvent):
            if event.state == "started" and name_of(event) == stop:
                raise Stopped
            if event.state == "reused":
                reused.append(name_of(event))
            if event.state == "done":
                done.append(name_of(event))

    try:
        publish(**inputs(**options), path=path, told=told)
    except Stopped:
        pass
    else:
        assert stop is None
    return reused, done


def content(path: Path) -> dict[str, Any]:
    """Hashes of all files, and the manifest but for times; sound, or this fails."""
    values = json.loads((live_version(path) / "manifest.json").read_text())
    assert kinfold.verify(path).problems == []
    for model in values["models"].values():
        model.pop("measured")
        if "tuning" in model:
            model["tuning"].pop("seconds")
    values.pop("measured")
    values.pop("created")
    return values


def from_nothing(path: Path, **changes: Any) -> dict[str, Any]:
    """The content of a build that had nothing to go on from."""
    assert run(path, **changes)[0] == []
    return content(path)


def everything(path: Path) -> dict[str, tuple[int, int]]:
    """Every file with its size and time."""
    return {
        str(p.relative_to(path)): (p.stat().st_size, p.stat().st_mtime_ns)
        for p in path.rglob("*")
        if p.is_file()
    }
