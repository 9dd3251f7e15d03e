"""Bodies that do not arrive: given up, so that nobody holds a connection with a trickle."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import BODY_TIMEOUT, ProblemError

LEAST_RATE = 1024
"""Bytes a second, in the mean, that a body must arrive at once the allowed pause is used up."""


class BodyTimeout:
    """Raises a `ProblemError` into whoever waits for a piece of a body for too long.

    Only the time spent waiting counts, so that a service that is slow to take a body in does not
    blame its client.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        complete = False
        waited = 0.0
        received = 0

        async def timed_receive() -> Message:
            nonlocal complete, waited, received
            if complete:
                # What comes now is that the client leaves, whenever that may be.
                return await receive()
            left = min(self._seconds, self._seconds + received / LEAST_RATE - waited)
            loop = asyncio.get_running_loop()
            start = loop.time()
            try:
                async with asyncio.timeout(max(0.0, left)):
                    message = await receive()
            except TimeoutError:
                complete = True
                raise ProblemError(
                    BODY_TIMEOUT,
                    f"the body stopped arriving after {received} bytes; expected the next piece "
                    f"within {self._seconds:g} seconds, and {LEAST_RATE} bytes a second in all",
                    # The rest of it may come yet, and is no request.
                    headers={"Connection": "close"},
                ) from None
            waited += loop.time() - start
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            return message

        await self._app(scope, timed_receive, send)
