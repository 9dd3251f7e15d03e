"""Checks of `kinfold doctor`: security, the data folder, the keys, the audit log."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from cli.doctor_finding import Finding, failed, ok, warning
from indexer.estimate import readable
from kinfold.errors import FormatError, KinfoldError
from kinfold.index import live_version
from kinfold.index.manifest import read_manifest
from service.collections import find_collections
from service.security.keys import keys_path, now, read_keys
from service.security.setup import warnings
from service.settings import Settings

_LEAST_FREE_BYTES = 256 << 20
_LEAST_FREE_SHARE = 0.05
_LEAST_INODES = 1000
_SOON = timedelta(days=14)
_CREATE = "make one: kinfold keys create --scope read|write|admin"


def security(settings: Settings) -> Iterator[Finding]:
    """What is dangerous about the settings."""
    for said in warnings(settings):
        yield warning("security", said, "set KINFOLD_AUTH=on, unless this is a test")
    if "*" in settings.cors_origins:
        yield warning(
            "security",
            "KINFOLD_CORS_ORIGINS=*: pages of every origin may call the service",
            "name the origins that should",
        )


def data_folder(settings: Settings) -> Iterator[Finding]:
    """Readable, writable, and with room for another version of the largest collection."""
    data, check = settings.data, "data folder"
    try:
        names = find_collections(data)
    except KinfoldError as error:
        yield failed(check, str(error), f"make it (mkdir {data}), or set KINFOLD_DATA")
        return
    probe = data / f".doctor-{secrets.token_hex(4)}"
    try:
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        yield warning(
            check,
            f"{data} cannot be written: {error.strerror}",
            "searches work; builds, uploads and keys need a folder that this user may write to",
        )
    else:
        yield ok(check, f"{data}: {len(names)} collections, readable and writable")
    yield _free(data, names)
    inodes = os.statvfs(data)
    if inodes.f_files and inodes.f_favail < _LEAST_INODES:
        yield failed("disk", f"{inodes.f_favail} inodes left", "remove files of that file system")


def _free(data: Path, names: list[str]) -> Finding:
    usage = shutil.disk_usage(data)
    largest = max((_size(data / name) for name in names), default=0)
    found = f"{readable(usage.free)} of {readable(usage.total)} free"
    if usage.free < _LEAST_FREE_BYTES:
        return failed("disk", found, "free some space, or move the data folder to a larger disk")
    if usage.free < largest:
        return warning(
            "disk",
            f"{found}; the largest collection has {readable(largest)}",
            "a rebuild needs room for a second version: free some space, or lower "
            "KINFOLD_KEEP_VERSIONS",
        )
    if usage.free < _LEAST_FREE_SHARE * usage.total:
        return warning("disk", found, "free some space before it runs out")
    return ok("disk", found)


def _size(collection: Path) -> int:
    try:
        return sum(file.bytes for file in read_manifest(live_version(collection)).files.values())
    except KinfoldError:
        return 0  # said of the collection itself


def keys(settings: Settings) -> Iterator[Finding]:
    """The file of keys: private, whole, and with a key that is good."""
    if settings.auth == "off":
        return
    path = keys_path(settings.data, settings.keys)
    try:
        mode = path.stat().st_mode
        file = read_keys(path)
    except FileNotFoundError:
        yield failed("keys", f"{path} does not exist: every request is answered 401", _CREATE)
        return
    except (OSError, FormatError) as error:
        yield failed("keys", str(error), "every request is answered 401 until it is repaired")
        return
    private = f"chmod 600 {path}"
    if mode & stat.S_IWOTH:
        yield failed("keys", f"{path}: everybody may write to it, so it is not believed", private)
    elif mode & (stat.S_IROTH | stat.S_IRWXG):
        yield warning("keys", f"{path}: mode {stat.S_IMODE(mode):o}, others may read it", private)
    valid = file.valid(now())
    if not valid:
        yield failed("keys", f"{path}: {len(file.keys)} keys, none of them valid", _CREATE)
        return
    yield ok("keys", f"{len(valid)} valid of {len(file.keys)}")
    for key in valid:
        if key.expires is not None and key.expires - now() < _SOON:
            yield warning(
                "keys",
                f"key {key.id} ({key.scope}) expires {key.expires:%Y-%m-%d %H:%M} UTC",
                "make another one for who uses it: kinfold keys create",
            )


def audit_log(settings: Settings) -> Iterator[Finding]:
    """Whether writes can be noted."""
    path = settings.audit_log
    if path is None:
        yield ok("audit log", "in the log of the service (kinfold.audit)")
    elif os.access(path, os.W_OK) or (not path.exists() and os.access(path.parent, os.W_OK)):
        yield ok("audit log", str(path))
    else:
        yield failed(
            "audit log", f"{path} cannot be written", "the service does not start: set its folder"
        )
