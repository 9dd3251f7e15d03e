"""Parts of pictures, and small ones."""

from __future__ import annotations

import math
from io import BytesIO

from PIL import Image

from kinfold.pictures.errors import PictureError

THUMBNAIL_SIDE = 192
_QUALITY = 80


def crop(image: Image.Image, box: tuple[float, float, float, float]) -> Image.Image:
    """The part of a picture inside a box: left, top, right, bottom in pixels, cut to the picture.

    Raises
    ------
    PictureError
        Nothing of the picture is inside.
    """
    width, height = image.size
    if not all(math.isfinite(side) for side in box):
        raise PictureError(f"crop: expected finite numbers, found {box}")
    left, top = (math.floor(max(0.0, side)) for side in box[:2])
    right, bottom = math.ceil(min(width, box[2])), math.ceil(min(height, box[3]))
    if right <= left or bottom <= top:
        raise PictureError(
            f"crop: expected left < right and top < bottom inside {width} × {height} pixels, "
            f"found {', '.join(f'{side:g}' for side in box)}"
        )
    return image.crop((left, top, right, bottom))


def thumbnail(image: Image.Image, side: int = THUMBNAIL_SIDE) -> bytes:
    """A JPEG of an RGB or grey picture, no side longer than `side`; only pixels go into it."""
    width, height = image.size
    scale = min(1.0, side / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = image
    if size != image.size:
        small = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)
    small = Image.merge(small.mode, small.split())  # the pixels, and nothing that came with them
    buffer = BytesIO()
    small.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return buffer.getvalue()
