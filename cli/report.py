"""`kinfold report`: an evaluation as a page to look at, in one file."""

from __future__ import annotations

from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import kinfold
from cli.asked import Asked, ask, choose_protocol
from cli.console import CollectionOption, DataOption, MaskOption, VectorsOption, bars, err
from cli.evaluate import changes
from cli.folders import LabelFromOption
from cli.measure import Measured, check_queries, measure, rank
from cli.pictures import data_url
from cli.plots import draw_evaluation
from cli.report_page import Grid, report_html
from indexer import collection_path
from indexer.sources import Columns
from indexer.sources.names import LABEL
from kinfold.errors import InputError, StorageError
from kinfold.progress import silent

SHOWN = 10
_DEPTH = 10


def report(
    data: DataOption,
    collection: CollectionOption,
    queries: Annotated[
        str | None,
        typer.Argument(
            help="Queries with their labels: .npz, .parquet, .arrow, or a folder of pictures."
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", help="The page.")] = Path("report.html"),
    label: Annotated[
        str | None, typer.Option("--label", help="The column that says what is relevant.")
    ] = None,
    label_from: LabelFromOption = None,
    hold_out: Annotated[
        int | None,
        typer.Option("--hold-out", metavar="N", help="Without queries: as of `kinfold evaluate`."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="With --hold-out: other items.")] = 0,
    shown: Annotated[
        int, typer.Option("--queries", min=0, max=200, help="Best and worst queries shown.")
    ] = SHOWN,
    vectors: VectorsOption = None,
    query_mask: MaskOption = None,
) -> None:
    """Measure a collection and write a page about it: one file that needs no other.

    Tables, curves, gains by label, and what was found for the queries that gained and lost most,
    as pictures where the collection has them.

    **Examples**

    `kinfold report --hold-out 4 --label-from name --data data --collection photos`

    `kinfold report q.npz --label y --data data --collection shapes --output shapes.html`
    """
    if output.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--output: expected a file ending in .html, found {str(output)!r}")
    index = kinfold.open(collection_path(data, collection))
    with ExitStack() as stack:
        progress = stack.enter_context(bars(enabled=True))
        asked = ask(
            stack, index, queries, Columns(vectors), query_mask, label, label_from, hold_out, seed,
            progress,
        )  # fmt: skip
        check_queries(asked.index, asked.source.vectors, asked.source.name)
        results = measure(
            asked.index, asked.source.vectors, choose_protocol(asked, None, None), progress
        )
        page = _page(collection, asked, results, shown)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(page, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{output}: cannot be written: {error.strerror}") from None
    err.print(f"report: {output}")


def _page(collection: str, asked: Asked, results: list[Measured], shown: int) -> str:
    index, source = asked.index, asked.source
    depth = min(_DEPTH, len(index))

    def picture(content: bytes | None) -> str | None:
        return None if content is None else data_url(content)

    grid = Grid(
        query_labels=source.column(asked.label or LABEL),
        gallery_labels=asked.labels(),
        rankings={r.model: rank(index, source.vectors, r.model, depth, silent) for r in results},
        query_picture=lambda row: picture(asked.query_picture(row)),
        gallery_picture=lambda row: picture(asked.item_picture(row)),
    )
    gain = changes(results[0], results[1])
    order = np.argsort(-gain, kind="stable")
    best = [int(row) for row in order[:shown] if gain[row] > 0]
    worst = [int(row) for row in order[::-1][:shown] if gain[row] < 0]
    buffer = BytesIO()
    draw_evaluation(results, f"{len(source):,} queries, {len(index):,} items", buffer)
    return report_html(
        collection,
        f"Plain kNN beside what was pre-computed over the gallery. {asked.protocol}; queries are "
        "not in the gallery. Green: the query's label. Red, dashed: another.",
        results,
        data_url(buffer.getvalue()),
        grid,
        {"Queries that gain most": best, "Queries that lose most": worst},
    )
