"""Small JSON bodies, read into a model."""

from __future__ import annotations

from typing import TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from kinfold.config import describe
from service.bodies import body_kind, read_body
from service.problems import (
    INVALID_JSON,
    INVALID_REQUEST,
    UNSUPPORTED_MEDIA_TYPE,
    ProblemError,
)

MOST_BYTES = 1 << 16

Model = TypeVar("Model", bound=BaseModel)


async def read_model(request: Request, model: type[Model], most: int = MOST_BYTES) -> Model:
    """Read a body of at most `most` bytes.

    Raises
    ------
    ProblemError
        It is too large, not JSON, or not what the model wants.
    """
    if body_kind(request.headers) != "json":
        found = request.headers.get("content-type", "none")
        raise ProblemError(
            UNSUPPORTED_MEDIA_TYPE,
            f"expected Content-Type application/json, found {found}",
            expected="application/json",
            found=found,
        )
    body = await read_body(request, most)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ProblemError(
            INVALID_JSON,
            f"the body is not JSON: {error}" if body else "the body is empty, expected JSON",
        ) from None
    if type(value) is not dict:
        raise ProblemError(
            INVALID_REQUEST, "expected a JSON object", expected="an object", found=value
        )
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise ProblemError(INVALID_REQUEST, describe(error)) from None
