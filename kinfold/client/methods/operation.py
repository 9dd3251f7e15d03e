"""For those who run the service."""

from __future__ import annotations

from dataclasses import replace

from kinfold.client.answers import CollectionState, Readiness
from kinfold.client.calls import Call, Steps
from kinfold.client.errors import RetryableError
from kinfold.client.method import Caller, answer_of, content_of, method
from kinfold.client.retry import Patience


class Operation:
    """Health and figures."""

    @method
    def is_alive(self: Caller) -> Steps[bool]:
        """Whether the process answers at all; raises `UnreachableError` if it does not."""
        yield from content_of(self, Call("GET", "/healthz"))
        return True

    @method
    def readiness(self: Caller) -> Steps[Readiness]:
        """Whether searches are answered, and how far each collection is; asks once."""
        try:
            return (yield from answer_of(_Once(self.patience), Call("GET", "/readyz"), Readiness))
        except RetryableError as error:
            if error.kind != "not-ready":
                raise
            states = error.members.get("collections") or []
            return Readiness(
                status="not ready",
                reason=error.detail,
                collections=[CollectionState.model_validate(state) for state in states],
            )

    @method
    def metrics(self: Caller) -> Steps[str]:
        """The service's figures, as Prometheus reads them."""
        return (yield from content_of(self, Call("GET", "/metrics"))).decode()


class _Once:
    """Asks once: the answer may be that it is not ready."""

    def __init__(self, patience: Patience) -> None:
        self.patience = replace(patience, retries=0)
