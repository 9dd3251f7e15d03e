"""`kinfold serve`: the HTTP service."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.console import err


def serve(
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="The data folder; each collection is a folder in it. Default: KINFOLD_DATA, "
            "else data.",
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option("--host", help="Address to listen on. Default: KINFOLD_HOST, else 127.0.0.1."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", help="Port to listen on. Default: KINFOLD_PORT, else 8000."),
    ] = None,
) -> None:
    """Answer searches over HTTP, for every collection of a data folder.

    All other settings come from the environment (KINFOLD_…) or a .env file; see docs/api.md.

    **Example**

    `kinfold serve --data data --port 8000`
    """
    from service.security.setup import warnings
    from service.serve import serve as run
    from service.settings import load_settings

    given = {"data": data, "host": host, "port": port}
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    for warning in warnings(settings):
        err.print(f"WARNING: {warning}", style="bold red")
    run(settings)
