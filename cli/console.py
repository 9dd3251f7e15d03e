"""What all verbs share: where they write, their bars, and how they fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from kinfold.progress import Progress, ProgressCallback, silent

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

DataOption = Annotated[
    str, typer.Option("--data", help="The data folder; each collection is a folder in it.")
]
CollectionOption = Annotated[str, typer.Option("--collection", help="The collection's name.")]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON object for machines, and no bars.")
]
VectorsOption = Annotated[
    str | None,
    typer.Option("--vectors", help="Array or column of the vectors, where there are several."),
]
MaskOption = Annotated[
    str | None,
    typer.Option(
        "--query-mask",
        help="A true/false column: rows where it is true are queries. build leaves them out, "
        "evaluate and search use only them.",
    ),
]


def print_json(values: Any) -> None:
    """One JSON object on standard output."""
    typer.echo(json.dumps(values, ensure_ascii=False, default=str))


class Rate(ProgressColumn):
    """Units a second."""

    def render(self, task: Task) -> Text:
        """The speed, or nothing while there is none."""
        speed = task.finished_speed or task.speed
        if not speed and task.finished and task.elapsed:
            speed = task.completed / task.elapsed
        if not speed:
            return Text("")
        unit = task.fields.get("unit", "")
        for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if speed >= limit:
                return Text(f"{speed / limit:.1f}{letter} {unit}/s")
        return Text(f"{speed:.0f} {unit}/s")


@contextmanager
def bars(enabled: bool) -> Iterator[ProgressCallback]:
    """A progress callback that draws one bar a phase, on standard error."""
    if not enabled:
        yield silent
        return
    columns = (
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        Rate(),
        TextColumn("·"),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=err) as display:
        tasks: dict[str, Any] = {}

        def show(event: Progress) -> None:
            if event.phase not in tasks:
                tasks[event.phase] = display.add_task(
                    event.phase, total=event.total, unit=event.unit
                )
            display.update(tasks[event.phase], completed=event.done, total=event.total)

        yield show
