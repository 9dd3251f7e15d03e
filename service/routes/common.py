"""What the addresses have in common."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import Path
from pydantic import BaseModel
from starlette.responses import Response

CollectionName = Annotated[str, Path(description="Name of a collection.", examples=["photos"])]


def as_json(answer: BaseModel, status: int = 200) -> Response:
    """An answer that is described by a model."""
    content = orjson.dumps(answer.model_dump(mode="json"))
    return Response(content, status, media_type="application/json")
