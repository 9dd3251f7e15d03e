"""The door of the service: who asks, whether they may, and how often."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Request

from kinfold.index.publish import COLLECTION_NAME
from service.handlers import nothing_at, wrong_method
from service.problems import (
    FORBIDDEN,
    NOT_FOUND,
    RATE_LIMITED,
    UNAUTHORIZED,
    UNKNOWN_COLLECTION,
    UNKNOWN_JOB,
    UNKNOWN_VERSION,
    Kind,
    ProblemError,
    shown,
    to_response,
)
from service.security.audit import AuditLog
from service.security.keyring import Keyring, Refusal
from service.security.keys import Key
from service.security.rates import Limiter, Verdict
from service.security.scopes import Address, Need, covers, find
from service.security.values import parse_rate

_REALM = 'Bearer realm="kinfold"'
_HOW = "send Authorization: Bearer kf_<id>_<secret>, or X-API-Key"
_GONE = 499

_NAMES: dict[str, tuple[re.Pattern[str], Kind, str]] = {
    "collection": (COLLECTION_NAME, UNKNOWN_COLLECTION, "collection"),
    "version": (re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"), UNKNOWN_VERSION, "version"),
    "job": (re.compile(r"[A-Za-z0-9_-]{1,64}"), UNKNOWN_JOB, "job"),
    "file": (re.compile(r"[a-z_]{1,32}\.[a-z]{2,4}"), NOT_FOUND, "file of the page"),
}


@dataclass(slots=True)
class _Visit:
    """A request on its way through the door."""

    request: Request
    address: Address | None
    need: Need | None
    headers: dict[str, str]

    @property
    def client(self) -> str:
        client = self.request.get("client")
        return client[0] if client else ""


class Guard:
    """Lets a request through to the application, or answers it.

    With keys: an address that `scopes.ADDRESSES` does not name is never reached, whatever the
    application has there. With or without: no name out of a path reaches the application unless
    it is one that a collection, a version, a job or a file may have.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        keyring: Keyring | None,
        limiter: Limiter,
        rate_limit: str,
        audit: AuditLog,
    ) -> None:
        self._app = app
        self._keyring = keyring
        self._limiter = limiter
        self._rate_limit = rate_limit
        self._audit = audit

    async def __call__(self, scope: Request, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        address = find(scope["path"])
        need = address.needs.get(scope["method"]) if address else None
        visit = _Visit(scope, address, need, {})
        if need in ("write", "admin"):
            await self._audited(visit, receive, send)
        else:
            await self._pass(visit, receive, send)

    async def _pass(self, visit: _Visit, receive: Receive, send: Send) -> None:
        scope = visit.request
        try:
            key = await self._admit(visit)
            _check_names(visit)
        except ProblemError as problem:
            await to_response(problem, scope)(scope, receive, _with_headers(visit, send))
            return
        state = scope.setdefault("state", {})
        state["known"] = key is not None or self._keyring is None
        await self._app(scope, receive, _with_headers(visit, send))

    async def _audited(self, visit: _Visit, receive: Receive, send: Send) -> None:
        status: int | None = None

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._pass(visit, receive, watched)
        except ClientDisconnect:
            status = status or _GONE
            raise
        except Exception:
            status = status or 500
            raise
        finally:
            scope, address = visit.request, visit.address
            state = scope.get("state", {})
            assert address is not None  # noqa: S101
            self._audit.note(
                key=state.get("key"),
                action=f"{scope['method']} {address.template}",
                # An address without a name in it may say which one its body names.
                collection=address.parts.get("collection", state.get("collection")),
                status=status,
                request_id=state.get("request_id"),
                client=visit.client,
            )

    async def _admit(self, visit: _Visit) -> Key | None:
        """The key of a request, None where none is needed; raises `ProblemError`."""
        if self._keyring is None:
            return None
        path, method, address = visit.request["path"], visit.request["method"], visit.address
        if address is not None and visit.need is None and "open" in address.needs.values():
            raise wrong_method(path, method, ", ".join(address.needs))
        is_open = visit.need == "open"
        token = token_in(Headers(scope=visit.request))
        if token is None:
            self._keyring.refresh()
            if is_open:
                return None
            raise _unauthorized(f"this needs an API key; {_HOW}")
        key = self._keyring.verify(token)
        if isinstance(key, Refusal):
            refused = await self._refused(visit, key)
            if is_open:
                return None
            raise refused
        visit.request.setdefault("state", {})["key"] = key.id
        if is_open:
            return key
        await self._count(visit, key)
        if address is None:
            raise nothing_at(path)
        if visit.need is None:
            raise wrong_method(path, method, ", ".join(address.needs))
        if not covers(key.scope, visit.need):
            raise ProblemError(
                FORBIDDEN,
                f"this needs an API key of scope {visit.need}; key {key.id} has {key.scope}",
                expected=visit.need,
                found=key.scope,
                headers={
                    "WWW-Authenticate": f'{_REALM}, error="insufficient_scope", '
                    f'scope="{visit.need}"'
                },
            )
        return key

    async def _refused(self, visit: _Visit, refusal: Refusal) -> ProblemError:
        """A wrong key: 401, and after many of them from one address 429.

        A right key from the same address is let through all the same. Nobody guesses 32 random
        bytes; but many share an address, and one of them must not lock the others out.
        """
        assert self._keyring is not None  # noqa: S101
        if self._keyring.problem is None:
            verdict = await self._limiter.failed(network_of(visit.client))
            if not verdict.allowed:
                return _limited(verdict, "too many wrong API keys from this address")
        return _unauthorized(f"{refusal.reason}; {_HOW}", ', error="invalid_token"')

    async def _count(self, visit: _Visit, key: Key) -> None:
        limits = parse_rate(key.rate_limit or self._rate_limit)
        if not limits:
            return
        verdict = await self._limiter.hit(limits, key.id)
        if not verdict.allowed:
            raise _limited(verdict, f"key {key.id} may make {verdict.limit} requests in its window")
        visit.headers.update(verdict.headers())


def token_in(headers: Headers) -> str | None:
    """The token that a request carries."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    return headers.get("x-api-key")


def is_known(scope: Request) -> bool:
    """Whether a request to an open address came with a valid key, or no key is needed at all."""
    return bool(scope.get("state", {}).get("known", False))


def network_of(address: str) -> str:
    """Whose address it is: an IPv6 host chooses among 2**64 by itself."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, IPv6Address):
        return str(ip_network((int(parsed), 64), strict=False))
    return str(parsed)


def _check_names(visit: _Visit) -> None:
    if visit.address is None or visit.need is None:
        return
    for part, text in visit.address.parts.items():
        pattern, kind, noun = _NAMES[part]
        if not pattern.fullmatch(text):
            where = "; GET /v1/collections lists them" if part == "collection" else ""
            raise ProblemError(kind, f"no {noun} is called {shown(text)!r}{where}", found=text)


def _unauthorized(detail: str, more: str = "") -> ProblemError:
    return ProblemError(UNAUTHORIZED, detail, headers={"WWW-Authenticate": f"{_REALM}{more}"})


def _limited(verdict: Verdict, detail: str) -> ProblemError:
    headers = verdict.headers()
    return ProblemError(
        RATE_LIMITED,
        f"{detail}; try again in {headers['Retry-After']} seconds",
        expected=verdict.limit,
        headers=headers,
    )


def _with_headers(visit: _Visit, send: Send) -> Send:
    if not visit.headers:
        return send

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in visit.headers.items():
                headers[name] = value
        await send(message)

    return sending
