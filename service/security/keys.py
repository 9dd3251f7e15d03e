"""The file of API keys: what is in it, read strictly."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from kinfold.errors import FormatError
from service.security.scopes import Scope
from service.security.tokens import ID
from service.security.values import checked_rate

KEYS_FILE = ".keys.json"
MOST_BYTES = 4 << 20
MOST_KEYS = 10_000
MOST_NAME = 100

_HASH = Field(pattern=r"^[0-9a-f]{64}$")
State = Literal["valid", "expired", "revoked"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_max_length=200)


class Former(_Strict):
    """The secret before the last rotation, good for a while yet."""

    hash: str = _HASH
    expires: AwareDatetime


class Key(_Strict):
    """An API key as it is kept: never the secret itself."""

    id: str = Field(pattern=f"^{ID.pattern}$")
    name: str = Field("", max_length=MOST_NAME)
    scope: Scope
    created: AwareDatetime
    expires: AwareDatetime | None = None
    revoked: AwareDatetime | None = None
    rate_limit: Annotated[str, AfterValidator(checked_rate)] = ""
    hash: str = _HASH
    former: Former | None = None

    def state(self, now: datetime) -> State:
        """Whether the key is good for anything."""
        if self.revoked is not None:
            return "revoked"
        if self.expires is not None and self.expires <= now:
            return "expired"
        return "valid"


class KeysFile(_Strict):
    """All keys of a service."""

    format: Literal[1] = 1
    keys: tuple[Key, ...] = Field((), max_length=MOST_KEYS)

    @model_validator(mode="after")
    def _ids_differ(self) -> Self:
        if len({key.id for key in self.keys}) != len(self.keys):
            raise ValueError("expected every id once")
        return self

    def to_bytes(self) -> bytes:
        """The file as it is written."""
        return self.model_dump_json(indent=1).encode() + b"\n"

    def valid(self, now: datetime) -> list[Key]:
        """Keys that are good at a time."""
        return [key for key in self.keys if key.state(now) == "valid"]


def keys_path(data: Path, keys: Path | None) -> Path:
    """Where the keys are: `keys`, or the usual place in the data folder."""
    return data / KEYS_FILE if keys is None else keys


def now() -> datetime:
    """The time, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def parse_keys(content: bytes, path: Path) -> KeysFile:
    """The keys in the content of a file.

    Raises
    ------
    FormatError
        It is too large or holds anything but keys. The message never shows what it holds.
    """
    if len(content) > MOST_BYTES:
        raise FormatError(f"{path}: damaged: expected at most {MOST_BYTES} bytes of keys")
    try:
        return KeysFile.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        raise FormatError(
            f"{path}: damaged: {_place(first['loc'])}{first['msg']}; restore it from a copy, or "
            "move it away and make new keys with: kinfold keys create"
        ) from None


def read_keys(path: Path) -> KeysFile:
    """The keys in a file; none where there is no file.

    Raises
    ------
    FormatError
        It cannot be read, or is damaged.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return KeysFile()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FormatError(f"{path}: the API keys cannot be read: {reason}") from None
    return parse_keys(content, path)


def _place(location: Iterable[int | str]) -> str:
    # Names of unknown fields are content; numbers and our own names are not.
    known = {*KeysFile.model_fields, *Key.model_fields, *Former.model_fields}
    parts = [str(part) for part in location if isinstance(part, int) or part in known]
    return f"{'.'.join(parts)}: " if parts else ""
