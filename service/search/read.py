"""From a body of one of the kinds that are taken to a search."""

from __future__ import annotations

from collections.abc import Sequence

from kinfold.arrays import AnyArray, Float32s
from kinfold.search import Index
from service.bodies import BodyKind
from service.collections import OpenCollection
from service.encoders import Encoders
from service.problems import INVALID_REQUEST, ProblemError
from service.requests import PictureOptions, parse_body, parse_parameters
from service.search.picture import embed
from service.search.question import Search
from service.settings import Settings
from service.vectors import as_queries, check_batch, from_npy, from_raw


def read(
    collection: OpenCollection,
    kind: BodyKind,
    body: bytearray,
    parameters: Sequence[tuple[str, str]],
    settings: Settings,
) -> Search:
    """The search that a body of one of the kinds asks for."""
    dimension = collection.index.dimension
    if kind in ("json", "msgpack"):
        options = parse_body(body, kind)
        no_parameters(parameters)
        if options.positive is not None:
            return Search(None, [], options, options.positive, options.negative or ())
        values = options.vector if options.vector is not None else options.vectors
        if values is None:
            ids = [options.id] if options.id is not None else options.ids or []
            check_batch(len(ids), settings.max_batch)
            return Search(None, ids, options)
        if values.ndim == 1:
            values = from_raw(values.data.cast("B"), dimension)
        return Search(_fitting(values, collection.index, settings.max_batch), [], options)
    raw_options = parse_parameters(parameters)
    values = from_raw(body, dimension) if kind == "raw" else from_npy(body)
    return Search(_fitting(values, collection.index, settings.max_batch), [], raw_options)


def no_parameters(parameters: Sequence[tuple[str, str]]) -> None:
    """Refuse a query string that goes with a body which has its own options."""
    if parameters:
        raise ProblemError(
            INVALID_REQUEST,
            "query parameters go with raw bodies only; put them into the body",
            found=parameters[0][0],
        )


def by_picture(
    collection: OpenCollection, content: bytes, options: PictureOptions, encoders: Encoders
) -> Search:
    """The search for what is like a picture."""
    vectors = embed(encoders.of(collection), content, options)
    return Search(_fitting(vectors, collection.index, 1), [], options)


def _fitting(values: AnyArray, index: Index, most: int) -> Float32s:
    """Queries of the index's own dimension, or of the one that it had before it reduced it."""
    projection = index.extras.projection
    if projection is not None and values.shape[1] == projection.dimension:
        return index.reduced(as_queries(values, projection.dimension, most))
    return as_queries(values, index.dimension, most)
