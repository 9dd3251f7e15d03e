"""Around every request: its id, its line in the access log, and the last net for errors."""

from __future__ import annotations

import logging
import re
import secrets
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.handlers import internal_error
from service.metrics import note_request
from service.problems import to_response
from service.security.headers import add_safe
from workers.logs import FIELDS, access_log, service_log

REQUEST_ID = "X-Request-ID"
_USABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CLIENT_GONE = 499


class RequestLog:
    """Gives a request an id, logs it when it ends, and answers 500 where nothing else did.

    A usable id that the client or a proxy sends is kept, so that one id runs through all logs.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        sent = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = sent if _USABLE_ID.fullmatch(sent) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        status: int | None = None

        async def tagged_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = request_id
                add_safe(message)
            await send(message)

        try:
            await self._app(scope, receive, tagged_send)
        except ClientDisconnect:
            status = _CLIENT_GONE
        except Exception:
            service_log.exception("unexpected error", extra={FIELDS: _ids(scope)})
            if status is not None:
                raise
            await to_response(internal_error(), scope)(scope, receive, tagged_send)
        finally:
            seconds = time.perf_counter() - start
            note_request(scope, _CLIENT_GONE if status is None else status, seconds)
            if access_log.isEnabledFor(logging.INFO):
                _log(scope, status, seconds)


def _log(scope: Scope, status: int | None, seconds: float) -> None:
    client = scope.get("client")
    fields = {
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "ms": round(1000 * seconds, 3),
        "client": client[0] if client else None,
        "key": scope["state"].get("key"),
        **_ids(scope),
    }
    access_log.info("request", extra={FIELDS: fields})


def _ids(scope: Scope) -> dict[str, str]:
    """By which a line of the log is found again: of the request, and of its trace if it has one."""
    state = scope["state"]
    return {name: state[name] for name in ("request_id", "trace_id") if name in state}
