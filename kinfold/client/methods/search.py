"""Searches: what is asked, in the shortest form that can say it."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from kinfold.client.addresses import collection_at
from kinfold.client.answers import Floats, Id, SearchAnswer
from kinfold.client.calls import Call, Steps, Work
from kinfold.client.method import Caller, answer_of, method
from kinfold.config import Seeds
from kinfold.errors import InputError

MOST_QUERY_STRING = 2000
"""Longest options that go with a raw body, as query parameters: proxies bound addresses."""


class Search:
    """Searching."""

    @method
    def search(
        self: Caller,
        collection: str,
        vectors: npt.ArrayLike | None = None,
        *,
        id: Id | None = None,
        ids: Sequence[Id] | npt.NDArray[Any] | None = None,
        positive: Sequence[Id] | npt.NDArray[Any] | None = None,
        negative: Sequence[Id] | npt.NDArray[Any] | None = None,
        k: int = 10,
        offset: int = 0,
        min_similarity: float | None = None,
        filter: Mapping[str, Any] | None = None,
        group_by: str | None = None,
        group_size: int | None = None,
        model: str | Sequence[str] | None = None,
        fusion: Literal["rrf", "score"] | None = None,
        k_q: int | None = None,
        seeds: Seeds | None = None,
        explain: bool = False,
        with_payload: bool = False,
    ) -> Steps[SearchAnswer]:
        """The k best items for one query or for a batch.

        Exactly one of `vectors`, `id`, `ids` and `positive` says what is looked for. The others
        are the options of the service, see docs/api.md; None and the defaults are left to it.

        Parameters
        ----------
        collection:
            Name of the collection.
        vectors:
            One query (d,), or a batch (m, d): an array or lists. Sent as float32.
        id, ids:
            What is like this item; what is like each of these.
        positive, negative:
            One query of examples: what is like the ones, and unlike the others.
        filter:
            Which items may be found, as docs/api.md describes filters.

        Raises
        ------
        KinfoldServiceError
            One of its subclasses; what can pass by itself was tried again.
        """
        options: dict[str, Any] = {
            "k": k,
            "offset": offset or None,
            "min_similarity": min_similarity,
            "filter": None if filter is None else dict(filter),
            "group_by": group_by,
            "group_size": group_size,
            "model": model if model is None or isinstance(model, str) else list(model),
            "fusion": fusion,
            "k_q": k_q,
            "seeds": seeds,
            "explain": explain or None,
            "with_payload": with_payload or None,
        }
        options = {name: value for name, value in options.items() if value is not None}
        asked = {
            "id": id,
            "ids": _listed(ids),
            "positive": _listed(positive),
            "negative": _listed(negative),
        }
        asked = {name: value for name, value in asked.items() if value is not None}
        queries = None if vectors is None else as_queries(vectors)
        call = search_call(collection, queries, asked, options)
        return (yield from answer_of(self, call, SearchAnswer))

    @method
    def search_picture(
        self: Caller,
        collection: str,
        picture: bytes | str | os.PathLike[str],
        *,
        crop: tuple[float, float, float, float] | None = None,
        k: int = 10,
        options: Mapping[str, Any] | None = None,
    ) -> Steps[SearchAnswer]:
        """The k best items for a picture, in a collection that was built from pictures.

        Parameters
        ----------
        picture:
            The content of a file, or the path of one: jpg, png, webp, gif, bmp or tiff.
        crop:
            Search for this part of it: left, top, right and bottom in pixels, upright.
        options:
            Further ones of `search`, by name: ``{"model": "knn", "with_payload": True}``.
        """
        content = yield Work(lambda: _bytes_of(picture))
        asked = dict(options or {}) | {"k": k} | ({} if crop is None else {"crop": list(crop)})
        boundary = f"kinfold{secrets.token_hex(16)}"
        call = picture_call(collection, content, boundary, asked)
        return (yield from answer_of(self, call, SearchAnswer))


def picture_call(collection: str, content: bytes, boundary: str, options: dict[str, Any]) -> Call:
    """The request of a search by a picture: a form of two parts."""
    parts = [
        (b'name="options"', b"application/json", as_json(options).encode()),
        (b'name="image"; filename="picture"', b"application/octet-stream", content),
    ]
    mark = b"--" + boundary.encode()
    body = b"".join(
        mark
        + b"\r\nContent-Disposition: form-data; "
        + name
        + b"\r\nContent-Type: "
        + kind
        + b"\r\n\r\n"
        + value
        + b"\r\n"
        for name, kind, value in parts
    )
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    path = collection_at(collection, "search")
    return Call("POST", path, headers=headers, body=body + mark + b"--\r\n")


def _bytes_of(picture: bytes | str | os.PathLike[str]) -> bytes:
    if isinstance(picture, bytes):
        return picture
    try:
        return Path(picture).read_bytes()
    except OSError as error:
        raise InputError(f"{picture}: cannot be read: {error.strerror}") from None


def search_call(
    collection: str, queries: Floats | None, asked: dict[str, Any], options: dict[str, Any]
) -> Call:
    """The request of a search: raw float32 where the options allow it, else JSON."""
    path = collection_at(collection, "search")
    if queries is not None and not asked:
        parameters = _parameters(options)
        if parameters is not None:
            headers = {"Content-Type": "application/octet-stream"}
            return Call("POST", path, parameters, headers, queries.tobytes())
    if queries is not None:
        name = "vector" if queries.ndim == 1 else "vectors"
        asked = {name: queries.tolist(), **asked}
    return json_call("POST", path, {**asked, **options})


def json_call(verb: str, path: str, body: Mapping[str, Any], **more: Any) -> Call:
    """A request with a JSON body."""
    content = as_json(body).encode()
    return Call(verb, path, headers={"Content-Type": "application/json"}, body=content, **more)


def as_queries(vectors: npt.ArrayLike) -> Floats:
    """Queries as little-endian float32 rows; raises `InputError` for what is none."""
    try:
        given = np.asarray(vectors)
        if given.dtype.kind not in "fiu":
            raise TypeError(f"they are of type {given.dtype}")
        with np.errstate(over="ignore"):
            found = np.ascontiguousarray(given, dtype="<f4")
    except (TypeError, ValueError) as error:
        raise InputError(f"vectors: expected numbers, (d,) or (m, d): {error}") from None
    if found.ndim not in (1, 2) or not found.size:
        raise InputError(f"vectors: expected (d,) or (m, d), found the shape {found.shape}")
    if not np.isfinite(found).all():
        raise InputError("vectors: expected finite float32 values, found NaN or infinity")
    return found


def _listed(ids: Sequence[Id] | npt.NDArray[Any] | None) -> list[Id] | None:
    if ids is None:
        return None
    if isinstance(ids, (str, bytes)):
        raise InputError(f"expected a list of ids, found the text {ids!r}")
    return ids.tolist() if isinstance(ids, np.ndarray) else list(ids)


def _parameters(options: Mapping[str, Any]) -> dict[str, str] | None:
    """Options as query parameters; None if they do not fit."""
    model = options.get("model", "")
    # Commas part names there.
    if "," in (model if isinstance(model, str) else "".join(model)):
        return None
    found = {name: _text(value) for name, value in options.items()}
    return found if sum(map(len, found.values())) <= MOST_QUERY_STRING else None


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return ",".join(value) if isinstance(value, list) else as_json(value)


def as_json(value: object) -> str:
    """A value as JSON; raises `InputError` for what JSON lacks."""
    try:
        return json.dumps(value, default=_plain, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"what was given cannot be sent: {error}") from None


def _plain(value: object) -> object:
    """NumPy's numbers and arrays as JSON has them."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is nothing that JSON has")
