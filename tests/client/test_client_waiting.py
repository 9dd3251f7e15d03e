"""Waiting for a build: by events while they come, by asking where they do not."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from kinfold.client import BuildEndedError, Client, Job, Patience, WaitedTooLongError, waiting
from kinfold.client.waiting import _News

PATIENT = Patience(first_pause=0.01)


def job(status: str, done: int = 0, **more: Any) -> dict[str, Any]:
    progress = {"phase": "diffusion", "done": done, "total": 10}
    return {"id": "j", "collection": "c", "status": status, "progress": progress, **more}


@contextmanager
def service(states: list[dict[str, Any]], events: list[bytes] | None) -> Iterator[str]:
    """A server that gives the next state whenever asked, and all events if there are any."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.endswith("/events"):
                if events is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                for event in events:
                    self.wfile.write(event)
                    self.wfile.flush()
                return
            state = states.pop(0) if len(states) > 1 else states[0]
            content = json.dumps(state).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def event(state: dict[str, Any], name: str = "progress") -> bytes:
    return f"event: {name}\r\ndata: {json.dumps(state)}\r\n\r\n".encode()


def waited(url: str, **given: Any) -> tuple[Job, list[int]]:
    told: list[int] = []

    def on_progress(job: Job) -> None:
        assert job.progress is not None
        told.append(job.progress.done)

    with Client(url, patience=PATIENT) as client:
        return client.wait_for_build("c", "j", on_progress=on_progress, **given), told


def test_by_events() -> None:
    events = [b": hello\n\n", event(job("running", 3)), event(job("running", 7)),
              event(job("done", 10)), event(job("done", 99))]  # fmt: skip
    with service([job("queued"), job("done", 10)], events) as url:
        found, told = waited(url)
    assert found.status == "done"
    assert told == [0, 3, 7, 10]


def test_by_asking_where_there_are_no_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_POLL_SECONDS", 0.01)
    states = [job("queued"), job("running", 4), job("running", 4), job("done", 10)]
    with service(states, None) as url:
        assert waited(url)[1] == [0, 4, 10]


def test_events_that_break_off_are_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_POLL_SECONDS", 60)
    states = [job("queued"), job("running", 4), job("done", 10)]
    with service(states, [event(job("running", 3))]) as url:
        assert waited(url)[1] == [0, 3, 4, 3, 10]


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_build_that_ended_otherwise_is_an_error(status: str) -> None:
    error = {"type": "StorageError", "message": "the disk is full"}
    with service([job(status, error=error)], None) as url:
        with pytest.raises(BuildEndedError, match="disk is full") as raised:
            waited(url)
        assert raised.value.job.status == status


def test_no_longer_than_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_POLL_SECONDS", 0.05)
    start = time.monotonic()
    with service([job("running", 1)], None) as url, pytest.raises(WaitedTooLongError):
        waited(url, timeout=0.3)
    assert 0.2 < time.monotonic() - start < 10


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_events_in_pieces_of_any_size(size: int) -> None:
    told: list[Job] = []
    news = _News(told.append, None)
    stream = b"data: no json\n\n: a comment\n\n" + b"".join(
        event(job("running", done)) for done in range(5)
    )
    for begin in range(0, len(stream), size):
        assert news.consume(stream[begin : begin + size])
    assert [one.progress.done for one in told if one.progress] == [0, 1, 2, 3, 4]


def test_a_line_without_end_is_not_kept() -> None:
    news = _News(print, None)
    assert news.consume(b"data: " + b"x" * 1000)
    assert not news.consume(b"x" * (2 << 20))
