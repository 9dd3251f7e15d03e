"""A running application to send requests to: in this process, and as a server of its own."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal

from service.app import create_app
from service.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2]
RAW = "application/octet-stream"
NPY = "application/x-npy"
JSON = "application/json"


class Client:
    """Sends requests to an application in this process, whose lifespan runs."""

    def __init__(self, portal: BlockingPortal, app: Any) -> None:
        self.app = app
        self.portal = portal
        transport = httpx.ASGITransport(app)
        self._http = httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60)

    def send(self, method: str, path: str, **given: Any) -> httpx.Response:
        async def request() -> httpx.Response:
            return await self._http.request(method, path, **given)

        return self.portal.call(request)

    def get(self, path: str, **given: Any) -> httpx.Response:
        return self.send("GET", path, **given)

    def search(self, collection: str, **body: Any) -> httpx.Response:
        return self.send("POST", f"/v1/collections/{collection}/search", json=body)

    def search_bytes(
        self, collection: str, content: Any, content_type: str | None, **parameters: Any
    ) -> httpx.Response:
        headers = {} if content_type is None else {"Content-Type": content_type}
        return self.send(
            "POST",
            f"/v1/collections/{collection}/search",
            content=content,
            headers=headers,
            params=parameters,
        )

    async def post_bare(self, path: str, content: bytes, content_type: str) -> httpx.Response:
        """As `search_bytes`, from inside the portal and without a client's ceremony: fast."""
        sent: list[MutableMapping[str, Any]] = []
        left = asyncio.Event()

        async def receive() -> MutableMapping[str, Any]:
            if not left.is_set():
                left.set()
                return {"type": "http.request", "body": content, "more_body": False}
            await asyncio.Event().wait()
            return {"type": "http.disconnect"}

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        headers = [(b"content-type", content_type.encode())]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
            "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
            "root_path": "", "headers": headers, "client": None, "server": None,
        }  # fmt: skip
        await self.app(scope, receive, send)
        start, body = sent
        return httpx.Response(start["status"], headers=start["headers"], content=body["body"])

    def wait_until_ready(self) -> httpx.Response:
        return until(lambda: settled(self.get("/readyz")))

    def close(self) -> None:
        self.portal.call(self._http.aclose)


@contextmanager
def running(data: Path, *, wait: bool = True, **settings: Any) -> Iterator[Client]:
    """An application over a data folder, started and stopped as a server would."""
    app = create_app(Settings(data=data, **{"auth": "off", **settings}))
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(app.router.lifespan_context(app)),
    ):
        client = Client(portal, app)
        try:
            if wait:
                client.wait_until_ready()
            yield client
        finally:
            client.close()


@contextmanager
def server(data: Path, **settings: Any) -> Iterator[tuple[httpx.Client, subprocess.Popen[bytes]]]:
    """The service as a process of its own, on a free port; ended by its process id."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {"KINFOLD_DATA": str(data), "KINFOLD_PORT": str(port), "PYTHONPATH": "."}
    environment |= {"KINFOLD_AUTH": "off"}
    environment |= {f"KINFOLD_{name.upper()}": str(value) for name, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, "-c", "from service.serve import serve; serve()"],
        cwd=REPOSITORY,
        env=environment,
        stderr=subprocess.PIPE,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            until(lambda: reachable(client))
            until(lambda: settled(client.get("/readyz")))
            yield client, process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)


def reachable(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.ConnectError:
        return False


def settled(answer: httpx.Response) -> httpx.Response | None:
    """An answer of /readyz once no collection warms up any more."""
    body = answer.json()
    # Without a key only the status tells.
    shown = body.get("collections")
    waiting = answer.status_code == 503 if shown is None else _warming(shown)
    return None if waiting else answer


def _warming(states: list[dict[str, Any]]) -> bool:
    return "warming" in {state["status"] for state in states}


def until(condition: Any, seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)
    return value


def problem(answer: httpx.Response, status: int, name: str) -> dict[str, Any]:
    """The problem that an answer is, held against the one shape of all errors."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["type"] == f"/docs#{name}"
    assert found["status"] == status
    assert found["title"]
    assert found["detail"]
    assert unquote(found["instance"]) == answer.request.url.path
    assert found["request_id"] == answer.headers["x-request-id"]
    known = {"type", "title", "status", "detail", "instance", "request_id"}
    assert set(found) - known <= {"expected", "found", "collections", "job"}
    return found
