"""A client of the service: typed, waiting or awaiting, patient where that is safe.

>>> from kinfold.client import Client
>>> with Client("http://127.0.0.1:8000") as client:             # doctest: +SKIP
...     answer = client.search("photos", vector, k=10)
...     answer.ids, answer.scores, answer.similarities

Needs ``pip install 'kinfold[client]'``.
"""

from __future__ import annotations

try:
    import httpx as _httpx  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "kinfold.client needs httpx; install it with: pip install 'kinfold[client]'", name="httpx"
    ) from error

from kinfold.client.answers import (
    Activated,
    CollectionInfo,
    CollectionState,
    GalleryMap,
    Hit,
    Item,
    ItemList,
    Job,
    JobProgress,
    Readiness,
    Result,
    SearchAnswer,
    Share,
    Snapshot,
    Upload,
    VersionInfo,
)
from kinfold.client.clients import AsyncClient, Client
from kinfold.client.errors import (
    AuthError,
    BuildEndedError,
    ConflictError,
    KinfoldServiceError,
    NotFoundError,
    RefusedError,
    RetryableError,
    UnreachableError,
    WaitedTooLongError,
)
from kinfold.client.retry import Patience

__all__ = [
    "Activated",
    "AsyncClient",
    "AuthError",
    "BuildEndedError",
    "Client",
    "CollectionInfo",
    "CollectionState",
    "ConflictError",
    "GalleryMap",
    "Hit",
    "Item",
    "ItemList",
    "Job",
    "JobProgress",
    "KinfoldServiceError",
    "NotFoundError",
    "Patience",
    "Readiness",
    "RefusedError",
    "Result",
    "RetryableError",
    "SearchAnswer",
    "Share",
    "Snapshot",
    "UnreachableError",
    "Upload",
    "VersionInfo",
    "WaitedTooLongError",
]
