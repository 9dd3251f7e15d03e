"""Small pictures inside an HTML page, as data that needs no other file."""

from __future__ import annotations

import base64
from io import BytesIO

import numpy as np

from kinfold.arrays import AnyArray
from kinfold.errors import InputError


def data_url(png: bytes) -> str:
    """A PNG as a data URL."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def gray_png(pixels: AnyArray, scale: int) -> bytes:
    """(h, w) values, dark on light, enlarged `scale` times without smoothing, as a PNG."""
    try:
        from PIL import Image
    except ImportError:
        raise InputError("pictures need Pillow: pip install 'kinfold[report]'") from None
    largest = float(pixels.max()) or 1.0
    light = (255 * (1 - np.asarray(pixels, dtype=np.float64) / largest)).astype(np.uint8)
    image = Image.fromarray(np.kron(light, np.ones((scale, scale), dtype=np.uint8)))
    buffer = BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
