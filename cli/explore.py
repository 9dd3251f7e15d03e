"""`kinfold explore`: a folder of pictures, and in one step a page to search it with."""

from __future__ import annotations

import os
import re
import socket
import sys
import threading
import time
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from cli.build import build
from cli.console import err, out
from cli.folders import EncoderOption, LabelFromOption
from indexer import collection_path
from kinfold.errors import InputError

DATA = "kinfold-data"
_HOST = "127.0.0.1"
_PORT = 8000
_LONGEST_NAME = 64
_SECONDS = 60


def explore(
    folder: Annotated[str, typer.Argument(help="The folder of pictures.")],
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help=f"Where the collection is kept. Default: KINFOLD_DATA, else {DATA} here.",
        ),
    ] = None,
    collection: Annotated[
        str | None,
        typer.Option("--collection", help="Its name. Default: that of the folder."),
    ] = None,
    encoder: EncoderOption = None,
    label_from: LabelFromOption = None,
    port: Annotated[
        int | None,
        typer.Option("--port", help=f"Port of the page. Default: {_PORT}, else any free one."),
    ] = None,
    browser: Annotated[
        bool,
        typer.Option("--browser/--no-browser", help="Open the page once it is there."),
    ] = True,
) -> None:
    """Build a folder of pictures and open a page to search it with.

    The same as building and serving it, see docs/pictures.md. The page is reachable from this
    machine alone, and needs no key. Run again, it embeds only pictures that are new.

    **Example**

    `kinfold explore ./photos`
    """
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: expected a folder of pictures, found none of this name")
    place = data or os.environ.get("KINFOLD_DATA") or DATA
    name = collection or name_of(folder)
    collection_path(place, name)  # refuses a name that is none
    build(folder, place, name, encoder=encoder, label_from=label_from)
    _serve(place, name, _free(port), browser=browser)


def name_of(folder: str) -> str:
    """A collection's name from that of a folder."""
    plain = re.sub(r"[^a-z0-9]+", "-", Path(folder).resolve().name.lower()).strip("-")
    return plain[:_LONGEST_NAME].strip("-") or "pictures"


def _free(port: int | None) -> int:
    """The port that was asked for; else the usual one if it is free, else any."""
    if port:
        return port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for wanted in (_PORT, 0) if port is None else (0,):
            try:
                probe.bind((_HOST, wanted))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return 0


def _serve(data: str, name: str, port: int, *, browser: bool) -> None:
    from service.serve import serve
    from service.settings import load_settings

    address = f"http://{_HOST}:{port}/#{name}"
    settings = load_settings(
        data=data, host=_HOST, port=port, auth="off", processes=1, log_level="warning"
    )
    out.print(f"\nlook at it: {address}")
    err.print("stop with Ctrl+C")
    if browser and sys.stdout.isatty() and _has_screen():
        threading.Thread(target=_open, args=(port, address), daemon=True).start()
    serve(settings)


def _has_screen() -> bool:
    return sys.platform == "darwin" or any(
        os.environ.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY")
    )


def _open(port: int, address: str) -> None:
    """Open the page once somebody listens."""
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        try:
            socket.create_connection((_HOST, port), 1).close()
        except OSError:
            time.sleep(0.1)
            continue
        webbrowser.open(address)
        return
