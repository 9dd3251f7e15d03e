"""The two ways to run a method's steps: waiting, and awaiting. Neither knows any method."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import httpx

from kinfold.client.calls import Answer, Call, FileBody, LostError, Send, Sleep, Steps, Work
from kinfold.errors import InputError

Result = TypeVar("Result")

_PIECE = 1 << 20
_MOST_PROBLEM = 1 << 20
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


def run(steps: Steps[Result], http: httpx.Client) -> Result:
    """Run steps one after the other, waiting for each."""
    try:
        deed = next(steps)
        while True:
            try:
                done = _do(deed, http)
            except Exception as error:
                deed = steps.throw(error)
            else:
                deed = steps.send(done)
    except StopIteration as end:
        result: Result = end.value
        return result
    finally:
        # After an interrupt, too, steps tidy up behind them.
        steps.close()


async def run_async(steps: Steps[Result], http: httpx.AsyncClient) -> Result:
    """As `run`, awaiting."""
    try:
        deed = next(steps)
        while True:
            try:
                done = await _do_async(deed, http)
            except Exception as error:
                deed = steps.throw(error)
            else:
                deed = steps.send(done)
    except StopIteration as end:
        result: Result = end.value
        return result
    finally:
        steps.close()


def _do(deed: object, http: httpx.Client) -> Any:
    match deed:
        case Send():
            with _losses(deed.call):
                return _send(deed, http)
        case Sleep():
            time.sleep(deed.seconds)
        case Work():
            return deed.job()
    return None


async def _do_async(deed: object, http: httpx.AsyncClient) -> Any:
    match deed:
        case Send():
            with _losses(deed.call):
                return await _send_async(deed, http)
        case Sleep():
            await anyio.sleep(deed.seconds)
        case Work():
            return await anyio.to_thread.run_sync(deed.job)
    return None


def _send(send: Send, http: httpx.Client) -> Answer:
    body = send.call.body
    content = _pieces(body) if isinstance(body, FileBody) else body
    response = http.send(_request(send, http, content), stream=True)
    try:
        taking = _Taking(send, response)
        for piece in response.iter_bytes():
            if not taking.take(piece):
                break
        return taking.answer()
    finally:
        response.close()


async def _send_async(send: Send, http: httpx.AsyncClient) -> Answer:
    body = send.call.body
    content = _pieces_async(body) if isinstance(body, FileBody) else body
    response = await http.send(_request(send, http, content), stream=True)
    try:
        taking = _Taking(send, response)
        async for piece in response.aiter_bytes():
            if send.aside:
                more = await anyio.to_thread.run_sync(taking.take, piece)
            else:
                more = taking.take(piece)
            if not more:
                break
        return taking.answer()
    finally:
        await response.aclose()


class _Taking:
    """Takes the pieces of one answer: to the consumer if it is good, else into memory."""

    def __init__(self, send: Send, response: httpx.Response) -> None:
        self._send = send
        self._response = response
        self._consume = send.consume if response.status_code < 300 else None
        self._content = bytearray()

    def take(self, piece: bytes) -> bool:
        """Take a piece; whether more is wanted."""
        send = self._send
        if send.end is not None and not send.call.endless and time.monotonic() > send.end:
            raise LostError("the answer was not complete within the deadline", received=True)
        if self._consume is not None:
            return self._consume(piece)
        self._content += piece
        # Nobody's error message is that long.
        return self._response.status_code < 300 or len(self._content) < _MOST_PROBLEM

    def answer(self) -> Answer:
        """What came back."""
        response = self._response
        return Answer(response.status_code, response.headers, bytes(self._content))


def _request(send: Send, http: httpx.Client | httpx.AsyncClient, content: Any) -> httpx.Request:
    """The request of a call, with no more time than there is until its end."""
    call, own = send.call, http.timeout
    left = None if send.end is None else send.end - time.monotonic()
    if left is not None and left <= 0:
        raise LostError("the deadline has passed", received=False)
    silence = own.read if call.seconds is None else call.seconds
    timeout = httpx.Timeout(
        connect=_least(own.connect, left),
        read=silence if call.endless else _least(silence, left),
        write=_least(own.write, left),
        pool=_least(own.pool, left),
    )
    headers = dict(call.headers)
    if isinstance(call.body, FileBody):
        # Else it would go in chunks, and the service could not refuse it before it has read it.
        headers["Content-Length"] = str(call.body.size)
    return http.build_request(
        call.method,
        call.path,
        params=dict(call.parameters) or None,
        headers=headers,
        content=content,
        timeout=timeout,
    )


def _least(own: float | None, left: float | None) -> float | None:
    known = [seconds for seconds in (own, left) if seconds is not None]
    return min(known) if known else None


@contextmanager
def _losses(call: Call) -> Iterator[None]:
    """Turn everything that is no answer into one error."""
    try:
        yield
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
        raise InputError(f"{call.method} {call.path}: cannot be sent: {error}") from None
    except httpx.RequestError as error:
        reason = str(error) or type(error).__name__
        raise LostError(
            f"{call.method} {error.request.url.copy_with(query=None)}: {reason}",
            received=not isinstance(error, _NEVER_SENT),
        ) from error


def _pieces(body: FileBody) -> Iterator[bytes]:
    with body.path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


async def _pieces_async(body: FileBody) -> AsyncIterator[bytes]:
    async with await anyio.open_file(body.path, "rb") as file:
        while piece := await file.read(_PIECE):
            yield piece
