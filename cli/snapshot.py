"""`kinfold snapshot`: one version as one file, out and in."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from cli.console import CollectionOption, DataOption, JsonOption, bars, out, print_json
from indexer import collection_path
from indexer.estimate import readable
from kinfold.errors import InputError
from kinfold.index.snapshot import export_snapshot, import_snapshot

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""Copy a version elsewhere as one file, and take it in there.

    Every byte is checked on both ways. The file is a plain tar archive.

    **Examples**

    `kinfold snapshot export photos.kinfold.tar --data data --collection photos`

    `kinfold snapshot import photos.kinfold.tar --data data --collection photos`""",
)


@app.command("export")
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that does not exist yet.")],
    data: DataOption,
    collection: CollectionOption,
    version: Annotated[
        str | None, typer.Option("--version", help="Which version. Default: the live one.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write a version as one file.

    Every file is held against its hash on the way; a damaged one is refused.

    **Example**

    `kinfold snapshot export photos.kinfold.tar --data data --collection photos`
    """
    with bars(enabled=not json) as progress:
        name = export_snapshot(collection_path(data, collection), file, version, progress)
    size = file.stat().st_size
    if json:
        print_json({"collection": collection, "version": name, "file": str(file), "bytes": size})
    else:
        out.print(f"{collection} {name}: {readable(size)} in {file}")


@app.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A snapshot; - reads from standard input.")
    ],
    data: DataOption,
    collection: CollectionOption,
    json: JsonOption = False,
) -> None:
    """Take in a version from a file; it goes live when every byte of it has been checked.

    A collection that does not exist is created. After an error nothing of it is left.

    **Example**

    `kinfold snapshot import photos.kinfold.tar --data data --collection photos`
    """
    path = collection_path(data, collection)
    try:
        source = nullcontext(sys.stdin.buffer) if str(file) == "-" else file.open("rb")
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from None
    with source as stream, bars(enabled=not json) as progress:
        name = import_snapshot(path, stream, progress=progress)
    if json:
        print_json({"collection": collection, "version": name})
    else:
        out.print(f"{collection}: {name} is live")
