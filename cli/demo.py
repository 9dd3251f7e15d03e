"""`kinfold demo`: handwritten digits, from nothing to a table, a report and a served collection."""

from __future__ import annotations

import shlex
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import typer

import kinfold
from cli.console import JsonOption, bars, err, out, print_json
from cli.evaluate import as_json, changes, table_of, wins_and_losses
from cli.measure import Measured, by_labels, measure, rank
from cli.pictures import data_url, gray_jpeg, gray_png
from cli.plots import draw_evaluation
from cli.report_page import Grid, report_html
from indexer import build_collection
from indexer.sources import Source
from kinfold.arrays import AnyArray
from kinfold.errors import InputError, StorageError
from kinfold.index.extras import Extras, Thumbnails
from kinfold.progress import silent

QUERIES = 359
COLLECTION = "digits"
EACH = 4


def demo(
    output: Annotated[
        Path, typer.Option("--output", help="Where the collection and the report go.")
    ] = Path("demo-output"),
    json: JsonOption = False,
) -> None:
    """Build, evaluate and picture a small gallery: 1,438 handwritten digits, 359 held-out queries.

    Needs no network and no server; takes seconds once the kernels are compiled.

    **Example**

    `kinfold demo --output digits`
    """
    pixels, labels = _digits()
    order = np.random.default_rng(0).permutation(labels.size)
    asked, kept = order[:QUERIES], order[QUERIES:]
    gallery = Source(
        "scikit-learn's digits",
        pixels[kept],
        ids=np.array([f"digit-{row:04d}" for row in kept]),
        columns=pa.table({"digit": labels[kept], "row": kept}),
        payload_names=["digit", "row"],
        extras=Extras(thumbnails=_thumbnails(pixels[kept])),
    )
    if not json:
        err.print(
            f"{kept.size:,} digits of {pixels.shape[1]} pixels as the gallery, "
            f"{asked.size} others as queries"
        )
    data = output / "data"
    with bars(enabled=not json) as progress:
        summary = build_collection(gallery, data, COLLECTION, progress=progress)
    index = kinfold.open(summary.path)
    queries = Source("queries", pixels[asked], columns=pa.table({"digit": labels[asked]}))
    with bars(enabled=not json) as progress:
        results = measure(index, queries.vectors, by_labels(labels[asked], labels[kept]), progress)
    grid = Grid(
        query_labels=labels[asked],
        gallery_labels=labels[kept],
        rankings={r.model: rank(index, queries.vectors, r.model, 10, silent) for r in results},
        query_picture=lambda row: _picture(pixels[asked[row]]),
        gallery_picture=lambda row: _picture(pixels[kept[row]]),
    )
    report = _write(output, results, grid, queries.vectors[0], f"{summary.seconds:.1f} s")
    if json:
        print_json(as_json(results, index, queries) | {"report": str(report), "data": str(data)})
        return
    out.print(table_of(results))
    for result in results[1:]:
        wins_and_losses(results[0], result, queries)
    out.print(f"\nreport with pictures: {report}")
    out.print(f"serve it:   KINFOLD_AUTH=off kinfold serve --data {shlex.quote(str(data))}")
    out.print(f"look at it: http://127.0.0.1:8000/#{COLLECTION}")
    out.print(f"then ask:   {_curl(output)}")


def _digits() -> tuple[AnyArray, AnyArray]:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise InputError(
            "the demo's pictures come with scikit-learn: pip install 'kinfold[demo]'"
        ) from None
    bunch = load_digits()
    return bunch.data, bunch.target.astype(np.int64)


def _thumbnails(pixels: AnyArray) -> Thumbnails:
    """The digits as the page shows them, each pixel a square."""
    jpegs = [gray_jpeg(row.reshape(8, 8), 12) for row in pixels]
    starts = np.cumsum([0, *map(len, jpegs)]).astype(np.int64)
    return Thumbnails(starts, np.frombuffer(b"".join(jpegs), np.uint8))


def _picture(pixels: AnyArray) -> str:
    return data_url(gray_png(pixels.reshape(8, 8), 6))


def _curl(output: Path) -> str:
    body = shlex.quote(f"@{output / 'query.json'}")
    return (
        f"curl -s http://127.0.0.1:8000/v1/collections/{COLLECTION}/search "
        f"-H 'content-type: application/json' -d {body}"
    )


def _right_of_ten(grid: Grid, model: str) -> AnyArray:
    """(m,) how many of each query's first ten are right."""
    labels = grid.gallery_labels[grid.rankings[model][:, :10]]
    right: AnyArray = (labels == grid.query_labels[:, None]).sum(axis=1)
    return right


def _write(
    output: Path, results: list[Measured], grid: Grid, query: AnyArray, seconds: str
) -> Path:
    """Write report.html, plot.png and query.json; returns the report's path."""
    plain, best = results[0], results[1]
    buffer = BytesIO()
    title = f"Digits: {grid.query_labels.size} queries, {grid.gallery_labels.size:,} items"
    draw_evaluation(results, title, buffer)
    # What the ten pictures show comes first, the rest of the ranking after.
    seen = _right_of_ten(grid, best.model) - _right_of_ten(grid, plain.model)
    gain = changes(plain, best)
    order = np.lexsort((gain, seen))
    middle = order[gain[order] > 0]
    chosen = {
        "Where diffusion gains most": [int(row) for row in order[::-1][:EACH]],
        "A typical gain": [int(row) for row in middle[middle.size // 2 :][:2]],
        "Where it loses most": [int(row) for row in order[:EACH] if gain[row] < 0],
    }
    footer = (
        "<p>Serve this collection, search it at <code>http://127.0.0.1:8000/</code>, or ask it the "
        "first query:</p>"
        "<pre>KINFOLD_AUTH=off kinfold serve --data "
        f"{escape(shlex.quote(str(output / 'data')))}\n{escape(_curl(output))}</pre>"
    )
    page = report_html(
        "Kinfold on handwritten digits",
        f"Plain kNN beside diffusion pre-computed over the gallery. Built in {seconds}; "
        "queries are not in the gallery. Green: the query's class. Red, dashed: another.",
        results,
        data_url(buffer.getvalue()),
        grid,
        chosen,
        footer,
        pixels=True,
    )
    report = output / "report.html"
    values = ", ".join(f"{value:g}" for value in query)
    try:
        report.write_text(page, encoding="utf-8")
        (output / "plot.png").write_bytes(buffer.getvalue())
        (output / "query.json").write_text(
            f'{{"vector": [{values}], "k": 5, "with_payload": true}}\n', encoding="utf-8"
        )
    except OSError as error:
        raise StorageError(f"{output}: cannot be written: {error.strerror}") from None
    return report
