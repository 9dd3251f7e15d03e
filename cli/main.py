"""The entry point: verbs are gathered here, and every failure leaves by one door."""

from __future__ import annotations

import sys
from typing import Annotated

import click
import typer

from cli.console import err, out, print_json
from kinfold.errors import KinfoldError

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
        from kinfold import __version__

        out.print(f"kinfold {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _gather() -> None:
    from cli import build, demo, evaluate, info, search, serve, verify

    for verb in (build, search, serve, evaluate, info, verify, demo):
        app.command()(getattr(verb, verb.__name__.rpartition(".")[2]))


def main() -> None:
    """Run the command line; a user's mistake gives one clear line and exit code 2."""
    _gather()
    try:
        code = app(standalone_mode=False)
    except click.exceptions.Abort:
        code = 130
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except KeyboardInterrupt:
        err.print("\nstopped; nothing that was published before is touched")
        code = 130
    except KinfoldError as error:
        _fail(type(error).__name__, str(error))
        code = 2
    except BrokenPipeError:
        # The reader of our output went away (`kinfold … | head`); nothing is wrong.
        sys.stderr.close()
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


def _fail(kind: str, message: str) -> None:
    if "--json" in sys.argv:
        print_json({"error": {"type": kind, "message": message}})
    err.print("error:", style="bold red", end=" ")
    err.print(message, markup=False)


if __name__ == "__main__":
    main()
