"""`kinfold collections`: the collections of a data folder, listed, created, dropped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from cli.console import DataOption, JsonOption, out, print_json
from indexer.estimate import readable
from kinfold.errors import FormatError, InputError
from kinfold.index import Manifest, list_versions, versions
from kinfold.index.collections import (
    collection_folder,
    create_collection,
    drop_collection,
    holds_collection,
)
from kinfold.index.manifest import read_manifest
from kinfold.index.publish import COLLECTION_NAME, live_version

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""List the collections of a data folder, create one, drop one.

    **Examples**

    `kinfold collections list --data data`

    `kinfold collections drop photos --data data`""",
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The collection's name.")]


@app.command("list")
def list_collections(data: DataOption, json: JsonOption = False) -> None:
    """List the collections of a data folder, empty and damaged ones included.

    **Example**

    `kinfold collections list --data data`
    """
    folder = Path(data)
    try:
        names = sorted(
            entry.name
            for entry in folder.iterdir()
            if COLLECTION_NAME.fullmatch(entry.name) and holds_collection(entry)
        )
    except OSError as error:
        raise InputError(f"{data}: cannot be read: {error.strerror}") from None
    facts = [_facts(folder / name) for name in names]
    if json:
        print_json({"collections": facts})
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("collection", "state"):
        table.add_column(name, overflow="fold")
    for name in ("items", "versions", "size"):
        table.add_column(name, justify="right")
    table.add_column("live version", overflow="fold")
    for fact in facts:
        table.add_row(
            fact["collection"],
            f"damaged: {fact['damaged']}" if fact["damaged"] else fact["state"],
            "" if fact["rows"] is None else f"{fact['rows']:,}",
            str(fact["versions"]),
            readable(fact["disk_bytes"]),
            fact["version"] or "",
        )
    out.print(table)


@app.command()
def create(name: NameArgument, data: DataOption, json: JsonOption = False) -> None:
    """Create an empty collection, which a build through the service can fill.

    A build on the command line does not need that: it makes its collection itself.

    **Example**

    `kinfold collections create photos --data data`
    """
    create_collection(Path(data), name)
    if json:
        print_json({"collection": name, "state": "empty"})
    else:
        out.print(f"{name} is there, and empty")


@app.command()
def drop(
    name: NameArgument,
    data: DataOption,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: JsonOption = False,
) -> None:
    """Remove a collection with all its versions, for good.

    **Example**

    `kinfold collections drop photos --data data --yes`
    """
    folder = collection_folder(Path(data), name)
    if not yes and holds_collection(folder):
        if json:
            raise InputError("collections drop: with --json nobody is asked; give --yes, too")
        size = readable(versions.disk_bytes(folder))
        typer.confirm(f"Remove {name} with all its versions ({size})?", abort=True, err=True)
    drop_collection(Path(data), name)
    if json:
        print_json({"collection": name, "dropped": True})
    else:
        out.print(f"{name} is gone")


def _facts(folder: Path) -> dict[str, Any]:
    manifest: Manifest | None = None
    name, damaged = None, None
    try:
        name = versions.live_name(folder)
        if name is not None:
            manifest = read_manifest(live_version(folder))
    except FormatError as error:
        damaged = str(error)
    return {
        "collection": folder.name,
        "state": "damaged" if damaged else "ready" if name else "empty",
        "damaged": damaged,
        "version": name,
        "versions": len(list_versions(folder)),
        "rows": manifest.rows if manifest else None,
        "dimension": manifest.dimension if manifest else None,
        "disk_bytes": versions.disk_bytes(folder),
    }
