"""`kinfold tune`: choose the parameters of a build, from the gallery alone or by labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from cli.configuration import ConfigOption, SetOption, read_config
from cli.console import JsonOption, MaskOption, VectorsOption, bars, err, out, print_json
from indexer import read_source
from indexer.sources import Columns, Source
from kinfold.errors import InputError, StorageError
from kinfold.evaluate import load_ground_truth
from kinfold.tuning import TuningReport
from kinfold.tuning import tune as choose

SHOWN = 12


def tune(
    source: Annotated[
        str, typer.Argument(help="The gallery: .npy, .npz, .parquet, .arrow or .feather.")
    ],
    queries: Annotated[
        str | None,
        typer.Option("--queries", help="Labelled queries that are not in the gallery."),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--label", help="The column that says what is relevant, in gallery and queries."
        ),
    ] = None,
    ground_truth: Annotated[
        Path | None,
        typer.Option(
            "--ground-truth",
            help="ROxford/RParis ground truth (.json) instead of labels; its medium protocol "
            "counts.",
        ),
    ] = None,
    query_mask: MaskOption = None,
    vectors: VectorsOption = None,
    config: ConfigOption = None,
    parameters: SetOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="Write the chosen configuration, for build --config."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", help="Default: all cores. Changes no result.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Choose similarity, rank_scale, k_d and alpha, those of them that are not given.

    Without labels the gallery is held against itself, as a build with `--set auto=true` does,
    and the defaults stay unless the evidence is clear. With labelled queries the best mAP is
    chosen, and reported as cross-validation has it. Nothing is built.

    **Examples**

    `kinfold tune photos.parquet --output best.toml`

    `kinfold tune all.npz --label y --query-mask is_query --output best.toml`

    `kinfold tune photos.parquet --queries q.parquet --label landmark --set metric=l2`
    """
    settings = read_config(config, parameters or [])
    gallery = read_source(source, Columns(vectors))
    asked = _queries(gallery, queries, query_mask, vectors, label, ground_truth)
    if query_mask is not None and queries is None:
        gallery = gallery.where(~gallery.mask(query_mask))
    given: dict[str, Any] = {}
    if asked is not None:
        given["queries"] = asked.vectors
        if ground_truth is not None:
            given["ground_truth"] = load_ground_truth(ground_truth)
        if label is not None:
            given |= {"query_labels": asked.column(label), "gallery_labels": gallery.column(label)}
    with bars(enabled=not json) as progress:
        report = choose(gallery.vectors, settings, **given, progress=progress, threads=threads)
    if output is not None:
        try:
            output.write_text(report.config.to_toml(), encoding="utf-8")
        except OSError as error:
            raise StorageError(f"{output}: cannot be written: {error.strerror}") from None
    if json:
        print_json(as_json(report))
        return
    show(report)
    if output is not None:
        err.print(f"written: {output}")


def _queries(
    gallery: Source,
    queries: str | None,
    mask: str | None,
    vectors: str | None,
    label: str | None,
    ground_truth: Path | None,
) -> Source | None:
    """The labelled queries, where there are any; refuses halves of what labels need."""
    if label is None and ground_truth is None:
        if queries is not None:
            raise InputError(
                "tune: expected --label COLUMN or --ground-truth FILE with --queries, found neither"
            )
        return None
    if queries is None and mask is None:
        raise InputError(
            "tune: expected --queries FILE or --query-mask COLUMN with labels, found neither"
        )
    if queries is None:
        assert mask is not None  # noqa: S101 - just looked at
        return gallery.where(gallery.mask(mask))
    found = read_source(queries, Columns(vectors))
    return found if mask is None else found.where(found.mask(mask))


def show(report: TuningReport) -> None:
    """The best settings as a table, and the reason."""
    info = report.info
    table = Table(box=None, pad_edge=False, header_style="bold")
    rows = sorted(enumerate(info.tried), key=lambda one: -one[1].lead)
    if rows:
        names = list(info.tried[0].parameters)
        for name in names:
            table.add_column(name)
        table.add_column("mAP" if info.by == "labels" else "groups' mAP", justify="right")
        table.add_column("gain" if info.by == "labels" else "least gain", justify="right")
        table.add_column("")
        chosen = {name: info.changed.get(name, info.tried[0].parameters[name]) for name in names}
        shown = rows[:SHOWN] + [row for row in rows[SHOWN:] if row[0] == 0]
        for place, one in shown:
            marks = ["default"] if place == 0 else []
            marks += ["chosen"] if one.parameters == chosen else []
            table.add_row(
                *(_cell(one.parameters[name]) for name in names),
                f"{100 * one.score:.2f}",
                f"{100 * one.lead:+.2f}",
                Text(", ".join(marks), style="bold"),
            )
        out.print(table)
        if len(shown) < len(rows):
            out.print(f"and {len(rows) - len(shown)} more")
        out.print(f"{info.items:,} items, {info.queries:,} queries, {info.seconds:.1f} s")
    if report.default_score is not None and report.cross_validated is not None:
        out.print(
            f"mAP on unseen queries: {100 * report.default_score:.1f} with the defaults, "
            f"{100 * report.cross_validated:.1f} with the choice"
        )
    out.print(info.reason)


def as_json(report: TuningReport) -> dict[str, Any]:
    """The same for machines, with the configuration."""
    values = report.info.model_dump(mode="json")
    if report.default_score is not None:
        values |= {
            "default_score": report.default_score,
            "cross_validated": report.cross_validated,
        }
    return values | {"config": report.config.model_dump(mode="json", exclude_none=True)}


def _cell(value: object) -> str:
    if isinstance(value, list):
        return "+".join(one if isinstance(one, str) else str(one["name"]) for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
