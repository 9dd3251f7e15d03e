"""From the bytes of a file to an upright RGB picture, whatever is in them.

The header is looked at first: what would take too much room is refused before a pixel is decoded.
Everything that Pillow can throw at bytes made to mislead it becomes one `PictureError`.
"""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from kinfold.pictures.errors import PictureError

# Of tags that make no sense, for one; what matters is an exception.
warnings.filterwarnings("ignore", module=r"PIL\.")

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""As Pillow calls them. No others are tried: each decoder is one more that may have holes."""

MOST_PIXELS = 100_000_000
"""Width times height."""
MOST_BYTES = 64 << 20
"""Of a file."""
_MOST_SIDE = 65_535
_SHOWN_BYTES = 12
_ORIENTATION, _LYING = 0x0112, (5, 6, 7, 8)
_WHITE = (255, 255, 255)


def decode(
    content: bytes,
    *,
    most_pixels: int = MOST_PIXELS,
    least: int | None = None,
    name: str = "the picture",
) -> Image.Image:
    """Decode a picture.

    Of an animation it is the first frame; EXIF's orientation is applied, transparency is laid on
    white, other colours and depths become 8-bit RGB.

    Parameters
    ----------
    content:
        The bytes of a jpg, png, webp, gif, bmp or tiff file.
    most_pixels:
        More are not decoded: a picture that would have more is refused before it is. One of more
        than `MOST_PIXELS` is refused in any case.
    least:
        The smallest side that is needed: a large JPEG is then decoded at a fraction of its size,
        none of whose sides is below twice this. None: exactly.
    name:
        What errors call it.

    Raises
    ------
    PictureError
        It is none of these kinds, damaged, cut off, or too large.
    """
    image, _ = decode_sized(content, most_pixels=most_pixels, least=least, name=name)
    return image.convert("RGB") if image.mode == "L" else image


def decode_sized(
    content: bytes,
    *,
    most_pixels: int = MOST_PIXELS,
    least: int | None = None,
    name: str = "the picture",
) -> tuple[Image.Image, tuple[int, int]]:
    """As `decode`, with the width and height that the picture has in the file, upright.

    What is known to be grey stays so, in mode L: a third of the work for whoever resizes it.
    """
    if not content:
        raise PictureError(f"{name}: expected a picture, found an empty file")
    if len(content) > MOST_BYTES:
        raise PictureError(
            f"{name}: expected at most {MOST_BYTES >> 20} MB, found {len(content) >> 20} MB"
        )
    with _hostile(name, content), Image.open(BytesIO(content), formats=_FORMATS) as image:
        width, height = image.size
        _check(name, (width, height), MOST_PIXELS)
        if least is not None and image.format == "JPEG":
            image.draft("RGB", (2 * least, 2 * least))
        _check(name, image.size, most_pixels)
        image.load()
        lies = image.getexif().get(_ORIENTATION) in _LYING
        # In place: a copy of a large picture is some hundred megabytes.
        ImageOps.exif_transpose(image, in_place=True)
        return _in_eight_bits(image), (height, width) if lies else (width, height)


def _check(name: str, size: tuple[int, int], most_pixels: int) -> None:
    if size[0] * size[1] > most_pixels or max(size) > _MOST_SIDE:
        raise PictureError(
            f"{name}: expected at most {most_pixels / 1e6:g} million pixels, and {_MOST_SIDE} a "
            f"side, found {size[0]} × {size[1]}"
        )


def open_picture(
    path: Path, *, most_pixels: int = MOST_PIXELS, least: int | None = None
) -> Image.Image:
    """Read and decode a file; raises `PictureError` for whatever is wrong with it."""
    return decode(read_file(path), most_pixels=most_pixels, least=least, name=path.name)


def read_file(path: Path) -> bytes:
    """The content of a regular file that is not too large."""
    try:
        # Without waiting: a pipe, put there meanwhile, would keep one waiting for ever.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as file:  # noqa: PTH123 - of a handle
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise PictureError(f"{path.name}: expected a file, found a device or a pipe")
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise PictureError(f"{path.name}: cannot be read: {error.strerror}") from None


@contextmanager
def _hostile(name: str, content: bytes) -> Iterator[None]:
    """Turn whatever decoders throw into one error that says what the bytes are."""
    try:
        yield
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError(
            f"{name}: expected a jpg, png, webp, gif, bmp or tiff picture, found something that "
            f"begins with {content[:_SHOWN_BYTES]!r}"
        ) from None
    except Image.DecompressionBombError:
        raise PictureError(f"{name}: its header claims more pixels than any picture has") from None
    except Exception as error:
        # SyntaxError, struct.error, OSError, ValueError, MemoryError, OverflowError and more.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PictureError(f"{name}: damaged or cut off: {reason}") from None


def _in_eight_bits(image: Image.Image) -> Image.Image:
    """8 bits of grey, or of red, green and blue, whatever there was."""
    if image.mode.startswith("I;16"):
        return _of_values(np.asarray(image).astype(np.float64) / 257)
    if image.mode in ("I", "F"):
        return _of_values(_to_eight_bits(np.asarray(image, dtype=np.float64)))
    if image.has_transparency_data:
        clear = image if image.mode == "RGBA" else image.convert("RGBA")
        ground = Image.new("RGB", image.size, _WHITE)
        ground.paste(clear, mask=clear.getchannel("A"))
        return ground
    if image.mode == "P" and (greys := _grey_palette(image)):
        # A third of the time that `convert` takes.
        return Image.frombuffer("L", image.size, image.tobytes().translate(greys))
    wanted = "L" if image.mode in ("1", "L") else "RGB"
    return image if image.mode == wanted else image.convert(wanted)


def _grey_palette(image: Image.Image) -> bytes | None:
    """The 256 grey values of a palette in which red, green and blue are always equal."""
    colours = np.array(image.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
    if (colours != colours[:, :1]).any():
        return None
    return colours[:, 0].tobytes().ljust(256, b"\0")


def _to_eight_bits(
    values: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Grey values of 32 bits: as they are, of 16 bits, from 0 to 1, or stretched to their range."""
    if not np.isfinite(values).all():
        raise PictureError("expected finite grey values, found some that are not")
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        return values * 255
    if low >= 0 and high <= 255:
        return values
    if low >= 0 and high <= 65_535:
        return values / 257
    return (values - low) * (255 / (high - low))


def _of_values(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Image.Image:
    grey = np.rint(values).clip(0, 255).astype(np.uint8)
    return Image.fromarray(grey)
