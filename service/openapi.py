"""The API's description: made from the application; ``python -m service.openapi`` writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from service.answers import ProblemDetails
from service.requests import PictureOptions, SearchBody
from service.routes import all_routes
from service.security.describe import describe_security
from service.version_answers import NewCollection
from workers.jobs import BuildSpec

COMMITTED = Path(__file__).resolve().parents[1] / "openapi" / "openapi.json"
"""Where the description is kept in the repository."""

_REFERENCE = "#/components/schemas/{model}"


def describe_api(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI description of the application."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        routes=app.routes,
        license_info=app.license_info,
    )
    # Generators make names of these; FastAPI's own repeat the path.
    for route in all_routes():
        for method in route.methods or ():
            operation = document["paths"].get(route.path_format, {}).get(method.lower())
            if operation is not None:
                operation["operationId"] = route.operation_id or route.name
    # FastAPI finds the models that functions take and give. The body of a search is read by hand,
    # and problems are no function's answer.
    _, extra = models_json_schema(
        [
            (SearchBody, "validation"),
            (PictureOptions, "validation"),
            (BuildSpec, "validation"),
            (NewCollection, "validation"),
            (ProblemDetails, "serialization"),
        ],
        ref_template=_REFERENCE,
    )
    schemas = {**document["components"]["schemas"], **extra["$defs"]}
    schemas |= _spelt_out("SearchBody", schemas["SearchBody"])
    used = _used(document["paths"], schemas) | {"ProblemDetails"}
    document["components"]["schemas"] = {name: schemas[name] for name in sorted(used)}
    describe_security(document)
    return document


def _used(part: object, schemas: dict[str, Any]) -> set[str]:
    """Names of the schemas that are referred to, from a part of the description or from others."""
    found: set[str] = set()
    todo = [part]
    while todo:
        match todo.pop():
            case {"$ref": str(reference), **rest}:
                todo += rest.values()
                name = reference.rpartition("/")[2]
                if name not in found:
                    found.add(name)
                    todo.append(schemas[name])
            case dict(members):
                todo += members.values()
            case list(items):
                todo += items
    return found


def _spelt_out(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """An object that has exactly one of several fields, as a schema for each of these.

    Generators of clients make a type of each, and of the whole the choice between them. Of a
    choice that is made between lists of required fields they make nothing at all.
    """
    choices = [choice["required"] for choice in schema["oneOf"]]
    taken = {"oneOf", "dependentRequired"}
    belong = schema.get("dependentRequired", {})
    parts = {}
    for own in choices:
        others = {field for choice in choices for field in choice} - set(own)
        others |= {field for field, wanted in belong.items() if not set(wanted) <= set(own)}
        title = name.removesuffix("Body") + "By" + own[0].capitalize()
        parts[title] = {
            **{key: value for key, value in schema.items() if key not in taken},
            "title": title,
            "required": own,
            "properties": {
                field: what for field, what in schema["properties"].items() if field not in others
            },
        }
    whole = {
        "title": name,
        "description": schema["description"],
        "oneOf": [{"$ref": _REFERENCE.format(model=title)} for title in parts],
    }
    return {**parts, name: whole}


def as_text(document: dict[str, Any]) -> str:
    """The description as it is committed."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write the description into the repository."""
    from service.app import create_app
    from service.settings import Settings

    # The description does not depend on settings; these keep the environment out all the same.
    app = create_app(Settings.model_construct())
    COMMITTED.parent.mkdir(exist_ok=True)
    COMMITTED.write_text(as_text(app.openapi()), encoding="utf-8")


if __name__ == "__main__":
    main()
