"""`kinfold versions`: the versions of a collection, listed, activated, removed."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from cli.console import CollectionOption, DataOption, JsonOption, out, print_json
from indexer import collection_path
from indexer.estimate import readable
from kinfold.errors import UnknownNameError
from kinfold.index import versions
from kinfold.index.collections import holds_collection
from kinfold.index.versions import VersionInfo

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""List the versions of a collection, go back to one, remove old ones.

    Every build, and every change of models, publishes a new version; the ones before stay on disk
    until they are removed. A running service follows by itself.

    **Examples**

    `kinfold versions list --data data --collection photos`

    `kinfold versions gc --data data --collection photos --keep 3`""",
)

VersionArgument = Annotated[
    str, typer.Argument(metavar="VERSION", help="The version's name, as `versions list` has it.")
]


@app.command("list")
def list_versions(data: DataOption, collection: CollectionOption, json: JsonOption = False) -> None:
    """List the versions of a collection, oldest first.

    *frees* is what removing a version would give back: files that it shares with others stay.

    **Example**

    `kinfold versions list --data data --collection photos`
    """
    path = collection_path(data, collection)
    if not holds_collection(path):
        raise UnknownNameError(f"no collection is called {collection!r} in {data}")
    found = versions.describe_versions(path)
    total = versions.disk_bytes(path)
    if json:
        print_json(
            {
                "collection": collection,
                "live": next((info.name for info in found if info.live), None),
                "disk_bytes": total,
                "versions": [_as_json(info) for info in found],
            }
        )
        return
    if not found:
        out.print(f"{collection} has no version yet; make one with: kinfold build SOURCE …")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("version", "live", "built"):
        table.add_column(name, overflow="fold")
    for name in ("items", "size", "frees"):
        table.add_column(name, justify="right")
    table.add_column("models", overflow="fold")
    for info in found:
        manifest = info.manifest
        table.add_row(
            info.name,
            "yes" if info.live else "",
            manifest.created if manifest else "",
            f"{manifest.rows:,}" if manifest else "",
            readable(info.bytes),
            readable(info.own_bytes),
            f"damaged: {info.damaged}"
            if info.damaged or not manifest
            else ", ".join(sorted(manifest.models)),
        )
    out.print(table)
    out.print(f"together {readable(total)} on disk")


@app.command()
def activate(
    version: VersionArgument,
    data: DataOption,
    collection: CollectionOption,
    json: JsonOption = False,
) -> None:
    """Make a version the live one: go back, or forward again.

    It is opened first; one that cannot be opened is refused, and nothing changes.

    **Example**

    `kinfold versions activate 20250301T120000.000000Z-0f3a5c9d1e2b --data data --collection photos`
    """
    before = versions.activate(collection_path(data, collection), version)
    if json:
        print_json({"collection": collection, "version": version, "previous": before})
    else:
        out.print(f"{collection}: {version} is live; before: {before or 'none'}")


@app.command()
def remove(
    version: VersionArgument,
    data: DataOption,
    collection: CollectionOption,
    json: JsonOption = False,
) -> None:
    """Remove a version that is not the live one.

    **Example**

    `kinfold versions remove 20250301T120000.000000Z-0f3a5c9d1e2b --data data --collection photos`
    """
    freed = versions.remove_version(collection_path(data, collection), version)
    if json:
        print_json({"collection": collection, "version": version, "freed_bytes": freed})
    else:
        out.print(f"{collection}: {version} is removed, {readable(freed)} are free again")


@app.command()
def gc(
    data: DataOption,
    collection: CollectionOption,
    keep: Annotated[
        int, typer.Option("--keep", min=0, help="How many of the newest versions stay.")
    ] = 3,
    keep_hours: Annotated[
        float, typer.Option("--keep-hours", min=0, help="Versions younger than this stay, too.")
    ] = 0,
    json: JsonOption = False,
) -> None:
    """Remove old versions; never the live one.

    **Example**

    `kinfold versions gc --data data --collection photos --keep 2 --keep-hours 24`
    """
    path = collection_path(data, collection)
    if not holds_collection(path):
        raise UnknownNameError(f"no collection is called {collection!r} in {data}")
    found = versions.collect_garbage(path, keep, keep_hours * 3600)
    if json:
        print_json(
            {
                "collection": collection,
                "removed": found.removed,
                "freed_bytes": found.bytes,
                "in_use": found.in_use,
            }
        )
        return
    for name in found.removed:
        out.print(f"removed {name}")
    for name in found.in_use:
        out.print(f"kept {name}: it is being copied away")
    out.print(f"{len(found.removed)} versions removed, {readable(found.bytes)} are free again")


def _as_json(info: VersionInfo) -> dict[str, Any]:
    manifest = info.manifest
    return {
        "version": info.name,
        "live": info.live,
        "bytes": info.bytes,
        "own_bytes": info.own_bytes,
        "damaged": info.damaged,
        "created": manifest.created if manifest else None,
        "rows": manifest.rows if manifest else None,
        "dimension": manifest.dimension if manifest else None,
        "models": sorted(manifest.models) if manifest else [],
        "default_model": manifest.default_model if manifest else None,
    }
