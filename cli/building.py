"""What a build shows while it runs: bars and words for people, lines of JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from typing import Any

from rich.table import Table

from cli.console import bars, discard, err, out, print_json
from indexer import BuildPlan, Event
from indexer.estimate import readable
from indexer.progress import peak_rss_bytes, rss_bytes
from kinfold.progress import Progress, ProgressCallback

GOES_ON = "run the same command again to go on from there"

DOES = {
    "choice": "choose parameters from the gallery",
    "vectors": "check, normalise and write the vectors",
    "items": "write ids and payload",
    "extras": "write thumbnails, encoder and projection",
    "cells": "sort the items into cells",
    "knn": "make the kNN index",
    "neighbors": "find every item's neighbours",
    "similarity": "re-calculate their similarities",
    "diffusion": "graph and diffusion: the matrix C",
}


class ProgressKind(StrEnum):
    """Where progress goes."""

    bar = "bar"
    json = "json"
    none = "none"


class Told:
    """Takes the events of a build, and shows what the user asked for."""

    def __init__(self, kind: ProgressKind, several: bool) -> None:
        self.kind = kind
        self._several = several
        self._stage: str | None = None
        self._model: str | None = None
        self._done: list[str] = []
        self._left: float | None = None
        self._is_over = False

    @contextmanager
    def shown(self) -> Iterator[ProgressCallback]:
        """The callback for the library's own progress."""
        with bars(enabled=self.kind is ProgressKind.bar, footer=self._footer) as draw:

            def told(event: Progress) -> None:
                if self._several and self._model is not None:
                    event = replace(event, phase=f"{event.phase} {self._model}")
                draw(event)

            yield told

    def event(self, event: Event) -> None:
        """Take in an event of the indexer."""
        kind = event["event"]
        if kind == "stage":
            self._of_stage(event)
        elif kind == "progress":
            self._left = event["eta_seconds"]
        elif kind in ("done", "error", "interrupted"):
            self._is_over = True
        if self.kind is ProgressKind.json:
            print_line(event)
        elif kind == "plan":
            for line in reused(event["stages"], event["version"]):
                err.print(line)

    def error(self, error: Exception) -> None:
        """An error that the indexer had no chance to tell of."""
        if self.kind is ProgressKind.json and not self._is_over:
            print_line({"event": "error", "type": type(error).__name__, "message": str(error)})

    def stopped(self) -> None:
        """Say where it was stopped, and how to go on."""
        if self.kind is ProgressKind.json:
            if not self._is_over:
                stage = {"stage": self._stage, "model": self._model}
                print_line({"event": "interrupted", **stage, "done": self._done})
            return
        where = "before the first stage" if self._stage is None else f"in stage {self._stage}"
        if self._model is not None and self._several:
            where += f" of {self._model}"
        kept = f"; done and kept: {', '.join(dict.fromkeys(self._done))}" if self._done else ""
        err.print(f"\nstopped {where}{kept}; {GOES_ON}")

    def _of_stage(self, event: Event) -> None:
        if event["state"] == "started":
            self._stage, self._model = event["stage"], event["model"]
        else:
            self._done.append(event["stage"])
            self._model = None

    def _footer(self) -> str:
        memory = f"memory {readable(rss_bytes())}, at most {readable(peak_rss_bytes())}"
        return memory if self._left is None else f"{memory} · about {span(self._left)} left in all"


def reused(stages: list[dict[str, Any]], version: str | None) -> Iterator[str]:
    """What is taken over, in a line for each place that it comes from."""
    for source, words in (
        ("interrupted build", "from the interrupted build"),
        ("live version", f"unchanged since version {version}"),
    ):
        names = [_title(stage) for stage in stages if stage["state"] == source]
        if names:
            yield f"{', '.join(names)}: {words}"


def show_plan(plan: BuildPlan) -> None:
    """The stages of a build that is not done now."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("stage", "what it does", "state"):
        table.add_column(name, overflow="fold")
    table.add_column("estimate", justify="right")
    states = {
        "to do": "to do",
        "interrupted build": "done by the interrupted build",
        "live version": f"unchanged since version {plan.plan.version}",
    }
    for stage in _stages(plan):
        to_do = stage["state"] == "to do"
        seconds = span(stage["estimate_seconds"]) if to_do else ""
        table.add_row(_title(stage), DOES[stage["stage"]], states[stage["state"]], seconds)
    out.print(table)
    left = sum(stage["estimate_seconds"] for stage in _stages(plan) if stage["state"] == "to do")
    out.print(f"\nabout {span(left)}; nothing was built (--dry-run)")


def print_plan(plan: BuildPlan, collection: str) -> None:
    """The same for machines."""
    figures = plan.estimate
    print_json(
        {
            "collection": collection,
            "version": plan.plan.version,
            "stages": _stages(plan),
            "estimate": {
                "rows": figures.rows,
                "dimension": figures.dimension,
                "engine": figures.engine,
                "cores": figures.cores,
                "seconds": figures.seconds,
                "memory": figures.memory,
                "disk": figures.disk,
                "memory_available": figures.memory_available,
                "disk_available": figures.disk_available,
            },
        }
    )


def _stages(plan: BuildPlan) -> list[dict[str, Any]]:
    stages = []
    for stage in plan.plan.stages:
        name = stage.stage if stage.model is None else f"{stage.stage}:{stage.model}"
        stages.append(
            {
                "stage": stage.stage,
                "model": stage.model,
                "state": stage.state,
                "estimate_seconds": round(plan.seconds.get(name, 0.0), 1),
            }
        )
    return stages


def _title(stage: dict[str, Any]) -> str:
    model = stage["model"]
    return str(stage["stage"]) if model is None else f"{stage['stage']} of {model}"


def span(seconds: float) -> str:
    """A time for people."""
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


def print_line(values: Event) -> None:
    """One event as a line of JSON on standard error."""
    try:
        sys.stderr.write(json.dumps(values, allow_nan=False) + "\n")
        sys.stderr.flush()
    except BrokenPipeError:
        discard(sys.stderr)
