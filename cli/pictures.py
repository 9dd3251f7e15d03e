"""Small pictures inside an HTML page, as data that needs no other file."""

from __future__ import annotations

import base64
from io import BytesIO

import numpy as np

from kinfold.arrays import AnyArray
from kinfold.errors import InputError


def data_url(content: bytes) -> str:
    """A PNG or JPEG as a data URL."""
    kind = "jpeg" if content.startswith(b"\xff\xd8") else "png"
    return f"data:image/{kind};base64," + base64.b64encode(content).decode("ascii")


def gray_png(pixels: AnyArray, scale: int) -> bytes:
    """(h, w) values, dark on light, enlarged `scale` times without smoothing, as a PNG."""
    return _gray(pixels, scale, "PNG")


def gray_jpeg(pixels: AnyArray, scale: int) -> bytes:
    """The same as a JPEG."""
    return _gray(pixels, scale, "JPEG")


def _gray(pixels: AnyArray, scale: int, kind: str) -> bytes:
    try:
        from PIL import Image
    except ImportError:
        raise InputError("pictures need Pillow: pip install 'kinfold[report]'") from None
    largest = float(pixels.max()) or 1.0
    light = (255 * (1 - np.asarray(pixels, dtype=np.float64) / largest)).astype(np.uint8)
    image = Image.fromarray(np.kron(light, np.ones((scale, scale), dtype=np.uint8)))
    buffer = BytesIO()
    image.save(buffer, format=kind, optimize=True)
    return buffer.getvalue()
