"""`kinfold evaluate`: every model of a collection beside plain kNN, on queries with an answer."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table
from rich.text import Text

import kinfold
from cli.asked import Asked, ask, choose_protocol
from cli.console import (
    CollectionOption,
    DataOption,
    JsonOption,
    MaskOption,
    VectorsOption,
    bars,
    err,
    out,
    plain,
    print_json,
)
from cli.folders import LabelFromOption
from cli.measure import (
    Measured,
    check_queries,
    depth_of,
    measure,
)
from cli.plots import check_plot, plot_evaluation
from cli.search import FusionOption, read_question
from indexer import collection_path
from indexer.sources import Columns, Source
from kinfold.arrays import AnyArray
from kinfold.errors import InputError
from kinfold.index.quality import Evaluation, save_evaluation
from kinfold.search import Index

CHANGE = 0.01
"""A query is won or lost when its average precision moves by more than this."""
SHOWN = 5


def evaluate(
    data: DataOption,
    collection: CollectionOption,
    queries: Annotated[
        str | None,
        typer.Argument(
            help="Queries with their labels: .npz, .parquet, .arrow (.npy with --ground-truth), "
            "or a folder of pictures with --label-from."
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--label",
            help="The column that says what is relevant, in the queries and in "
            "the collection's payload.",
        ),
    ] = None,
    camera: Annotated[
        str | None,
        typer.Option(
            "--camera",
            help="Re-identification: the camera column. Hits with the "
            "query's label and camera do not count.",
        ),
    ] = None,
    ground_truth: Annotated[
        Path | None,
        typer.Option(
            "--ground-truth",
            help="ROxford/RParis ground truth (.json) instead of "
            "labels; gallery and queries in its order.",
        ),
    ] = None,
    label_from: LabelFromOption = None,
    hold_out: Annotated[
        int | None,
        typer.Option(
            "--hold-out",
            metavar="N",
            help="Without queries: hold N items of each label out, build an index of the others "
            "with the parameters of this one, and ask it for them.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", help="With --hold-out: another one, other items.")
    ] = 0,
    save: Annotated[
        bool,
        typer.Option("--save", help="Keep the figures with the collection, to be shown of it."),
    ] = False,
    vectors: VectorsOption = None,
    query_mask: MaskOption = None,
    fuse: Annotated[
        str | None,
        typer.Option(
            "--fuse", help="Models, separated by commas, whose fused ranking is measured too."
        ),
    ] = None,
    fusion: FusionOption = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Write mAP and precision@k as a .png or .svg plot."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Measure every model of a collection beside plain kNN.

    Queries must not be in the gallery. Prints one table, the queries that gained and lost most,
    and on wish a plot.

    **Examples**

    `kinfold evaluate q.parquet --data data --collection photos --label landmark`

    `kinfold evaluate all.npz --data data --collection shapes --label y --query-mask is_query`

    `kinfold evaluate q.parquet --data data --collection photos --label y --fuse default,rdip`

    `kinfold evaluate --hold-out 4 --label-from name --data data --collection photos`
    """  # fmt: skip
    fused, how = read_question("--fuse", fuse, fusion)
    if isinstance(fused, str):
        raise InputError(f"--fuse: expected several models, separated by commas, found {fuse!r}")
    if plot is not None:
        check_plot(plot)
    index = kinfold.open(collection_path(data, collection))
    with ExitStack() as stack:
        progress = stack.enter_context(bars(enabled=not json))
        asked = ask(
            stack, index, queries, Columns(vectors), query_mask, label, label_from, hold_out, seed,
            progress,
        )  # fmt: skip
        check_queries(asked.index, asked.source.vectors, asked.source.name)
        scorer = choose_protocol(asked, camera, ground_truth)
        if fused is not None:
            # Refuses names that are none before anything is measured.
            asked.index.search(asked.source.vectors[:1], 1, fused)
        results = measure(asked.index, asked.source.vectors, scorer, progress, fused or (), how)
    source, measured = asked.source, asked.index
    if save:
        _save(collection_path(data, collection), index, asked, results)
    if plot is not None:
        title = f"{collection}: {len(source)} queries, {len(measured):,} items"
        plot_evaluation(results, title, plot)
    if json:
        print_json(as_json(results, measured, source) | {"version": index.version.name})
        return
    if hold_out is not None:
        out.print(f"{asked.protocol}\n")
    out.print(table_of(results))
    if depth_of(measured) < len(measured):
        out.print(f"rankings cut at {depth_of(measured)} of {len(measured):,} items")
    for result in results[1:]:
        wins_and_losses(results[0], result, source)
    if plot is not None:
        err.print(f"plot: {plot}")


def _save(path: Path, index: Index, asked: Asked, results: list[Measured]) -> None:
    models = {
        result.model: {
            **{name: round(value, 6) for name, value in result.figures.items() if value == value},
            "ms_per_query": round(result.milliseconds, 4),
        }
        for result in results
    }
    save_evaluation(
        path,
        Evaluation(
            version=index.version.name,
            measured=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            protocol=asked.protocol,
            queries=len(asked.source),
            items=len(asked.index),
            models=models,
        ),
    )


def table_of(results: list[Measured]) -> Table:
    """One line a model; figures in percent, best of each column bold."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model")
    for name in results[0].figures:
        table.add_column(name, justify="right")
    table.add_column("ms/query", justify="right")
    best = {name: max(r.figures[name] for r in results) for name in results[0].figures}
    for result in results:
        cells = [
            Text(f"{100 * value:.1f}", style="bold" if value == best[name] else "")
            for name, value in result.figures.items()
        ]
        table.add_row(result.model, *cells, f"{result.milliseconds:.2f}")
    return table


def changes(plain: Measured, other: Measured) -> AnyArray:
    """(m,) change of average precision against plain kNN; 0 where a query has no answer."""
    return np.nan_to_num(other.average_precision - plain.average_precision)


def wins_and_losses(plain: Measured, other: Measured, source: Source) -> None:
    """How many queries gained and lost against plain kNN, and which most."""
    gain = changes(plain, other)
    won, lost = int((gain > CHANGE).sum()), int((gain < -CHANGE).sum())
    out.print(
        f"\n{other.model}: {won} queries better, {lost} worse, {gain.size - won - lost} as before "
        f"(average precision moved by more than {CHANGE})"
    )
    order = np.argsort(gain, kind="stable")
    for title, rows in (("most gained", order[::-1][:SHOWN]), ("most lost", order[:SHOWN])):
        parts = [
            f"{_name(source, int(row))} {100 * plain.average_precision[row]:.0f}→"
            f"{100 * other.average_precision[row]:.0f}"
            for row in rows
            if abs(gain[row]) > CHANGE and (gain[row] > 0) == (title == "most gained")
        ]
        if parts:
            out.print(f"  {title}: " + ", ".join(parts))


def _name(source: Source, row: int) -> str:
    return f"row {row}" if source.ids is None else plain(source.ids[row])


def as_json(results: list[Measured], index: Index, source: Source) -> dict[str, Any]:
    """The same for machines, with every query's average precision."""
    plain = results[0]
    return {
        "items": len(index),
        "queries": len(source),
        "depth": depth_of(index),
        "version": index.version.name,
        "models": {
            result.model: {
                **result.figures,
                "ms_per_query": result.milliseconds,
                "wins": int((changes(plain, result) > CHANGE).sum()),
                "losses": int((changes(plain, result) < -CHANGE).sum()),
                "average_precision": [
                    None if np.isnan(value) else float(value) for value in result.average_precision
                ],
            }
            for result in results
        },
    }
