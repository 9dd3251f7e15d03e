"""Security as the settings want it, put around the application."""

from __future__ import annotations

import ipaddress
from typing import Any

from fastapi import FastAPI
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from kinfold.errors import InputError
from service.security.audit import AuditLog
from service.security.body import BodyTimeout
from service.security.guard import Guard
from service.security.headers import allow_origins
from service.security.keyring import Keyring
from service.security.keys import keys_path
from service.security.rates import Limiter
from service.security.values import parts_of
from service.settings import Settings
from workers.logs import service_log

AUTH_OFF = (
    "KINFOLD_AUTH=off: everybody who reaches this service may read, change and delete everything"
)
OPEN_TO_ALL = (
    "KINFOLD_AUTH=off and KINFOLD_HOST={host}: the service is open to the network. Use "
    "KINFOLD_AUTH=on and make a key with: kinfold keys create --scope read|write|admin"
)


class Security:
    """The parts of security that live as long as the application.

    Raises
    ------
    InputError
        The audit log cannot be written, or the address of Redis is none.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        is_on = settings.auth == "on"
        self.keyring = Keyring(keys_path(settings.data, settings.keys)) if is_on else None
        url = settings.redis_url
        try:
            self.limiter = Limiter(
                url.get_secret_value() if url and is_on else None, settings.redis_timeout_ms
            )
        except ValueError as error:
            # Without what was found: it may hold a password.
            raise InputError(f"KINFOLD_REDIS_URL: {error}") from None
        self.audit = AuditLog(settings.audit_log)

    @property
    def problem(self) -> str | None:
        """Why no key can be checked, as anybody may know it; None: all is well."""
        if self.keyring is None:
            return None
        self.keyring.refresh()
        if self.keyring.problem is None:
            return None
        return "the file of API keys cannot be used; the log of the service says why"

    def guard(self, app: FastAPI) -> None:
        """Put it around the application."""
        app.state.security = self
        app.add_middleware(BodyTimeout, seconds=self._settings.body_seconds)
        app.add_middleware(
            Guard,
            keyring=self.keyring,
            limiter=self.limiter,
            rate_limit=self._settings.rate_limit,
            audit=self.audit,
        )
        # Outside: a browser asks without a key whether it may send one.
        allow_origins(app, self._settings.cors_origins)

    def start(self) -> None:
        """Say what an operator should know."""
        if self.keyring is not None:
            self.keyring.refresh()
        for warning in warnings(self._settings):
            service_log.warning("%s", warning)

    async def close(self) -> None:
        """Close connections and files."""
        await self.limiter.close()
        self.audit.close()


def warnings(settings: Settings) -> list[str]:
    """What is dangerous, or of no effect, about the settings of security."""
    if settings.auth == "on":
        return []
    found = [AUTH_OFF]
    if not is_loopback(settings.host):
        # Not refused: in a container every host is 0.0.0.0, whoever can reach it.
        found.append(OPEN_TO_ALL.format(host=settings.host))
    if settings.rate_limit:
        found.append("KINFOLD_RATE_LIMIT has no effect with KINFOLD_AUTH=off: limits are by key")
    return found


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def believe_proxies(app: FastAPI, trusted: str) -> None:
    """Take the client's address from X-Forwarded-For where a trusted proxy sends it."""
    if proxies := parts_of(trusted):
        wrapped: Any = ProxyHeadersMiddleware
        app.add_middleware(wrapped, trusted_hosts=proxies)
