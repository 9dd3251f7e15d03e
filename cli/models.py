"""`kinfold models`: the models of a collection, listed and changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

import kinfold
from cli.build import facts
from cli.configuration import ConfigOption, SetOption, chain_text, read_models
from cli.console import CollectionOption, DataOption, JsonOption, bars, out, print_json
from indexer import collection_path
from indexer.estimate import readable
from indexer.job import check_added_fits
from kinfold.index import Manifest, layout, live_version
from kinfold.index.manifest import FileInfo, read_manifest
from kinfold.index.publish import VERSIONS

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""List the models of a collection, add, remove or take one, choose the default.

    Every change publishes a new version that keeps the vectors, the kNN index and all other
    models as they are, and goes live when it is complete. The version before stays on disk.

    **Examples**

    `kinfold models list --data data --collection photos`

    `kinfold models add rdip=superglobal --data data --collection photos`""",
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The model's name.")]


@app.command("list")
def list_models(data: DataOption, collection: CollectionOption, json: JsonOption = False) -> None:
    """List the models of a collection, the default first.

    **Example**

    `kinfold models list --data data --collection photos`
    """
    live = live_version(collection_path(data, collection))
    manifest = read_manifest(live)
    if json:
        print_json(
            {
                "collection": collection,
                "version": live.name,
                "default": manifest.default_model,
                "models": {name: _as_json(manifest, name) for name in names_of(manifest)},
            }
        )
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model", overflow="fold")
    table.add_column("default")
    table.add_column("similarity", overflow="fold")
    for name in ("values a row", "size", "edges"):
        table.add_column(name, justify="right")
    for name in names_of(manifest):
        info = manifest.models[name]
        table.add_row(
            name,
            "yes" if name == manifest.default_model else "",
            chain_text(info.config),
            f"{info.stored / manifest.rows:.0f}",
            _readable(manifest, name),
            f"{info.edges:,}",
        )
    out.print(table)


@app.command()
def add(
    model: Annotated[
        str,
        typer.Argument(
            metavar="NAME=SIMILARITY",
            help="SIMILARITY is a similarity model, a chain of them joined by + (boundary+cas), or "
            "a .toml file with the model's own parameters.",
        ),
    ],
    data: DataOption,
    collection: CollectionOption,
    config: ConfigOption = None,
    parameters: SetOption = None,
    threads: Annotated[
        int | None, typer.Option("--threads", help="Default: all cores. Changes no result.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make a further model of the vectors that are there.

    Parameters that are not given have their defaults, whatever the other models have.
    Neighbours are found again only where this model needs more of them than are stored.

    **Examples**

    `kinfold models add rdip=superglobal --data data --collection photos`

    `kinfold models add near=boundary+cas --data data --collection photos --set alpha=0.9`
    """
    ((name, settings),) = read_models("models add", [model], config, parameters or []).items()
    before = _State.live(data, collection)
    check_added_fits(before.manifest, settings, before.path)
    with bars(enabled=not json) as progress:
        version = kinfold.add_model(before.path, name, settings, progress, threads=threads)
    _tell(collection, "added", name, before, before.then(version), json)


@app.command()
def take(
    name: NameArgument,
    data: DataOption,
    collection: CollectionOption,
    source: Annotated[
        str, typer.Option("--from", help="The collection that has the model, of the same vectors.")
    ],
    source_data: Annotated[
        str | None, typer.Option("--from-data", help="Its data folder. Default: that of --data.")
    ] = None,
    source_name: Annotated[
        str | None, typer.Option("--from-model", help="The model's name there. Default: NAME.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Copy a finished model from another collection of the same vectors.

    So a model can be made on another machine. Every file is held against its hash on the way.

    **Example**

    `kinfold models take rdip --data data --collection photos --from photos --from-data /mnt/data`
    """
    before = _State.live(data, collection)
    other = collection_path(source_data or data, source)
    version = kinfold.take_model(before.path, name, other, source_name)
    _tell(collection, "taken", name, before, before.then(version), json)


@app.command()
def remove(
    name: NameArgument, data: DataOption, collection: CollectionOption, json: JsonOption = False
) -> None:
    """Publish the collection without a model; not its default.

    Its files stay on disk as long as the versions that have it.

    **Example**

    `kinfold models remove rdip --data data --collection photos`
    """
    before = _State.live(data, collection)
    version = kinfold.remove_model(before.path, name)
    _tell(collection, "removed", name, before, before.then(version), json)


@app.command()
def default(
    name: NameArgument, data: DataOption, collection: CollectionOption, json: JsonOption = False
) -> None:
    """Choose the model that answers where a search names none.

    **Example**

    `kinfold models default rdip --data data --collection photos`
    """
    before = _State.live(data, collection)
    if name == before.manifest.default_model:
        _tell(collection, "default", name, before, before, json)
        return
    version = kinfold.set_default(before.path, name)
    _tell(collection, "default", name, before, before.then(version), json)


def names_of(manifest: Manifest) -> list[str]:
    """The names of the models, the default first."""
    default = manifest.default_model
    return [default, *sorted(name for name in manifest.models if name != default)]


@dataclass(frozen=True, slots=True)
class _State:
    """One version of a collection."""

    path: Path
    version: str
    manifest: Manifest

    @classmethod
    def live(cls, data: str, collection: str) -> _State:
        path = collection_path(data, collection)
        folder = live_version(path)
        return cls(path, folder.name, read_manifest(folder))

    def then(self, version: str) -> _State:
        """The version that followed."""
        return _State(self.path, version, read_manifest(self.path / VERSIONS / version))


def _tell(
    collection: str, change: str, name: str, before: _State, after: _State, json: bool
) -> None:
    """The version that is live now, and what it took over from the one before."""
    files = after.manifest.files
    kept = {file: info for file, info in files.items() if before.manifest.files.get(file) == info}
    if json:
        values = {
            "collection": collection,
            "version": after.version,
            "previous": before.version,
            "change": change,
            "model": name,
            "default": after.manifest.default_model,
            "models": {
                other: _as_json(after.manifest, other) for other in names_of(after.manifest)
            },
            "kept": {"files": len(kept), "bytes": _size(kept)},
            "new": {"files": len(files) - len(kept), "bytes": _size(files) - _size(kept)},
        }
        print_json(values)
        return
    if before.version == after.version:
        out.print(f"{name} is the default of {collection} already; version {after.version} stays")
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("version", f"{after.version}, live")
    table.add_row("before", f"{before.version}, still on disk")
    having = (after if name in after.manifest.models else before).manifest
    details = having.models[name]
    table.add_row(change, f"{name}: {chain_text(details.config)}, {_readable(having, name)}")
    if change == "added":
        for line in facts(details, having.rows):
            table.add_row("", line)
    default, *others = names_of(after.manifest)
    table.add_row("models", ", ".join([f"{default} (the default)", *others]))
    table.add_row(
        "kept",
        f"{len(kept)} of {len(files)} files, {readable(_size(kept))} of {readable(_size(files))}",
    )
    out.print(table)


def _as_json(manifest: Manifest, name: str) -> dict[str, Any]:
    info = manifest.models[name]
    return {
        "default": name == manifest.default_model,
        "similarity": [spec.model_dump(mode="json") for spec in info.config.similarity],
        "values_a_row": info.stored / manifest.rows,
        "bytes": _size(_files_of(manifest, name)),
        "edges": info.edges,
        "isolated": info.isolated,
        "not_converged": info.not_converged,
    }


def _files_of(manifest: Manifest, name: str) -> dict[str, FileInfo]:
    folder = layout.model_folder(name)
    return {file: info for file, info in manifest.files.items() if file.startswith(folder)}


def _size(files: dict[str, FileInfo]) -> int:
    return sum(info.bytes for info in files.values())


def _readable(manifest: Manifest, name: str) -> str:
    return readable(_size(_files_of(manifest, name)))
