"""Clients that send too slowly, too much, or nothing: given up, over real connections."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from service_client import server

from service.security.head import MOST_HEAD_BYTES

SECONDS = 1.0
BODY = json.dumps({"id": 1, "k": 2}).encode()
SEARCH = "POST /v1/collections/photos/search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json"


@pytest.fixture(scope="module")
def running(data: Path) -> Iterator[httpx.Client]:
    with server(data, body_seconds=SECONDS, log_level="warning") as (client, _):
        yield client


@pytest.fixture
def wire(running: httpx.Client) -> Iterator[socket.socket]:
    with connect(running) as connection:
        yield connection


def connect(client: httpx.Client) -> socket.socket:
    address = (client.base_url.host, client.base_url.port or 80)
    connection = socket.create_connection(address, timeout=20)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def answer(connection: socket.socket) -> tuple[int, str]:
    """Status and all of the text of an answer after which the connection is closed."""
    received = b""
    try:
        while piece := connection.recv(65536):
            received += piece
    except ConnectionResetError:
        pass
    if not received:
        return 0, ""
    return int(received.split(b" ", 2)[1]), received.decode()


def test_a_body_in_time_is_taken(wire: socket.socket) -> None:
    wire.sendall(f"{SEARCH}\r\nConnection: close\r\nContent-Length: {len(BODY)}\r\n\r\n".encode())
    for place in range(len(BODY)):
        wire.sendall(BODY[place : place + 1])
        time.sleep(0.02)
    status, text = answer(wire)
    assert status == 200, text


@pytest.mark.parametrize("share", [0.0, 0.5])
@pytest.mark.parametrize("framing", ["Content-Length: 200", "Transfer-Encoding: chunked"])
def test_a_body_that_stops(wire: socket.socket, framing: str, share: float) -> None:
    start = time.monotonic()
    wire.sendall(f"{SEARCH}\r\n{framing}\r\n\r\n".encode())
    if share:
        wire.sendall(b"5\r\n     \r\n" if "chunked" in framing else b"     ")
    status, text = answer(wire)
    assert status == 408, text
    assert '"type":"/docs#body-timeout"' in text
    assert "connection: close" in text.lower()
    assert SECONDS * 0.9 < time.monotonic() - start < SECONDS + 4


def test_a_body_that_trickles(wire: socket.socket) -> None:
    """Never a pause that is too long, but no end either."""
    start = time.monotonic()
    wire.sendall(f"{SEARCH}\r\nContent-Length: 100000\r\n\r\n".encode())
    wire.settimeout(0.2)
    received = b""
    while time.monotonic() - start < 15:
        try:
            wire.sendall(b" ")
            received = wire.recv(100)
            break
        except TimeoutError:
            continue
        except OSError:
            break
    assert time.monotonic() - start < SECONDS + 5
    assert received.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("sent", ["", "GET /healthz HT", "GET /healthz HTTP/1.1\r\nHost: x\r\nA"])
def test_a_head_that_stops(wire: socket.socket, sent: str) -> None:
    start = time.monotonic()
    wire.sendall(sent.encode())
    status, _ = answer(wire)
    assert status == 408
    assert SECONDS * 0.9 < time.monotonic() - start < SECONDS + 4


def test_a_head_that_trickles(wire: socket.socket) -> None:
    start = time.monotonic()
    wire.sendall(b"GET /healthz HTTP/1.1\r\n")
    with pytest.raises(OSError):
        while time.monotonic() - start < 15:
            wire.sendall(b"X-A: b\r\n")
            time.sleep(0.1)
    assert time.monotonic() - start < SECONDS + 5


def test_a_second_head_has_its_own_time(wire: socket.socket) -> None:
    """A connection that is kept, with pauses shorter than the server keeps it."""
    for _ in range(3):
        wire.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        received = b""
        while not received.endswith(b'{"status":"ok"}'):
            received += wire.recv(65536)
        time.sleep(SECONDS * 1.3)
    wire.sendall(b"GET /healthz HTTP/1.1\r\n")
    assert answer(wire)[0] == 408


@pytest.mark.parametrize(
    "head",
    [
        f"GET /{'a' * MOST_HEAD_BYTES} HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET /healthz?{'a' * MOST_HEAD_BYTES} HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: {'a' * MOST_HEAD_BYTES}\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: x\r\n" + "X: y\r\n" * (MOST_HEAD_BYTES // 2) + "\r\n",
        f"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Endless: {'a' * 4 * MOST_HEAD_BYTES}",
        "GET /" + "a" * 4 * MOST_HEAD_BYTES,
    ],
    ids=["path", "query", "header", "many headers", "endless header", "endless path"],
)
@pytest.mark.parametrize("size", [1 << 20, 1000], ids=["at once", "in pieces"])
def test_a_large_head(running: httpx.Client, head: str, size: int) -> None:
    with connect(running) as wire:
        try:
            for place in range(0, len(head), size):
                wire.sendall(head[place : place + size].encode())
        except OSError:
            pass  # it was given up before the end
        status, _ = answer(wire)
    # What was sent after the end may cost the client the answer, never the server.
    assert status in (431, 0)
    if size > len(head):
        assert status == 431
    assert running.get("/healthz").status_code == 200


def test_a_head_that_just_fits(running: httpx.Client) -> None:
    long = "a" * (MOST_HEAD_BYTES - 1000)
    assert running.get(f"/healthz?{long}").status_code == 200
    assert running.get("/healthz", headers={"X-Long": long}).status_code == 200


def test_trailers_do_not_grow_either(wire: socket.socket) -> None:
    wire.sendall(f"{SEARCH}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-T: ".encode())
    sent = 0
    try:
        while sent < 100 * MOST_HEAD_BYTES:
            wire.sendall(b"a" * 1000)
            sent += 1000
    except OSError:
        pass
    answer(wire)
    assert sent < 100 * MOST_HEAD_BYTES


def test_large_bodies_are_no_heads(running: httpx.Client) -> None:
    body = BODY + b" " * (1 << 20)
    headers = {"Content-Type": "application/json"}
    for _ in range(3):
        found = running.post("/v1/collections/photos/search", content=body, headers=headers)
        assert found.status_code == 200
