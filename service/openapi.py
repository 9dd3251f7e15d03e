"""The API's description: made from the application; ``python -m service.openapi`` writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from service.answers import ProblemDetails
from service.requests import SearchBody
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
    # FastAPI finds the models that functions take and give. The body of a search is read by hand,
    # and problems are no function's answer.
    _, extra = models_json_schema(
        [
            (SearchBody, "validation"),
            (BuildSpec, "validation"),
            (NewCollection, "validation"),
            (ProblemDetails, "serialization"),
        ],
        ref_template=_REFERENCE,
    )
    schemas = {**document["components"]["schemas"], **extra["$defs"]}
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    describe_security(document)
    return document


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
