"""How long a search may wait: as the operator says, or less where the client does."""

from __future__ import annotations

import re

from starlette.datastructures import Headers

from service.problems import INVALID_REQUEST, ProblemError, shown
from service.settings import Settings

TIMEOUT = "X-Timeout-Ms"
_WHOLE = re.compile(r"[0-9]{1,9}")


def patience_of(headers: Headers, settings: Settings) -> float:
    """Seconds that a search may wait for a thread.

    Raises
    ------
    ProblemError
        The header is not a whole number of milliseconds, at least 1.
    """
    wanted = headers.get(TIMEOUT)
    if wanted is None:
        return settings.deadline_ms / 1000
    if not _WHOLE.fullmatch(wanted) or not int(wanted):
        raise ProblemError(
            INVALID_REQUEST,
            f"{TIMEOUT}: expected milliseconds as a whole number of at least 1, "
            f"found {shown(wanted)!r}",
            expected="milliseconds",
            found=wanted,
        )
    return min(int(wanted), settings.deadline_ms) / 1000
