"""`kinfold build`: a gallery in, a published version out."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table
from rich.text import Text

from cli.building import ProgressKind, Told, print_plan, show_plan, span
from cli.configuration import ConfigOption, SetOption, chain_text, read_config, read_models
from cli.console import (
    CollectionOption,
    DataOption,
    JsonOption,
    MaskOption,
    VectorsOption,
    err,
    out,
    print_json,
)
from cli.folders import (
    EncoderOption,
    LabelFromOption,
    count_new,
    is_folder,
    read_gallery,
)
from cli.stopping import STOPPED, stoppable
from indexer import (
    BuildSummary,
    as_bytes,
    build_collection,
    collection_path,
    plan_collection,
    read_source,
)
from indexer.estimate import readable
from indexer.job import estimate_models
from indexer.reduction import reduce_source
from indexer.sources import Columns, Source
from kinfold.config import BuildConfig
from kinfold.errors import InputError, KinfoldError
from kinfold.index import ModelInfo


def build(
    source: Annotated[
        str,
        typer.Argument(
            help="The gallery: .npy, .npz, .parquet, .arrow or .feather, or a folder of pictures."
        ),
    ],
    data: DataOption,
    collection: CollectionOption,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME=SIMILARITY",
            help="A model of the index, the default first; repeat it for several. SIMILARITY is a "
            "similarity model, a chain of them joined by + (boundary+cas), or a .toml file with "
            "the model's own parameters. Default: one model, named default.",
        ),
    ] = None,
    config: ConfigOption = None,
    parameters: SetOption = None,
    auto: Annotated[
        bool,
        typer.Option(
            "--auto", help="Choose similarity, k_d, rank_scale and alpha from the gallery."
        ),
    ] = False,
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
    encoder: EncoderOption = None,
    label_from: LabelFromOption = None,
    reduce: Annotated[
        int | None,
        typer.Option(
            "--reduce",
            metavar="D",
            help="Reduce vectors to their D principal components, which queries then share.",
        ),
    ] = None,
    whiten: Annotated[
        bool, typer.Option("--whiten", help="With --reduce: components of equal variance.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option("--threads", help="Default: all cores. Changes no result.")
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            "--memory",
            metavar="SIZE",
            help="The most memory to take, such as 8G. Default: all that is available. A build "
            "that needs more is refused before it starts. Changes no result.",
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            "--ray",
            metavar="auto|HOST:PORT",
            help="Compute on a Ray cluster that this machine belongs to; auto: the one that runs "
            "here, else one that is started here. Needs kinfold[ray]. Changes no result.",
        ),
    ] = None,
    ray_shared: Annotated[
        bool,
        typer.Option(
            "--ray-shared",
            help="All machines of the cluster see the data folder at the same path: vectors are "
            "read there, and may be larger than Ray's object store.",
        ),
    ] = False,
    progress: Annotated[
        ProgressKind | None,
        typer.Option(
            "--progress",
            help="What to write to standard error: bars, or one JSON object a line for other "
            "programs. Default: bar; none with --json.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, and build nothing.")
    ] = False,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Do everything again, whatever an earlier build has done."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Build an index of a gallery and let it go live.

    Finds every item's neighbours, builds the gallery graph, runs diffusion from every item and
    stores the result as a sparse matrix beside the vectors. A version that is live already
    keeps answering until the new one is complete.

    A build that was stopped or killed goes on where it was when the same command is run again,
    and what a changed parameter does not touch is taken over from the live version.

    With several --model, neighbours are found once and each model gets its own matrix. They
    share --config, over which a model's own file wins; --set wins over all.

    **Examples**

    `kinfold build photos.parquet --data data --collection photos`

    `kinfold build faces.npz --data data --collection faces --vectors X --set k_d=15`

    `kinfold build a.npy --data data --collection a --model default=cosine --model rdip=superglobal`

    `kinfold build ./photos --data data --collection photos --reduce 256 --whiten`
    """
    names = None if payload is None else [name.strip() for name in payload.split(",") if name]
    chosen = [*(parameters or []), *(["auto=true"] if auto else [])]
    several = read_models("--model", models, config, chosen) if models else None
    settings = None if several else read_config(config, chosen)
    if whiten and reduce is None:
        raise InputError("--whiten: say to how many components, with --reduce D")
    if ray_shared and ray is None:
        raise InputError("--ray-shared says something about a cluster; give --ray as well")
    most = _size("--memory", memory)
    told = Told(progress or (ProgressKind.none if json else ProgressKind.bar), bool(several))
    try:
        path = collection_path(data, collection)
        if is_folder(source):
            refuse(ids=ids, vectors=vectors, query_mask=query_mask)
            if dry_run and not _all_known(source, path, encoder, json=json):
                return
            with stoppable(told.stopped):
                gallery = read_gallery(source, path, encoder, label_from, told, threads)
            gallery = gallery.with_payload(names)
        else:
            refuse(encoder=encoder, label_from=label_from)
            gallery = read_source(source, Columns(vectors, ids, names))
        if query_mask is not None:
            gallery = gallery.where(~gallery.mask(query_mask))
        if reduce is not None:
            metric = (settings or next(iter((several or {}).values()))).metric
            with told.shown() as draw:
                gallery = reduce_source(
                    gallery, reduce, whiten=whiten, normalise=metric == "cosine", progress=draw
                )
        if not json and told.kind is not ProgressKind.json:
            configs = [settings] if settings else list((several or {}).values())
            announce(gallery, configs, path)
        if dry_run:
            plan = plan_collection(gallery, data, collection, settings, models=several, fresh=fresh)
            if json:
                print_plan(plan, collection)
            else:
                show_plan(plan)
            return
        with stoppable(told.stopped), told.shown() as draw:
            summary = build_collection(
                gallery, data, collection, settings, draw,
                models=several, threads=threads, memory=most, ray=ray, ray_shared=ray_shared,
                events=told.event, fresh=fresh,
            )  # fmt: skip
    except KeyboardInterrupt:
        told.stopped()
        raise typer.Exit(STOPPED) from None
    except (KinfoldError, MemoryError, OSError) as error:
        told.error(error)
        raise
    if json:
        print_json(as_json(summary))
    else:
        show(summary, data, collection)


def refuse(**given: object) -> None:
    """Refuse options that say nothing of this kind of source."""
    for name, value in given.items():
        if value is not None:
            option = name.replace("_", "-")
            other = "vectors" if name in ("encoder", "label_from") else "a folder of pictures"
            raise InputError(f"--{option}: says nothing about {other}; leave it out")


def _all_known(folder: str, path: Path, encoder: str | None, *, json: bool) -> bool:
    """For a dry run: whether all pictures are embedded, so that a plan can be made."""
    total, new = count_new(folder, path, encoder)
    if new == 0:
        return True
    if json:
        print_json({"pictures": total, "new": new, "stages": None})
    else:
        out.print(f"{total:,} pictures, of which {new:,} are to be embedded before a plan is known")
        out.print("nothing was built (--dry-run)")
    return False


def _size(option: str, text: str | None) -> int | None:
    """Bytes of an option, if it is given."""
    try:
        return None if text is None else as_bytes(text)
    except ValueError as error:
        raise InputError(f"{option}: {error}") from None


def announce(gallery: Source, configs: Sequence[BuildConfig], path: Path) -> None:
    """Say what is about to happen and what it will take."""
    if gallery.vectors.ndim != 2 or gallery.vectors.shape[0] < 2:
        return
    rows, dimension = gallery.vectors.shape
    figures = estimate_models(rows, dimension, configs, path, gallery.item_bytes)
    err.print(
        f"{rows:,} × {dimension} {np.dtype(gallery.vectors.dtype).name} from {gallery.name}, "
        f"{figures.engine} neighbours, {figures.cores} cores"
        + (f", {len(configs)} models" if len(configs) > 1 else "")
    )
    err.print(
        f"estimate: {span(figures.seconds)}, "
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
        "default_model": manifest.default_model,
        "models": {
            name: info.model_dump(mode="json", exclude={"blocks"})
            for name, info in manifest.models.items()
        },
        "measured": manifest.measured,
        "stages": [stage.as_json() for stage in summary.stages],
    }


def show(summary: BuildSummary, data: str, collection: str) -> None:
    """The summary for people."""
    manifest = summary.manifest
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("version", summary.version)
    table.add_row("items", f"{manifest.rows:,} × {manifest.dimension}, {manifest.metric}")
    if manifest.neighbor_recall < 1:
        table.add_row("neighbours", f"by cells, recall {manifest.neighbor_recall:.3f}")
    if manifest.engine != "exact":
        table.add_row("queries", f"by {manifest.engine}")
    for name, info in manifest.models.items():
        title = f"model {name}"
        if len(manifest.models) > 1:
            default = ", the default" if name == manifest.default_model else ""
            table.add_row(title, chain_text(info.config) + default)
            title = ""
        for line in facts(info, manifest.rows):
            table.add_row(title, line)
            title = ""
    table.add_row(
        "size", f"{readable(summary.bytes)}, {summary.bytes / manifest.rows:.0f} bytes an item"
    )
    table.add_row("time", f"{summary.seconds:.1f} s")
    out.print(table)
    folder = shlex.quote(data)
    out.print(f"\nserve it:   kinfold serve --data {folder}")
    out.print(f"look at it: kinfold info --data {folder} --collection {collection}")


def facts(info: ModelInfo, rows: int) -> Iterator[str | Text]:
    """What became of a model, in a line, and a warning where there is one."""
    yield (
        f"{info.stored / rows:.0f} values a row (longest {info.longest_row}), "
        f"{info.edges:,} edges, {info.isolated:,} items without one"
    )
    if info.tuning is not None:
        yield f"auto: {info.tuning.reason}"
    if info.not_converged:
        warning = (
            f"{info.not_converged:,} rows did not reach the tolerance "
            f"{info.config.tolerance}; raise max_iterations"
        )
        yield Text(warning, style="yellow")
