"""From an RGB picture to the numbers that go into a network."""

from __future__ import annotations

import numpy as np
from PIL import Image

from kinfold.arrays import Float32s
from kinfold.encoders.spec import EncoderSpec

PREPARATION = "2"
"""Goes up when the same picture would give other numbers, here or in what is made of them."""

_RESAMPLING = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}


def input_shape(spec: EncoderSpec) -> tuple[int, int, int]:
    """Of one picture as it goes in."""
    height, width = spec.shape
    return (3, height, width) if spec.layout == "NCHW" else (height, width, 3)


def prepare(image: Image.Image, spec: EncoderSpec, out: Float32s | None = None) -> Float32s:
    """(3, h, w) float32, or (h, w, 3) for layout = NHWC, of an RGB or grey picture of any size.

    Parameters
    ----------
    out:
        Where to put it.
    """
    values = np.empty(input_shape(spec), dtype=np.float32) if out is None else out
    fitted = _fitted(image, spec)
    pixels = np.asarray(fitted)
    order = (0, 1, 2) if spec.channels == "RGB" else (2, 1, 0)
    for place, channel in enumerate(order):
        plane = values[place] if spec.layout == "NCHW" else values[:, :, place]
        single = pixels if pixels.ndim == 2 else pixels[:, :, channel]
        np.subtract(single, np.float32(spec.mean[channel]), out=plane)
        np.divide(plane, np.float32(spec.std[channel]), out=plane)
    return values


def least_side(spec: EncoderSpec) -> int:
    """The smallest side of a picture that loses nothing when it is prepared."""
    return max(*spec.shape, spec.resize or 0)


def _fitted(image: Image.Image, spec: EncoderSpec) -> Image.Image:
    if image.mode == "L" and spec.fit == "pad" and len(set(spec.background)) > 1:
        image = image.convert("RGB")
    height, width = spec.shape
    resampling = _RESAMPLING[spec.interpolation]
    if spec.fit == "stretch":
        return image.resize((width, height), resampling)
    if spec.fit == "pad":
        return _padded(image, spec).resize((width, height), resampling)
    return _middle(image, height, width, spec.resize, resampling)


def _padded(image: Image.Image, spec: EncoderSpec) -> Image.Image:
    """In the middle of the smallest ground of the right proportions."""
    height, width = spec.shape
    own_width, own_height = image.size
    wide = max(own_width, round(own_height * width / height))
    high = max(own_height, round(own_width * height / width))
    if (wide, high) == image.size:
        return image
    colour = spec.background[0] if image.mode == "L" else tuple(spec.background)
    ground = Image.new(image.mode, (wide, high), colour)
    ground.paste(image, ((wide - own_width) // 2, (high - own_height) // 2))
    return ground


def _middle(
    image: Image.Image,
    height: int,
    width: int,
    resize: int | None,
    resampling: Image.Resampling,
) -> Image.Image:
    """The middle, after the picture was made so small that it just covers what is wanted."""
    own_width, own_height = image.size
    if resize is None:
        scale = max(width / own_width, height / own_height)
    else:
        scale = resize / min(own_width, own_height)
    wide, high = max(width, round(own_width * scale)), max(height, round(own_height * scale))
    # Only the part that is seen is resized: of a panorama the rest would be most of the work.
    left, top = (wide - width) // 2, (high - height) // 2
    across, down = own_width / wide, own_height / high
    box = (left * across, top * down, (left + width) * across, (top + height) * down)
    return image.resize((width, height), resampling, box=box)
