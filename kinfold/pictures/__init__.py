"""Pictures: bytes that nobody trusts in, upright RGB out. Needs the extra `images`."""

from kinfold.pictures.decode import MOST_BYTES, MOST_PIXELS, decode, open_picture
from kinfold.pictures.errors import PictureError
from kinfold.pictures.shapes import crop, thumbnail

__all__ = [
    "MOST_BYTES",
    "MOST_PIXELS",
    "PictureError",
    "crop",
    "decode",
    "open_picture",
    "thumbnail",
]
