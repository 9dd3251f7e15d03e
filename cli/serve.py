"""`kinfold serve`: the HTTP service."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.console import DataOption


def serve(
    data: DataOption,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to listen on.")] = 8000,
) -> None:
    """Answer searches over HTTP, for every collection of a data folder.

    All other settings come from the environment (KINFOLD_…) or a .env file; see docs/api.md.

    **Example**

    `kinfold serve --data data --port 8000`
    """
    from service.serve import serve as run
    from service.settings import load_settings

    run(load_settings(data=data, host=host, port=port))
