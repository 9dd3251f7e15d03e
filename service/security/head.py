"""The head of a request, its line and headers: bounded in size and in time.

The parser takes heads of any size at any pace, and the server does so, too; nothing of the
application runs before a head is complete. So this bounds it where it is read.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 32 << 10
"""Of the request line and the headers together."""

_REASONS = {431: b"Request Header Fields Too Large", 408: b"Request Timeout"}


class BoundedHead(HttpToolsProtocol):
    """The server's protocol, with an end to heads that do not end."""

    head_seconds = 30.0

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._held = 0
        self._parsed = 0
        self._got_on = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection on which nothing comes is one that sends its head too slowly."""
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end of it."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and count what it holds back: a head, a trailer that does not end."""
        self._got_on = False
        super().data_received(data)
        self._held = 0 if self._got_on else self._held + len(data)
        if self._held > MOST_HEAD_BYTES:
            self._end(431)

    def on_message_begin(self) -> None:
        """The first byte of a head."""
        super().on_message_begin()
        self._parsed = 0
        if self._timer is None:
            self._start_timer()

    def on_url(self, url: bytes) -> None:
        """A piece of the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there: whatever follows is a body, or the next head."""
        self._got_on = True
        self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._got_on = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The end of a request."""
        self._got_on = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """The parser's refusal, which may have been ours."""
        if self._parsed > MOST_HEAD_BYTES:
            self._end(431)
        else:
            super().send_400_response(msg)

    def _count(self, size: int) -> None:
        self._parsed += size
        if self._parsed > MOST_HEAD_BYTES:
            raise ValueError("the head is too large")

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(self.head_seconds, self._too_slow)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        self._end(408)

    def _end(self, status: int) -> None:
        self._stop_timer()
        if self.transport.is_closing():
            return
        busy = self.cycle is not None and not self.cycle.response_complete
        if not busy:
            text = _REASONS[status]
            self.transport.write(
                b"HTTP/1.1 %d %s\r\nconnection: close\r\ncontent-type: text/plain\r\n"
                b"content-length: %d\r\n\r\n%s" % (status, text, len(text), text)
            )
        self.transport.close()


def bounded_head(seconds: float) -> type[BoundedHead]:
    """The protocol, with the time that a head may take."""
    return type("BoundedHead", (BoundedHead,), {"head_seconds": seconds})
