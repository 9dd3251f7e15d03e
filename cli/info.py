"""`kinfold info`: what a collection holds and how it was built."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from cli.configuration import chain_text
from cli.console import DataOption, JsonOption, out, print_json
from indexer import collection_path, collections_in
from indexer.estimate import readable
from kinfold.config import BuildConfig
from kinfold.index import Manifest, list_versions, live_version
from kinfold.index.manifest import read_manifest


def info(
    data: DataOption,
    collection: Annotated[
        str | None, typer.Option("--collection", help="Default: a line for each collection.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Show the collections of a data folder, or one of them in full.

    **Examples**

    `kinfold info --data data`

    `kinfold info --data data --collection photos --json`
    """
    if collection is None:
        _list(data, json)
        return
    path = collection_path(data, collection)
    folder = live_version(path)
    manifest = read_manifest(folder)
    versions = list_versions(path)
    if json:
        values: dict[str, Any] = manifest.model_dump(mode="json")
        print_json(
            {"collection": collection, "version": folder.name, "versions": versions} | values
        )
        return
    _show(collection, folder.name, versions, manifest)


def _list(data: str, json: bool) -> None:
    names = collections_in(data)
    manifests = {name: read_manifest(live_version(collection_path(data, name))) for name in names}
    if json:
        print_json(
            {name: {"rows": m.rows, "dimension": m.dimension} for name, m in manifests.items()}
        )
        return
    if not names:
        out.print(f"no collections in {data}; make one with: kinfold build SOURCE --data {data} …")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("collection", "items", "dimension", "models", "built", "size"):
        table.add_column(column, justify="right" if column in {"items", "dimension"} else "left")
    for name, manifest in manifests.items():
        size = sum(file.bytes for file in manifest.files.values())
        table.add_row(
            name, f"{manifest.rows:,}", str(manifest.dimension), ", ".join(manifest.models),
            manifest.created, readable(size),
        )  # fmt: skip
    out.print(table)


def _show(name: str, version: str, versions: list[str], manifest: Manifest) -> None:
    size = sum(file.bytes for file in manifest.files.values())
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("collection", name)
    table.add_row("version", f"{version} (of {len(versions)}), kinfold {manifest.kinfold_version}")
    table.add_row("items", f"{manifest.rows:,} × {manifest.dimension}, {manifest.metric}")
    table.add_row("ids", manifest.ids)
    table.add_row("payload", ", ".join(manifest.payload_columns) or "none")
    table.add_row(
        "neighbours", f"{manifest.engine}, recall of the graph {manifest.neighbor_recall:.3f}"
    )
    table.add_row("size", f"{readable(size)}, {size / manifest.rows:.0f} bytes an item")
    for phase, seconds in manifest.measured.items():
        table.add_row(phase.replace("_", " "), f"{seconds:.2f}")
    own, shared = _parameters(manifest)
    for model, details in manifest.models.items():
        default = ", the default" if model == manifest.default_model else ""
        table.add_row("", "")
        table.add_row(Text(f"model {model}", style="bold"), f"{details.dtype}{default}")
        table.add_row("values", f"{details.stored:,}, longest row {details.longest_row}")
        table.add_row("edges", f"{details.edges:,}, {details.isolated:,} items without one")
        table.add_row(
            "solver",
            f"{details.mean_iterations:.1f} iterations a row, "
            f"{details.not_converged:,} rows not converged",
        )
        if details.tuning is not None:
            table.add_row("auto", details.tuning.reason)
        for key, value in own[model].items():
            table.add_row(f"  {key}", value)
    if len(own) > 1:
        table.add_row("", "")
        table.add_row(Text("all models", style="bold"), "")
        for key, value in shared.items():
            table.add_row(f"  {key}", value)
    out.print(table)


def _parameters(manifest: Manifest) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Each model's parameters as they are shown, and apart those that several models share."""
    own = {}
    for model, details in manifest.models.items():
        lines = details.config.to_toml().splitlines()
        values = dict(line.split(" = ", 1) for line in lines)
        own[model] = values | {"similarity": chain_text(details.config)}
    if len(own) == 1:
        return own, {}
    every = list(own.values())
    first, *others = every
    shared = {
        key: value
        for key, value in first.items()
        if all(values.get(key) == value for values in others)
    }
    keys = [key for key in BuildConfig.model_fields if key not in shared]
    for model, values in own.items():
        # Where another model has a value that this one leaves to be chosen, that shows.
        given = [key for key in keys if any(key in values for values in every)]
        own[model] = {key: values.get(key, "not given") for key in given}
    return own, shared
