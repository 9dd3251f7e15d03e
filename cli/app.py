"""The verbs, gathered, and the one door by which every failure leaves."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from cli import (
    build,
    collections,
    compare,
    demo,
    doctor,
    evaluate,
    explore,
    info,
    keys,
    models,
    report,
    search,
    serve,
    snapshot,
    tune,
    verify,
    versions,
    worker,
)
from cli.console import discard, err, out, print_json, say_stopped, wants_json_progress
from kinfold import __version__
from kinfold.errors import KinfoldError

FAILED = 2
STOPPED = 130

app = typer.Typer(
    name="kinfold",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
    help="""Manifold-aware search at the cost of plain kNN.

    **build** an index of a gallery once; **search** it, **serve** it over HTTP, **evaluate** it
    beside plain kNN. Start with `kinfold demo`.""",
)


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"kinfold {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


for _verb in (
    explore.explore,
    build.build,
    search.search,
    serve.serve,
    worker.worker,
    evaluate.evaluate,
    report.report,
    compare.compare,
    tune.tune,
    info.info,
    verify.verify,
    doctor.doctor,
    demo.demo,
):
    app.command()(_verb)
app.add_typer(models.app, name="models")
app.add_typer(keys.app, name="keys")
app.add_typer(collections.app, name="collections")
app.add_typer(versions.app, name="versions")
app.add_typer(snapshot.app, name="snapshot")


def run() -> int:
    """Run the command line; a user's mistake gives one clear line and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character shows its code instead of a traceback.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="kinfold")
    except SystemExit as leaving:
        # Usage errors were shown, and interrupts caught, on the way here.
        if leaving.code == STOPPED:
            say_stopped()
        return leaving.code if isinstance(leaving.code, int) else 0
    except KinfoldError as error:
        _fail(type(error).__name__, str(error))
    except MemoryError as error:
        _fail("CapacityError", f"out of memory: {error}")
    except OSError as error:
        # What is ours to write was said by a StorageError; this is standard output.
        discard(sys.stdout)
        _fail("StorageError", str(error))
    return FAILED


def _fail(kind: str, message: str) -> None:
    if "--json" in sys.argv:
        print_json({"error": {"type": kind, "message": message}})
    if wants_json_progress():
        return
    err.print("error:", style="bold red", end=" ")
    err.print(message)
