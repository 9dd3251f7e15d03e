"""A request's body as a file that a thread reads, with the sender held back to its pace."""

from __future__ import annotations

import anyio
import anyio.from_thread
from starlette.requests import Request

from service.problems import BODY_TIMEOUT, BODY_TOO_LARGE, ProblemError

_MOST_DIGITS = 18


class BodyReader:
    """Reads a body in a worker thread of `service.files.FileWork`, piece by piece.

    Parameters
    ----------
    most:
        Bytes; at the first one beyond, reading raises the problem that this is.
    pause:
        Seconds that may pass between two pieces.
    """

    def __init__(self, request: Request, most: int, pause: float) -> None:
        self._pieces = request.stream()
        self._most = most
        self._pause = pause
        self._bytes = 0
        self._rest = b""
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and (len(declared) > _MOST_DIGITS or int(declared) > most):
            raise self._too_large(declared)

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end. To be called in a worker thread."""
        while not self._rest:
            piece = anyio.from_thread.run(self._next)
            if piece is None:
                return b""
            self._rest = piece
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    async def _next(self) -> bytes | None:
        try:
            with anyio.fail_after(self._pause):
                piece = await anext(self._pieces, None)
        except TimeoutError:
            raise ProblemError(
                BODY_TIMEOUT, f"nothing of the body came for {self._pause:g} seconds"
            ) from None
        if piece is not None:
            self._bytes += len(piece)
            if self._bytes > self._most:
                raise self._too_large(f"more than {self._most}")
        return piece

    def _too_large(self, found: str) -> ProblemError:
        return ProblemError(
            BODY_TOO_LARGE,
            f"expected a body of at most {self._most} bytes, found {found}; see "
            "KINFOLD_MAX_UPLOAD_BYTES",
            expected=self._most,
            found=found,
        )
