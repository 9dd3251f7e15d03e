"""The page at ``/``, and the files that it is made of."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from service.problems import NOT_FOUND, ProblemError, shown
from service.web_files import INDEX, answer_of, read_files

router = APIRouter()

_FILES = read_files()

FileName = Annotated[str, Path(description="Name of a file of the page.")]


@router.get("/", include_in_schema=False)
async def page(request: Request) -> Response:
    """The page: it asks nothing of any other host, and what it shows it gets from this API."""
    return answer_of(_FILES[INDEX], request.headers)


@router.get("/web/{file}", include_in_schema=False)
async def web_file(request: Request, file: FileName) -> Response:
    """One of its files."""
    if file not in _FILES:
        raise ProblemError(NOT_FOUND, f"the page has no file {shown(file)!r}", found=file)
    return answer_of(_FILES[file], request.headers)
