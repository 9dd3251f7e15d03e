"""The two clients: connections, and who may use them. What they can do stands in `methods`."""

from __future__ import annotations

import os
import ssl
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from kinfold.client.calls import Steps
from kinfold.client.method import Awaiting, Waiting
from kinfold.client.methods import Methods
from kinfold.client.retry import Patience
from kinfold.client.transports import run, run_async
from kinfold.errors import InputError
from kinfold.version import __version__

Result = TypeVar("Result")

KEY_VARIABLE = "KINFOLD_API_KEY"


class Client(Methods, Waiting):
    """A client whose methods return when they are done; safe to share between threads.

    Parameters
    ----------
    url:
        Of the service, ``http://host:port``, with a path if a proxy has put it under one.
    api_key:
        None: from the environment variable KINFOLD_API_KEY, if there is one.
    timeout:
        Seconds without a byte, after which a connection counts as lost.
    patience:
        How often and how long a call is tried. `Patience(retries=0)`: once.
    connections:
        Most connections at a time; further calls wait.
    verify:
        False, or an SSL context, for services with certificates of their own.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout: float = 30.0,
        patience: Patience | None = None,
        connections: int = 100,
        verify: bool | ssl.SSLContext = True,
    ) -> None:
        self.patience = Patience() if patience is None else patience
        self._url = _checked(url)
        self._http = httpx.Client(**_options(self._url, api_key, timeout, connections, verify))

    def run(self, steps: Steps[Result]) -> Result:
        """Do what a method's steps say; for methods of your own."""
        return run(steps, self._http)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        # Never the key.
        return f"Client({self._url!r})"


class AsyncClient(Methods, Awaiting):
    """A client whose methods are awaited, in asyncio; parameters as of `Client`."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout: float = 30.0,
        patience: Patience | None = None,
        connections: int = 100,
        verify: bool | ssl.SSLContext = True,
    ) -> None:
        self.patience = Patience() if patience is None else patience
        self._url = _checked(url)
        self._http = httpx.AsyncClient(**_options(self._url, api_key, timeout, connections, verify))

    async def run(self, steps: Steps[Result]) -> Result:
        """Do what a method's steps say; for methods of your own."""
        return await run_async(steps, self._http)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"AsyncClient({self._url!r})"


def _checked(url: str) -> str:
    try:
        found = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as error:
        raise InputError(f"url: expected http://host:port, found {url!r}: {error}") from None
    if found.scheme not in {"http", "https"} or not found.host:
        raise InputError(f"url: expected http://host:port or https://…, found {url!r}")
    if found.userinfo:
        raise InputError("url: expected no name and password in it; give the key as api_key")
    return str(found.copy_with(query=None, fragment=None)).rstrip("/")


def _options(
    url: str,
    api_key: str | None,
    timeout: float,
    connections: int,
    verify: bool | ssl.SSLContext,
) -> dict[str, Any]:
    """What both kinds of httpx's clients take."""
    headers = {"User-Agent": f"kinfold/{__version__}", "Accept": "application/json"}
    key = os.environ.get(KEY_VARIABLE) if api_key is None else api_key
    if key:
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise InputError("api_key: expected kf_<id>_<secret>, found other characters in it")
        # httpx hides this header wherever it shows headers.
        headers["Authorization"] = f"Bearer {key}"
    return {
        "base_url": url,
        "headers": headers,
        "timeout": httpx.Timeout(timeout, connect=min(timeout, 5.0)),
        "limits": httpx.Limits(
            max_connections=connections, max_keepalive_connections=min(connections, 20)
        ),
        "verify": verify,
        "follow_redirects": False,
    }
