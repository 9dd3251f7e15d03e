"""API tokens: ``kf_<id>_<secret>``, made at random, kept as a hash."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

SECRET_BYTES = 32
ID_LENGTH = 10
ID = re.compile(r"[a-z0-9]{8,12}")
"""What the id of a key looks like."""

_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"  # without those that are taken for one another
_TOKEN = re.compile(r"kf_([a-z0-9]{8,12})_([A-Za-z0-9_-]{43})")
_LONGEST = 64
_NOBODY = hashlib.sha256(secrets.token_bytes(SECRET_BYTES)).hexdigest()


@dataclass(frozen=True, slots=True)
class Token:
    """A token, taken apart. The secret does not show in `repr`, so that no log shows it."""

    id: str
    secret: str

    def __repr__(self) -> str:
        return f"Token({self.id})"

    def __str__(self) -> str:
        """The token as its holder sends it; shown once, when it is made."""
        return f"kf_{self.id}_{self.secret}"


def new_id() -> str:
    """An id of a key; it is no secret and stands in logs."""
    return "".join(secrets.choice(_LETTERS) for _ in range(ID_LENGTH))


def new_token(key_id: str) -> Token:
    """A token with a fresh secret."""
    return Token(key_id, secrets.token_urlsafe(SECRET_BYTES))


def parse_token(text: str) -> Token | None:
    """Take a token apart; None: it does not have the form of one."""
    if len(text) > _LONGEST:
        return None
    match = _TOKEN.fullmatch(text)
    return Token(match[1], match[2]) if match else None


def hash_secret(secret: str) -> str:
    """What is kept of a secret.

    One SHA-256 is enough: a slow hash makes it dear to try the few passwords that people choose,
    but 32 random bytes cannot be tried out at any speed, and every request would pay.
    """
    return hashlib.sha256(secret.encode("ascii")).hexdigest()


def matches(secret: str, *kept: str) -> list[bool]:
    """Which of the kept hashes a secret has.

    Takes the same time whether they are any, one or none, so that it does not tell which ids
    there are.
    """
    found = hash_secret(secret)
    padded = [*kept, _NOBODY, _NOBODY][: max(2, len(kept))]
    return [hmac.compare_digest(found, one) for one in padded][: len(kept)]
