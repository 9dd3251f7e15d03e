"""Who is asked, how often, and what becomes of the key: against servers that misbehave for real."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import httpx
import numpy as np
import pytest

from benchmarks.dependability.processes import Service, free_port
from kinfold.client import (
    AsyncClient,
    AuthError,
    Client,
    KinfoldServiceError,
    Patience,
    RetryableError,
    UnreachableError,
)
from kinfold.client.errors import from_answer, retry_after
from kinfold.errors import InputError

KEY = "kf_0123abcd_" + "s" * 40
PROBLEM = "application/problem+json"


class Script:
    """A server on a socket that answers each request with the next of the given bytes.

    None: it closes the connection without an answer.
    """

    def __init__(self, answers: list[bytes | None]) -> None:
        self.requests: list[bytes] = []
        self._answers = answers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        for answer in self._answers:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self.requests.append(self._read(connection))
                if answer is not None:
                    connection.sendall(answer)

    @staticmethod
    def _read(connection: socket.socket) -> bytes:
        request = b""
        while b"\r\n\r\n" not in request:
            request += connection.recv(65536)
        head, _, body = request.partition(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.splitlines()
             if line.lower().startswith(b"content-length")), 0,
        )  # fmt: skip
        while len(body) < length:
            body += connection.recv(65536)
        return head + b"\r\n\r\n" + body

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


@contextmanager
def script(*answers: bytes | None) -> Iterator[Script]:
    server = Script(list(answers))
    try:
        yield server
    finally:
        server.close()


def reply(status: int, body: bytes = b"{}", *headers: str, kind: str = "application/json") -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", f"Content-Type: {kind}",
             "Connection: close", *headers]  # fmt: skip
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def problem(status: int, name: str, *headers: str) -> bytes:
    body = b'{"type":"/docs#%s","status":%d,"detail":"so it is","request_id":"r1"}' % (
        name.encode(), status,
    )  # fmt: skip
    return reply(status, body, *headers, kind=PROBLEM)


LIST = reply(200, b'{"collections": [{"name": "a", "status": "ready", "later": {"x": 1}}]}')
BUSY = problem(503, "overloaded", "Retry-After: 0")
QUICK = Patience(retries=4, first_pause=0.01)


def test_tries_again_what_can_pass() -> None:
    lost = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{half"
    with (
        script(BUSY, None, lost, reply(502, b"<html>", kind="text/html"), LIST) as server,
        Client(server.url, patience=QUICK) as client,
    ):
        (state,) = client.list_collections()
        assert (state.name, state.later) == ("a", {"x": 1})  # type: ignore[attr-defined]
        assert len(server.requests) == 5


def test_the_awaiting_client_tries_again_too() -> None:
    async def listed(url: str) -> list[str]:
        async with AsyncClient(url, patience=QUICK) as client:
            return [state.name for state in await client.list_collections()]

    with script(BUSY, None, LIST) as server:
        assert anyio.run(listed, server.url) == ["a"]


def test_waits_as_long_as_it_is_told() -> None:
    start = time.monotonic()
    with (
        script(problem(429, "rate-limited", "Retry-After: 1"), LIST) as server,
        Client(server.url, patience=QUICK) as client,
    ):
        client.list_collections()
    assert time.monotonic() - start >= 1


def test_gives_up_at_once_where_the_wait_is_longer_than_the_deadline() -> None:
    start = time.monotonic()
    with (
        script(problem(503, "overloaded", "Retry-After: 30")) as server,
        Client(server.url, patience=Patience(deadline=5)) as client,
        pytest.raises(RetryableError, match="so it is") as raised,
    ):
        client.list_collections()
    assert raised.value.retry_after == 30
    assert time.monotonic() - start < 5


def test_a_server_that_says_nothing_costs_no_more_than_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with (
            Client(url, patience=Patience(deadline=0.5), timeout=30) as client,
            pytest.raises(UnreachableError) as raised,
        ):
            client.list_collections()
        assert 0.4 < time.monotonic() - start < 5
        assert raised.value.maybe_done


@pytest.mark.parametrize(
    "answer", [None, problem(500, "internal-error"), reply(502, b"", kind="text/html")]
)
def test_a_build_is_not_asked_for_twice(answer: bytes | None) -> None:
    with (
        script(answer) as server,
        Client(server.url, patience=QUICK) as client,
        pytest.raises(KinfoldServiceError) as raised,
    ):
        client.start_build("a", source="x.npy")
    assert len(server.requests) == 1
    if answer is None:
        assert isinstance(raised.value, UnreachableError)
        assert raised.value.maybe_done


def test_a_build_that_was_surely_not_begun_is_asked_for_again() -> None:
    job = b'{"id": "j", "collection": "a", "status": "queued"}'
    with (
        script(problem(503, "queue-unavailable", "Retry-After: 0"), reply(202, job)) as server,
        Client(server.url, patience=QUICK) as client,
    ):
        assert client.start_build("a", config={"k_d": 5}).status == "queued"
        assert server.requests[1].endswith(b'{"config": {"k_d": 5}}')


def test_a_removal_whose_answer_was_lost_is_done() -> None:
    gone = problem(404, "unknown-collection")
    with script(None, gone) as server, Client(server.url, patience=QUICK) as client:
        client.drop_collection("a")
    with (
        script(gone) as server,
        Client(server.url, patience=QUICK) as client,
        pytest.raises(LookupError),
    ):
        client.drop_collection("a")


def test_nobody_there_is_said_plainly() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with (
        Client(url, patience=Patience(retries=1, first_pause=0.01)) as client,
        pytest.raises(UnreachableError, match="refused") as raised,
    ):
        client.start_build("a")
    assert not raised.value.maybe_done
    assert raised.value.kind == "no-answer"


def test_the_key_is_sent_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("KINFOLD_API_KEY", KEY)
    refusal = problem(401, "unauthorized")
    with script(refusal) as server, Client(server.url, patience=QUICK) as client:
        with pytest.raises(AuthError) as raised:
            client.list_collections()
        assert f"Authorization: Bearer {KEY}".encode() in server.requests[0]
        assert b"User-Agent: kinfold/" in server.requests[0]
        assert len(server.requests) == 1
        shown = f"{client!r} {vars(client)!r} {raised.value!r} {raised.value}"
    assert KEY not in shown
    assert KEY not in caplog.text
    with script(LIST) as server, Client(server.url, api_key="kf_other_key") as client:
        client.list_collections()
        assert KEY.encode() not in server.requests[0]


def test_a_redirect_takes_the_key_nowhere() -> None:
    with (
        script(LIST) as other,
        script(reply(307, b"", f"Location: {other.url}/v1/collections")) as server,
        Client(server.url, api_key=KEY, patience=QUICK) as client,
    ):
        with pytest.raises(KinfoldServiceError, match="redirect"):
            client.list_collections()
        assert not other.requests


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://a", "http://me:word@host", "http://"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(InputError, match="url"):
        Client(url)


def test_keys_that_are_none() -> None:
    with pytest.raises(InputError, match="api_key") as raised:
        Client("http://a", api_key="kf_a b\r\nX: y")
    assert "X: y" not in str(raised.value)


def test_a_stranger_at_the_address() -> None:
    with (
        script(reply(404, b"<html>Apache</html>", kind="text/html")) as server,
        Client(server.url) as client,
        pytest.raises(KinfoldServiceError, match="Apache") as raised,
    ):
        client.list_collections()
    assert raised.value.kind == "unexpected-answer"
    with (
        script(reply(200, b"<html>it works</html>", kind="text/html")) as server,
        Client(server.url) as client,
        pytest.raises(KinfoldServiceError, match="another service") as raised,
    ):
        client.list_collections()


def test_retry_after_is_a_number_or_a_date() -> None:
    assert retry_after(None) is None
    assert retry_after("7") == 7
    assert retry_after("soon") is None
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    later = retry_after("Wed, 21 Oct 2065 07:28:00 GMT")
    assert later is not None
    assert later > 1e6


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"[" * 100_000, b"\xff", b'{"type": 3}'])
def test_any_error_body_becomes_an_error(content: bytes) -> None:
    error = from_answer(422, {"content-type": PROBLEM}, content)
    assert error.status == 422
    assert str(error)


def test_without_httpx_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['httpx'] = None\n"
        "try:\n    import kinfold.client\n"
        "except ModuleNotFoundError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'kinfold[client]'" in done.stdout


def test_over_a_restart_of_a_real_service(data: Path, tmp_path: Path, vectors: np.ndarray) -> None:
    """kill -9 and start again while searches run: each is answered in the end."""
    with Service(data, tmp_path / "service.log") as service:
        service.wait_until_ready()
        failures: list[BaseException] = []
        done = threading.Event()
        answered = 0
        patience = Patience(retries=100, deadline=60, longest_pause=0.5)

        def searching() -> None:
            nonlocal answered
            with service.client(patience=patience) as client:
                while not done.is_set():
                    try:
                        assert len(client.search("photos", vectors[0], k=3).ids) == 3
                        answered += 1
                    except BaseException as error:
                        failures.append(error)
                        return

        threads = [threading.Thread(target=searching) for _ in range(3)]
        for thread in threads:
            thread.start()
        service.kill()
        time.sleep(0.3)
        service.start()
        service.wait_until_ready()
        before = answered
        while answered < before + 20 and not failures:
            time.sleep(0.01)
        done.set()
        for thread in threads:
            thread.join(60)
        assert not failures


def test_an_overloaded_service_answers_in_the_end(
    data: Path, tmp_path: Path, vectors: np.ndarray
) -> None:
    """One thread, no queue: 8 at once are mostly refused, and all of them come through."""

    async def all_at_once(url: str) -> tuple[int, int]:
        refused = 0

        async def count(response: httpx.Response) -> None:
            nonlocal refused
            refused += response.status_code == 503

        patience = Patience(retries=1000, deadline=60, first_pause=0.01, longest_pause=0.05)
        async with AsyncClient(url, patience=patience) as client:
            client._http.event_hooks["response"].append(count)
            found: list[int] = []

            async def one() -> None:
                found.append(len((await client.search("photos", batch, k=100)).results))

            async with anyio.create_task_group() as group:
                for _ in range(8):
                    group.start_soon(one)
        return len(found), refused

    batch = np.tile(vectors, (4, 1))[:300]
    with Service(
        data, tmp_path / "service.log", threads=1, queue=0, batch=1, cache="off"
    ) as service:
        service.wait_until_ready()
        found, refused = anyio.run(all_at_once, service.url)
    assert found == 8
    assert refused > 0
