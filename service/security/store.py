"""Changing the file of API keys: one writer at a time, whole or not at all."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

from kinfold.errors import InputError, UnknownNameError
from kinfold.index.files import disk_errors, sync_folder
from service.security.keys import MOST_KEYS, MOST_NAME, Former, Key, KeysFile, now, read_keys
from service.security.scopes import Scope
from service.security.tokens import Token, hash_secret, new_id, new_token
from service.security.values import parse_rate

MODE = 0o600
_MOST_DAYS = 36_500


def create_key(
    path: Path,
    scope: Scope,
    *,
    name: str = "",
    expires_days: float | None = None,
    rate_limit: str = "",
) -> tuple[Key, Token]:
    """Add a key; its token is not kept anywhere.

    Raises
    ------
    InputError
        A name that is too long, a rate or a time that cannot be used, or too many keys.
    FormatError
        The file is damaged; it is left as it is.
    """
    if len(name) > MOST_NAME or not name.isprintable():
        raise InputError(f"--name: expected at most {MOST_NAME} printable characters")
    try:
        parse_rate(rate_limit)
    except ValueError as error:
        raise InputError(f"--rate-limit: {error}, found {rate_limit!r}") from None
    if expires_days is not None and not 0 < expires_days <= _MOST_DAYS:
        raise InputError(f"--expires-days: expected more than 0, at most {_MOST_DAYS}")
    with _writing(path) as (file, write):
        if len(file.keys) >= MOST_KEYS:
            raise InputError(f"{path}: holds {MOST_KEYS} keys, the most there can be")
        taken = {key.id for key in file.keys}
        token = new_token(next(one for one in iter(new_id, None) if one not in taken))
        made = now()
        key = Key(
            id=token.id,
            name=name,
            scope=scope,
            created=made,
            expires=None if expires_days is None else made + timedelta(days=expires_days),
            rate_limit=rate_limit,
            hash=hash_secret(token.secret),
        )
        write(KeysFile(keys=(*file.keys, key)))
    return key, token


def revoke_key(path: Path, key_id: str) -> Key:
    """Make a key worthless, for good; it stays in the file, so that logs can be read."""
    with _writing(path) as (file, write):
        key = _find(file, key_id, path)
        if key.revoked is None:
            key = key.model_copy(update={"revoked": now(), "former": None})
            write(_with(file, key))
    return key


def rotate_key(path: Path, key_id: str, overlap_hours: float) -> tuple[Key, Token]:
    """Give a key a new secret; the old one is good for the overlap yet.

    Raises
    ------
    InputError
        The key is revoked or expired, or the overlap is negative.
    UnknownNameError
        There is no such key.
    """
    if not 0 <= overlap_hours <= 24 * _MOST_DAYS:
        raise InputError(f"--overlap-hours: expected 0 or more, found {overlap_hours}")
    with _writing(path) as (file, write):
        key = _find(file, key_id, path)
        if (state := key.state(now())) != "valid":
            raise InputError(f"key {key_id} is {state}; make a new one with: kinfold keys create")
        token = new_token(key.id)
        former = Former(hash=key.hash, expires=now() + timedelta(hours=overlap_hours))
        update = {
            "hash": hash_secret(token.secret),
            "former": former if overlap_hours else None,
        }
        key = key.model_copy(update=update)
        write(_with(file, key))
    return key, token


def _find(file: KeysFile, key_id: str, path: Path) -> Key:
    for key in file.keys:
        if key.id == key_id:
            return key
    # A whole token, pasted by mistake, must not be shown.
    shown = repr(key_id) if len(key_id) <= 12 else "of this name"
    raise UnknownNameError(f"{path}: no key {shown}; kinfold keys list shows the ids")


def _with(file: KeysFile, changed: Key) -> KeysFile:
    return KeysFile(keys=tuple(changed if key.id == changed.id else key for key in file.keys))


@contextmanager
def _writing(path: Path) -> Iterator[tuple[KeysFile, Callable[[KeysFile], None]]]:
    """The keys as they are, and how to write them; other writers wait meanwhile."""
    # A lock beside it: the file itself is another one after each change.
    beside = path.with_name(f"{path.name}.lock")
    with disk_errors(path, "writing API keys"):
        handle = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
        try:
            _give_to_owner(handle, path.parent)
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield read_keys(path), lambda file: _replace(path, file.to_bytes())
        finally:
            os.close(handle)


def _replace(path: Path, content: bytes) -> None:
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
    try:
        with os.fdopen(handle, "wb") as file:
            _give_to_owner(file.fileno(), path if path.exists() else path.parent)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        with suppress(OSError):
            fresh.unlink()
        raise
    sync_folder(path.parent)


def _give_to_owner(handle: int, like: Path) -> None:
    """What root makes belongs to whom the folder belongs to, who else could not read it."""
    if os.geteuid() == 0:
        owner = like.stat()
        os.fchown(handle, owner.st_uid, owner.st_gid)
