"""What the API's description says beyond what the models say: bodies, examples, errors."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from service.answers import SearchAnswer
from service.problems import MEDIA_TYPE, RETRIED, RETRY_SECONDS, Kind
from service.requests import SearchOptions

SUMMARY = "Manifold-aware search over galleries of embeddings, at the cost of plain kNN."

_PROBLEM = {"$ref": "#/components/schemas/ProblemDetails"}
_BODY_FILTER = {"$ref": "#/components/schemas/FilterForm"}
_FILTER = {"column": "price", "lt": 5}
_BODY = {"$ref": "#/components/schemas/SearchBody"}
_PARAMETER_KEYS = (
    "type", "minimum", "maxLength", "enum", "items", "minItems", "maxItems", "uniqueItems",
)  # fmt: skip
_REQUEST_ID = "3f1c9a5be07d4c21"
_PATH = "/v1/collections/photos/search"

_EXAMPLES: dict[str, dict[str, Any]] = {
    "wrong-dimension": {
        "detail": "the collection has dimension 4, the query has 3",
        "expected": 4,
        "found": 3,
    },
    "too-many": {
        "detail": "k is 5000, but the collection holds 1000",
        "expected": 1000,
        "found": 5000,
    },
    "unknown-model": {
        "detail": "no model is called 'best'; the collection has default, knn",
        "expected": ["default", "knn"],
        "found": "best",
    },
    "unknown-column": {
        "detail": "the payload has no column 'prize'; it has price, camera, note",
        "expected": ["price", "camera", "note"],
        "found": "prize",
    },
    "unknown-collection": {
        "detail": "no collection is called 'phtos'; GET /v1/collections lists them",
        "found": "phtos",
    },
    "invalid-vectors": {
        "detail": "vector[2]: expected a number",
        "expected": "a number",
        "found": True,
    },
}

COLLECTION_EXAMPLE: dict[str, Any] = {
    "name": "photos",
    "status": "ready",
    "version": "20250301T120000Z-0f3a5c9d1e2b",
    "reason": None,
    "rows": 1000,
    "dimension": 4,
}

SEARCH_EXAMPLE: dict[str, Any] = {
    "collection": "photos",
    "version": "20250301T120000Z-0f3a5c9d1e2b",
    "model": "default",
    "took_ms": 0.71,
    "results": [
        {
            "hits": [
                {"id": 17, "score": 1.2431, "similarity": 0.9312},
                {"id": 403, "score": 0.8127, "similarity": 0.6105},
            ],
            "count": 2,
            "matched": 1000,
            "reached": 2,
        }
    ],
}

_BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "vector": ("One vector", {"vector": [0.1, 0.7, -0.2, 0.4], "k": 5}),
    "batch": ("Two vectors at once", {"vectors": [[0.1, 0.7, -0.2, 0.4], [0.3, 0, 0.5, -0.1]]}),
    "item": ("What is like an item of the collection", {"id": 17, "k": 5, "with_payload": True}),
    "plain": ("Plain nearest neighbours", {"vector": [0.1, 0.7, -0.2, 0.4], "model": "knn"}),
    "fused": ("Two models as one", {"vector": [0.1, 0.7, -0.2, 0.4], "model": ["default", "knn"]}),
    "filtered": (
        "The second page of what costs less than 5 and has no note",
        {
            "vector": [0.1, 0.7, -0.2, 0.4],
            "offset": 10,
            "filter": {
                "and": [
                    {"column": "price", "gte": 1, "lt": 5},
                    {"column": "camera", "in": [3, 4]},
                    {"not": {"column": "note", "exists": True}},
                ]
            },
        },
    ),
    "grouped": (
        "The best hit of each product, none of them too far away",
        {"id": 17, "group_by": "product", "min_similarity": 0.3},
    ),
    "examples": (
        "What is like two items and unlike a third",
        {"positive": [17, 403], "negative": [99], "k": 5},
    ),
    "explained": ("With the reasons", {"id": 17, "k": 3, "explain": True}),
}


def _parameters() -> list[dict[str, Any]]:
    """The fields of `SearchOptions` as query parameters."""
    properties = SearchOptions.model_json_schema()["properties"]
    return [_parameter(name, schema) for name, schema in properties.items()]


def _parameter(name: str, field: dict[str, Any]) -> dict[str, Any]:
    """One field; what may be a list is one, with commas, and one value is a list of one."""
    text = f"With a raw body only; in JSON it is a field. {field['description']}"
    if name == "filter":
        # As JSON in the address; the schema is the one of the body's field.
        content = {"application/json": {"schema": _BODY_FILTER, "example": _FILTER}}
        return {
            "name": name, "in": "query", "required": False, "description": text,
            "content": content,
        }  # fmt: skip
    schema = _as_parameter(field)
    listed = schema["type"] == "array"
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": f"{text} Commas separate several." if listed else text,
        "schema": schema,
        **({"style": "form", "explode": False} if listed else {}),
    }


def _as_parameter(schema: dict[str, Any]) -> dict[str, Any]:
    """A field's schema without the null that a query string cannot say, and without prose."""
    alternatives = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    # The last one is the widest: a list, where one value will do, too.
    kept = {**schema, **alternatives[-1]}
    return {key: value for key, value in kept.items() if key in _PARAMETER_KEYS}


_FORM = {
    "type": "object",
    "required": ["image"],
    "properties": {
        "image": {
            "type": "string",
            "format": "binary",
            "description": "A picture: jpg, png, webp, gif, bmp or tiff.",
        },
        "options": {"$ref": "#/components/schemas/PictureOptions"},
    },
}

SEARCH_REQUEST: dict[str, Any] = {
    "parameters": _parameters(),
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": _BODY,
                "examples": {
                    name: {"summary": summary, "value": value}
                    for name, (summary, value) in _BODIES.items()
                },
            },
            "multipart/form-data": {
                "schema": _FORM,
                "encoding": {"options": {"contentType": "application/json"}},
            },
            "application/msgpack": {
                "schema": {
                    "type": "string",
                    "format": "binary",
                    "description": "MessagePack of the same form as the JSON body; a vector may "
                    "be bytes, and vectors a list of these or one piece of bytes: little-endian "
                    "float32 values.",
                }
            },
            "application/octet-stream": {
                "schema": {
                    "type": "string",
                    "format": "binary",
                    "description": "Little-endian float32 values, row after row; the number of "
                    "rows follows from the size. Options are query parameters.",
                }
            },
            "application/x-npy": {
                "schema": {
                    "type": "string",
                    "format": "binary",
                    "description": "A .npy file: float16, float32 or float64, little-endian, one "
                    "vector (d,) or several (rows, d). Options are query parameters.",
                }
            },
        },
    },
}
"""The part of a search's description that has no place in a function's signature."""


def answered(model: type[BaseModel], text: str, example: object = None) -> dict[str, Any]:
    """The description of an answer."""
    content = {} if example is None else {"application/json": {"example": example}}
    return {"model": model, "description": text, "content": content}


def search_answered(text: str) -> dict[str, Any]:
    """The description of a search's answer, in either form."""
    packed = {"schema": {"type": "string", "format": "binary", "description": "MessagePack of the "
              "same form, for a request with Accept: application/msgpack."}}  # fmt: skip
    plain = answered(SearchAnswer, text, SEARCH_EXAMPLE)
    return {**plain, "content": {**plain["content"], "application/msgpack": packed}}


def problems(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """The descriptions of the errors that an address answers with, by status."""
    found: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        entry = found.setdefault(kind.status, _problem_answer())
        entry["description"] = f"{entry['description']} {kind.title}: {kind.meaning}".strip()
        entry["content"][MEDIA_TYPE]["examples"][kind.name] = {
            "summary": kind.title,
            "value": problem_example(kind),
        }
        if kind in RETRIED:
            entry["headers"] = {
                "Retry-After": {
                    "description": "Seconds to wait before the next try, where that can help.",
                    "schema": {"type": "string"},
                    "example": RETRY_SECONDS,
                }
            }
    others = {"description": "Any other error.", "content": {MEDIA_TYPE: {"schema": _PROBLEM}}}
    return {**found, "default": others}


def _problem_answer() -> dict[str, Any]:
    return {"description": "", "content": {MEDIA_TYPE: {"schema": _PROBLEM, "examples": {}}}}


def problem_example(kind: Kind) -> dict[str, Any]:
    """A problem of a kind as a client may see it."""
    return {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status,
        "detail": kind.meaning,
        "instance": _PATH,
        "request_id": _REQUEST_ID,
        **_EXAMPLES.get(kind.name, {}),
    }
