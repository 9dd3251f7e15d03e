"""What all verbs share: where they write, their bars, and how they fail."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console, RenderableType
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

PIPE_WIDTH = 10_000
"""Where nobody looks, nothing is cut off."""


class Talk(Console):
    """A console that shows text as it is: ids and file names hold no markup."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, soft_wrap=True, markup=False, emoji=False, **options)

    def on_broken_pipe(self) -> None:
        """Fall silent and let the work go on: the reader (`kinfold … | head`) has enough."""
        self.quiet = True
        discard(sys.stderr if self.stderr else sys.stdout)


def discard(stream: TextIO) -> None:
    """Let what a stream still holds, and all that follows, go nowhere."""
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


out = Talk(width=None if sys.stdout and sys.stdout.isatty() else PIPE_WIDTH)
err = Talk(stderr=True)

DataOption = Annotated[
    str,
    typer.Option(
        "--data",
        envvar="KINFOLD_DATA",
        show_envvar=False,
        help="The data folder; each collection is a folder in it. Default: KINFOLD_DATA.",
    ),
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


def plain(value: object) -> str:
    """A value as text that moves no cursor: names of files may hold whatever a terminal obeys."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def wants_json_progress() -> bool:
    """Whether standard error belongs to a program that reads lines of JSON from it."""
    given = " ".join(sys.argv).replace("--progress=", "--progress ")
    return "--progress json" in given


def say_stopped() -> None:
    """The last word of what was interrupted."""
    if not wants_json_progress():
        err.print("\nstopped; nothing that was published before is touched")


def print_json(values: Any) -> None:
    """One JSON object on standard output; NaN and infinity, which JSON lacks, become null."""
    is_unicode = sys.stdout is not None and sys.stdout.encoding.lower().startswith("utf")
    text = json.dumps(_finite(values), ensure_ascii=not is_unicode, default=str, allow_nan=False)
    try:
        typer.echo(text)
    except BrokenPipeError:
        discard(sys.stdout)


def _finite(values: Any) -> Any:
    if isinstance(values, float):
        return values if math.isfinite(values) else None
    if isinstance(values, dict):
        return {str(name): _finite(value) for name, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [_finite(value) for value in values]
    return values


class Rate(ProgressColumn):
    """Units a second."""

    def render(self, task: Task) -> Text:
        """The speed, or nothing while there is none."""
        speed = task.finished_speed or task.speed
        if not speed and task.finished_time:
            speed = task.completed / task.finished_time
        if not speed:
            return Text("")
        unit = task.fields.get("unit", "")
        for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if speed >= limit:
                return Text(f"{speed / limit:.1f}{letter} {unit}/s")
        return Text(f"{speed:.0f} {unit}/s")


class FootedBars(Bars):
    """Bars with a line of text below them."""

    footer: Callable[[], str] | None = None

    def get_renderables(self) -> Iterable[RenderableType]:
        """See `rich.progress.Progress.get_renderables`."""
        yield from super().get_renderables()
        if self.footer is not None:
            yield Text(self.footer(), style="dim")


@contextmanager
def bars(enabled: bool, footer: Callable[[], str] | None = None) -> Iterator[ProgressCallback]:
    """A progress callback that draws one bar a phase, on standard error.

    Parameters
    ----------
    footer:
        Gives the line below the bars each time they are drawn.
    """
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
    display = FootedBars(*columns, console=err)
    display.footer = footer
    with display:
        tasks: dict[str, Any] = {}
        begun = display.get_time()

        def show(event: Progress) -> None:
            nonlocal begun
            if event.phase not in tasks:
                tasks[event.phase] = display.add_task(
                    event.phase, total=event.total, unit=event.unit
                )
                # A phase begins where the one before it ended, long before its own first event.
                display.tasks[-1].start_time = begun
            display.update(tasks[event.phase], completed=event.done, total=event.total)
            begun = display.get_time()

        yield show
