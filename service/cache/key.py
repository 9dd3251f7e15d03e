"""What an answer is kept under: all that it depends on."""

from __future__ import annotations

import hashlib

from kinfold import __version__

LONGEST_BODY = 64 * 1024
"""Bytes of a body whose answer is kept. Longer ones are batches that nobody sends twice, and
hashing them would keep other requests waiting."""

LONGEST_ANSWER = 1024 * 1024
"""Bytes of an answer that is kept: a longer one would push out too many others."""

_WHO = f"kinfold {__version__}".encode()


def answer_key(
    collection: str,
    version: str,
    body: bytes | bytearray,
    query: bytes,
    content_type: str,
    accept: str,
) -> bytes:
    """The key of the answer to a request, 32 bytes.

    The version is part of it: after a swap nothing of before is found, and nothing need be removed.
    """
    digest = hashlib.sha256()
    for part in (
        _WHO,
        collection.encode(),
        version.encode(),
        query,
        content_type.encode(),
        accept.encode(),
        body,
    ):
        # With its length, so that no two requests run together into the same bytes.
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()
