"""A search by a picture: multipart form data with the picture and the options."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from service.problems import (
    INVALID_PICTURE,
    INVALID_REQUEST,
    ProblemError,
    shown,
)
from service.requests import PictureOptions, parse_picture_options

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

    from kinfold.arrays import Float32s
    from kinfold.encoders import Encoder

_PARTS = ("image", "options")
MOST_PIXELS = 50_000_000
"""Of what is decoded: up to 0.45 GB, in every thread at once if somebody wants to harm."""
_MOST_HEADER_BYTES = 4096
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{1,70}")


def read_form(body: bytearray, content_type: str) -> tuple[bytes, PictureOptions]:
    """The picture's bytes and how to search, from a body of multipart form data."""
    parts = _parts(body, content_type)
    if not parts.get("image"):
        raise ProblemError(
            INVALID_REQUEST,
            "image: expected a part of this name that holds a picture, found "
            + ("an empty one" if "image" in parts else "none"),
            expected="a part named image",
            found=", ".join(sorted(parts)) or "no parts",
        )
    return parts["image"], parse_picture_options(parts.get("options", b"{}"))


def embed(encoder: Encoder, content: bytes, options: PictureOptions) -> Float32s:
    """(1, d) the vector of a picture, or of the part of it that the options name."""
    from kinfold.pictures import PictureError, crop, decode

    try:
        # Of a part every pixel counts; the whole is decoded as those of the gallery were.
        least = encoder.least if options.crop is None else None
        picture = decode(content, most_pixels=MOST_PIXELS, least=least)
        if options.crop is not None:
            left, top, right, bottom = options.crop
            picture = crop(picture, (left, top, right, bottom))
        return encoder.encode([picture])
    except PictureError as error:
        raise ProblemError(INVALID_PICTURE, str(error)) from None


class _Form:
    """Collects the parts of a form as they are parsed."""

    def __init__(self) -> None:
        self.parts: dict[str, bytearray] = {}
        self._name = bytearray()
        self._value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._held = 0
        self._part: bytearray | None = None
        self.is_complete = False

    def callbacks(self) -> MultipartCallbacks:
        """What the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._headers, self._held = {}, 0

    def _hold(self, size: int) -> None:
        self._held += size
        if self._held > _MOST_HEADER_BYTES:
            raise _refused("headers of a part that are too long")

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._hold(end - start)
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._hold(end - start)
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name, self._value = bytearray(), bytearray()

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name not in _PARTS:
            raise ProblemError(
                INVALID_REQUEST,
                f"no part is called {shown(name)!r}; there are {' and '.join(_PARTS)}",
                expected=list(_PARTS),
                found=name,
            )
        if name in self.parts:
            raise _refused(f"the part {name} twice")
        self._part = self.parts[name] = bytearray()

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part is not None:
            self._part += data[start:end]

    def _end(self) -> None:
        self.is_complete = True


def _parts(body: bytearray, content_type: str) -> dict[str, bytes]:
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not _BOUNDARY.fullmatch(boundary):
        raise _refused("no boundary in the Content-Type")
    form = _Form()
    parser = MultipartParser(boundary, form.callbacks(), max_size=len(body) + 1)
    try:
        parser.write(bytes(body))
        parser.finalize()
    except (MultipartParseError, ValueError) as error:
        raise _refused(f"what is none: {error}") from None
    if not form.is_complete:
        raise _refused("one that is cut off")
    return {name: bytes(content) for name, content in form.parts.items()}


def _refused(found: str) -> ProblemError:
    return ProblemError(
        INVALID_REQUEST,
        f"expected multipart/form-data with the parts image and options, found {found}",
        expected="multipart/form-data",
    )
