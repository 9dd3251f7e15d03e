"""The keys as the running service knows them: read again by itself when the file changes."""

from __future__ import annotations

import stat
import time
from dataclasses import dataclass
from pathlib import Path

from kinfold.errors import FormatError
from service.security.keys import Key, KeysFile, now, read_keys
from service.security.tokens import matches, parse_token
from workers.logs import service_log

LOOK_SECONDS = 1.0
_HOW = "make one with: kinfold keys create --scope read|write|admin"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a token is not good; to be shown to who sent it."""

    reason: str


class Keyring:
    """Verifies tokens against the file of keys.

    A file that is damaged, or that everybody may write to, is as good as none: all are refused
    until it is repaired, and `problem` says why.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem: str | None = None
        self._keys: dict[str, Key] = {}
        self._seen: tuple[int, ...] | None = None
        self._next_look = 0.0

    def refresh(self) -> None:
        """Look at the file, at most once a second, and read it if it is another one."""
        moment = time.monotonic()
        if moment < self._next_look:
            return
        self._next_look = moment + LOOK_SECONDS
        try:
            found = self.path.stat()
        except FileNotFoundError:
            seen: tuple[int, ...] = ()
            mode = 0
        except (OSError, ValueError) as error:
            self._refuse_all(f"{self.path}: the API keys cannot be read: {error}")
            self._seen = None
            return
        else:
            seen = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            mode = found.st_mode
        if seen != self._seen:
            self._read(seen, mode)

    def verify(self, text: str) -> Key | Refusal:
        """The key of a token, or why it is none.

        Only who knows the secret learns that a key exists, and what became of it.
        """
        self.refresh()
        if self.problem is not None:
            return Refusal(
                "no API key can be checked at the moment; the log of the service says why"
            )
        token = parse_token(text)
        if token is None:
            return Refusal("the API key does not have the form kf_<id>_<secret>")
        key = self._keys.get(token.id)
        if key is None:
            matches(token.secret)
            return Refusal("the API key is not known")
        former = () if key.former is None else (key.former.hash,)
        current, *before = matches(token.secret, key.hash, *former)
        moment = now()
        if not (current or any(before)):
            return Refusal("the API key is not known")
        if (state := key.state(moment)) != "valid":
            return Refusal(f"the API key {key.id} is {state}")
        if not current and key.former is not None and key.former.expires <= moment:
            return Refusal(f"the API key {key.id} was rotated, and its overlap is over")
        return key

    def _read(self, seen: tuple[int, ...], mode: int) -> None:
        self._seen = seen
        if not seen:
            self._keys, self.problem = {}, None
            service_log.warning("no API keys: %s does not exist; %s", self.path, _HOW)
            return
        try:
            if mode & stat.S_IWOTH:
                raise FormatError(f"{self.path}: everybody may write to it; run: chmod 600")
            file = read_keys(self.path)
        except FormatError as error:
            self._refuse_all(str(error))
            return
        if mode & (stat.S_IROTH | stat.S_IRWXG):
            service_log.warning("%s: others may read it; run: chmod 600", self.path)
        self._accept(file)

    def _accept(self, file: KeysFile) -> None:
        self._keys = {key.id: key for key in file.keys}
        self.problem = None
        valid = len(file.valid(now()))
        if valid:
            service_log.info("API keys: %d valid of %d in %s", valid, len(file.keys), self.path)
        else:
            service_log.warning("no valid API key in %s; %s", self.path, _HOW)

    def _refuse_all(self, reason: str) -> None:
        self._keys = {}
        if reason != self.problem:
            service_log.error("every request that needs an API key is refused: %s", reason)
        self.problem = reason
