"""`kinfold search`: a few queries from the command line."""

from __future__ import annotations

import json as json_module
from typing import Annotated, Any

import typer
from rich.table import Table

import kinfold
from cli.console import (
    CollectionOption,
    DataOption,
    JsonOption,
    MaskOption,
    VectorsOption,
    out,
    plain,
    print_json,
)
from cli.folders import embed_picture
from cli.measure import check_queries
from indexer import collection_path, read_source
from indexer.sources import Columns
from indexer.sources.names import is_picture
from kinfold.errors import InputError
from kinfold.search import Filter, Hits, Index, read_filter
from kinfold.search.fusion import FUSIONS, Fusion

MOST_QUERIES = 1000

FusionOption = Annotated[
    str | None,
    typer.Option(
        "--fusion",
        help="How several models become one ranking: 'rrf' by reciprocal ranks, 'score' by their "
        "scores as shares of each model's best. Default: rrf.",
    ),
]


def search(
    data: DataOption,
    collection: CollectionOption,
    queries: Annotated[
        str | None,
        typer.Argument(help="A file of queries: .npy, .npz, .parquet, .arrow; or a picture."),
    ] = None,
    id: Annotated[
        list[str] | None, typer.Option("--id", help="Search from an item of the gallery instead.")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Hits a query.")] = 10,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="A model's name, or 'knn'; or several, separated by commas, to be fused into one "
            "ranking. Default: as built.",
        ),
    ] = None,
    fusion: FusionOption = None,
    positive: Annotated[
        list[str] | None,
        typer.Option(
            "--positive", help="Search for what is like all items named so, as one query."
        ),
    ] = None,
    negative: Annotated[
        list[str] | None,
        typer.Option("--negative", help="With --positive: and unlike all items named so."),
    ] = None,
    filter: Annotated[
        str | None,
        typer.Option(
            "--filter",
            help="Which items may be hits, by their payload, as JSON: "
            """'{"column": "camera", "in": [3, 4]}'. Columns: eq, in, gt, gte, lt, lte, exists; """
            "joined by and, or, not.",
        ),
    ] = None,
    offset: Annotated[int, typer.Option("--offset", help="Pass over the best hits.")] = 0,
    min_similarity: Annotated[
        float | None,
        typer.Option("--min-similarity", help="Leave out hits whose similarity is below it."),
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option("--group-by", help="A column of the payload: few hits of each of its values."),
    ] = None,
    group_size: Annotated[
        int, typer.Option("--group-size", help="Hits of one value of --group-by.")
    ] = 1,
    crop: Annotated[
        str | None,
        typer.Option(
            "--crop",
            metavar="LEFT,TOP,RIGHT,BOTTOM",
            help="Search for this part of the picture, in pixels as it stands upright.",
        ),
    ] = None,
    row: Annotated[
        list[int] | None, typer.Option("--row", help="Only these rows of the file of queries.")
    ] = None,
    vectors: VectorsOption = None,
    query_mask: MaskOption = None,
    json: JsonOption = False,
) -> None:
    """Search a collection and print the hits, with payload.

    **Examples**

    `kinfold search queries.npy --data data --collection photos --row 0 -k 5`

    `kinfold search --id a17 --data data --collection photos --model knn`

    `kinfold search --id a17 --data data --collection photos --model default,rdip --fusion score`

    `kinfold search --positive a17 --positive a4 --negative a9 --data data --collection photos`

    `kinfold search --id a17 --data data --collection photos --group-by product --offset 10`

    `kinfold search photo.jpg --data data --collection photos --crop 40,60,400,380`
    """
    asked, how = read_question("--model", model, fusion)
    index = kinfold.open(collection_path(data, collection))
    given = [queries is not None, bool(id), bool(positive)]
    if sum(given) != 1:
        raise InputError(
            "search: expected one of a file of queries, --id and --positive, "
            f"found {'several' if sum(given) else 'none'}"
        )
    by_picture = queries is not None and is_picture(queries)
    if crop is not None and not by_picture:
        raise InputError("--crop: expected a picture as the query, of which it names a part")
    if negative and not positive:
        raise InputError("--negative: expected --positive with it, found none")
    options: dict[str, Any] = {
        "fusion": how,
        "filter": _read_filter(filter),
        "offset": offset,
        "min_similarity": min_similarity,
        "group_by": group_by,
        "group_size": group_size,
    }
    if positive:
        liked = [_as_id("--positive", text, index) for text in positive]
        disliked = [_as_id("--negative", text, index) for text in negative or []]
        hits = index.search_examples(liked, disliked, k, asked, **options)
        labels = [" + ".join(positive) + "".join(f" − {name}" for name in negative or [])]
    elif queries is None:
        names = [_as_id("--id", text, index) for text in id or []]
        hits = index.search_by_id(names, k, asked, **options)
        labels = [str(name) for name in names]
    elif by_picture:
        hits = index.search(embed_picture(index, queries, crop), k, asked, **options)
        labels = [queries]
    else:
        source = read_source(queries, Columns(vectors))
        if query_mask is not None:
            source = source.where(source.mask(query_mask))
        rows = row if row else list(range(len(source)))
        if len(rows) > MOST_QUERIES:
            raise InputError(
                f"{queries}: {len(rows)} queries; choose at most {MOST_QUERIES} with --row, or use "
                "`kinfold evaluate` or the Python library for many"
            )
        beyond = [number for number in rows if not 0 <= number < len(source)]
        if beyond:
            raise InputError(f"{queries}: no row {beyond[0]}; it has {len(source)} rows")
        chosen = source.vectors[rows]
        name = f"{source.name} (rows counted among those of --row)" if row else source.name
        check_queries(index, chosen, name)
        hits, labels = index.search(chosen, k, asked, **options), [f"row {r}" for r in rows]
    if json:
        print_json({"results": [_as_json(index, hits, q) for q in range(len(hits))]})
        return
    for number, label in enumerate(labels):
        if out.quiet:  # whoever was reading has gone
            return
        _show(index, hits, number, label, offset + 1)


def read_question(
    option: str, text: str | None, fusion: str | None
) -> tuple[str | list[str] | None, Fusion | None]:
    """The model, or models, that an option names, and how several are fused."""
    names = [] if text is None else [name.strip() for name in text.split(",")]
    if not all(names):
        raise InputError(f"{option}: expected names separated by commas, found {text!r}")
    how = next((known for known in FUSIONS if known == fusion), None)
    if fusion is not None and how is None:
        known = " or ".join(repr(known) for known in FUSIONS)
        raise InputError(f"--fusion: expected {known}, found {fusion!r}")
    if fusion is not None and len(names) < 2:
        raise InputError(
            f"--fusion: expected several models in {option}, separated by commas, "
            f"found {repr(text) if text else 'none'}"
        )
    return (names if len(names) > 1 else text), how


def _read_filter(text: str | None) -> Filter | None:
    if text is None:
        return None
    try:
        return read_filter(json_module.loads(text))
    except (json_module.JSONDecodeError, RecursionError) as error:
        raise InputError(
            f'--filter: expected JSON such as \'{{"column": "camera", "eq": 3}}\': {error}'
        ) from None


def _as_id(option: str, text: str, index: Index) -> int | str:
    if index.manifest.ids == "string":
        return text
    try:
        return int(text)
    except ValueError:
        raise InputError(f"{option}: the ids of this index are integers, found {text!r}") from None


def _as_json(index: Index, hits: Hits, query: int) -> dict[str, Any]:
    count = int(hits.counts[query])
    payload = index.payload(hits.positions[query, :count])
    return {
        "hits": [
            {"id": id, "score": score, "similarity": similarity, "payload": row}
            for id, score, similarity, row in zip(
                hits.ids[query, :count].tolist(),
                hits.scores[query, :count].tolist(),
                hits.similarities[query, :count].tolist(),
                payload,
                strict=True,
            )
        ],
        "count": count,
        "matched": int(hits.matched[query]),
        "reached": int(hits.reached[query]),
    }


def _show(index: Index, hits: Hits, query: int, label: str, first: int) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold", title=label, title_justify="left")
    for name in ("rank", "id", "score", "similarity"):
        table.add_column(name, justify="right", no_wrap=True)
    names = index.manifest.payload_columns
    for name in names:
        table.add_column(name, overflow="ellipsis", max_width=40)
    for rank, hit in enumerate(_as_json(index, hits, query)["hits"], first):
        table.add_row(
            str(rank), plain(hit["id"]), f"{hit['score']:.4g}", f"{hit['similarity']:.4f}",
            *(plain(hit["payload"].get(name, "")) for name in names),
        )  # fmt: skip
    out.print(table)
    if not hits.counts[query]:
        out.print("no hits")
    out.print()
