"""`kinfold build`: a gallery in, a published version out."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table
from rich.text import Text

from cli.console import (
    CollectionOption,
    DataOption,
    JsonOption,
    MaskOption,
    VectorsOption,
    bars,
    err,
    out,
    print_json,
)
from indexer import BuildSummary, Estimate, build_collection, collection_path, estimate, read_source
from indexer.estimate import readable
from indexer.sources import Columns, Source
from kinfold.config import BuildConfig
from kinfold.errors import InputError


def build(
    source: Annotated[
        str, typer.Argument(help="The gallery: .npy, .npz, .parquet, .arrow or .feather.")
    ],
    data: DataOption,
    collection: CollectionOption,
    config: Annotated[
        Path | None, typer.Option("--config", help="Parameters as TOML; see docs/parameters.md.")
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--set", help="One parameter, e.g. --set k_d=15. Wins over --config."),
    ] = None,
    ids: Annotated[
        str | None,
        typer.Option("--ids", help="Array or column of ids. Default: 'id', else row numbers."),
    ] = None,
    vectors: VectorsOption = None,
    payload: Annotated[
        str | None,
        typer.Option("--payload", help="Columns kept with the items, by comma. Default: all."),
    ] = None,
    query_mask: MaskOption = None,
    threads: Annotated[
        int | None, typer.Option("--threads", help="Default: all cores. Changes no result.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Build an index of a gallery and let it go live.

    Finds every item's neighbours, builds the gallery graph, runs diffusion from every item and
    stores the result as a sparse matrix beside the vectors. A version that is live already
    keeps answering until the new one is complete.

    **Examples**

    `kinfold build photos.parquet --data data --collection photos`

    `kinfold build faces.npz --data data --collection faces --vectors X --set k_d=15`
    """
    names = None if payload is None else [name.strip() for name in payload.split(",") if name]
    settings = read_config(config, parameters or [])
    gallery = read_source(source, Columns(vectors, ids, names))
    if query_mask is not None:
        gallery = gallery.where(~gallery.mask(query_mask))
    if not json:
        announce(gallery, settings, collection_path(data, collection))
    with bars(enabled=not json) as progress:
        summary = build_collection(gallery, data, collection, settings, progress, threads=threads)
    if json:
        print_json(as_json(summary))
    else:
        show(summary, data, collection)


def read_config(file: Path | None, parameters: list[str]) -> BuildConfig:
    """The configuration of a file with single parameters set over it."""
    values: dict[str, Any] = {}
    if file is not None:
        values = BuildConfig.from_file(file).model_dump(exclude_unset=True)
    for parameter in parameters:
        name, equals, value = parameter.partition("=")
        if not equals:
            raise InputError(f"--set: expected NAME=VALUE, found {parameter!r}")
        values[name.strip()] = _value(value.strip())
    return BuildConfig.checked(values)


def _value(text: str) -> Any:
    """A value as TOML writes it; what is no TOML is a string without its quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def announce(gallery: Source, settings: BuildConfig, path: Path) -> None:
    """Say what is about to happen and what it will take."""
    if gallery.vectors.ndim != 2 or gallery.vectors.shape[0] < 2:
        return
    rows, dimension = gallery.vectors.shape
    figures: Estimate = estimate(rows, dimension, settings, path, gallery.item_bytes)
    minutes = figures.seconds / 60
    err.print(
        f"{rows:,} × {dimension} {np.dtype(gallery.vectors.dtype).name} from {gallery.name}, "
        f"{figures.engine} neighbours, {figures.cores} cores"
    )
    err.print(
        f"estimate: {f'{minutes:.0f} min' if minutes >= 2 else f'{figures.seconds:.0f} s'}, "
        f"{readable(figures.memory)} memory of {readable(figures.memory_available)} available, "
        f"up to {readable(figures.disk)} disk of {readable(figures.disk_available)} free"
    )


def as_json(summary: BuildSummary) -> dict[str, Any]:
    """The summary for machines."""
    manifest = summary.manifest
    return {
        "path": str(summary.path),
        "version": summary.version,
        "seconds": round(summary.seconds, 3),
        "bytes": summary.bytes,
        "rows": manifest.rows,
        "dimension": manifest.dimension,
        "engine": manifest.engine,
        "neighbor_recall": manifest.neighbor_recall,
        "models": {
            name: info.model_dump(mode="json", exclude={"blocks"})
            for name, info in manifest.models.items()
        },
        "measured": manifest.measured,
    }


def show(summary: BuildSummary, data: str, collection: str) -> None:
    """The summary for people."""
    manifest = summary.manifest
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("version", summary.version)
    table.add_row("items", f"{manifest.rows:,} × {manifest.dimension}, {manifest.metric}")
    if manifest.engine != "exact":
        table.add_row("neighbours", f"{manifest.engine}, recall {manifest.neighbor_recall:.3f}")
    for name, info in manifest.models.items():
        table.add_row(
            f"model {name}",
            f"{info.stored / manifest.rows:.0f} values a row (longest {info.longest_row}), "
            f"{info.edges:,} edges, {info.isolated:,} items without one",
        )
        if info.not_converged:
            warning = (
                f"{info.not_converged:,} rows did not reach the tolerance "
                f"{info.config.tolerance}; raise max_iterations"
            )
            table.add_row("", Text(warning, style="yellow"))
    table.add_row(
        "size", f"{readable(summary.bytes)}, {summary.bytes / manifest.rows:.0f} bytes an item"
    )
    table.add_row("time", f"{summary.seconds:.1f} s")
    out.print(table)
    folder = shlex.quote(data)
    out.print(f"\nserve it:   kinfold serve --data {folder}")
    out.print(f"look at it: kinfold info --data {folder} --collection {collection}")
