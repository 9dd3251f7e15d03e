"""Pictures of all kinds, upright and RGB; and hostile ones, refused quickly."""

from __future__ import annotations

import os
import resource
import struct
import time
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kinfold.pictures import PictureError, crop, decode, open_picture, thumbnail
from kinfold.pictures.decode import decode_sized

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (12, 20, 3)).astype(np.uint8)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    body = name + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def png(width: int, height: int, data: bytes, *extra: bytes, mode: int = 2) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, mode, 0, 0, 0)
    parts = [chunk(b"IHDR", head), *extra, chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_exact_kinds(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    image = decode(saved(Image.fromarray(COLOURS), kind, **options))
    assert image.mode == "RGB"
    assert (np.asarray(image) == COLOURS).all()


def test_lossy_kinds() -> None:
    smooth = Image.fromarray(np.tile(np.arange(0, 240, 12, dtype=np.uint8), (12, 1))).convert("RGB")
    for kind in ("JPEG", "WEBP", "GIF"):
        found = np.asarray(decode(saved(smooth, kind)), dtype=float)
        assert abs(found - np.asarray(smooth)).mean() < 6, kind


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = decode(saved(Image.fromarray(COLOURS), "PNG", exif=exif.tobytes()))
    turns = {
        1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1), 6: lambda a: a.swapaxes(0, 1)[:, ::-1],
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1), 8: lambda a: a.swapaxes(0, 1)[::-1],
    }  # fmt: skip
    assert (np.asarray(found) == turns[orientation](COLOURS)).all()


def test_transparency_lies_on_white() -> None:
    rgba = np.dstack([COLOURS, np.zeros(COLOURS.shape[:2], np.uint8)])
    rgba[:, 10:, 3] = 255
    found = np.asarray(decode(saved(Image.fromarray(rgba), "PNG")))
    assert (found[:, :10] == 255).all()
    assert (found[:, 10:] == COLOURS[:, 10:]).all()
    grey = Image.fromarray(rgba).convert("LA")
    assert (np.asarray(decode(saved(grey, "PNG")))[:, :10] == 255).all()


def test_palettes() -> None:
    image = Image.new("P", (4, 2), 1)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((0, 0), 0)
    found = np.asarray(decode(saved(image, "PNG")))
    assert found[0, 0].tolist() == [10, 20, 30]
    assert found[1, 3].tolist() == [40, 50, 60]
    clear = np.asarray(decode(saved(image, "PNG", transparency=0)))
    assert clear[0, 0].tolist() == [255, 255, 255]
    assert clear[1, 3].tolist() == [40, 50, 60]


def test_grey_and_one_bit() -> None:
    grey = Image.fromarray(COLOURS).convert("L")
    assert (np.asarray(decode(saved(grey, "PNG"))) == np.asarray(grey)[:, :, None]).all()
    bits = np.asarray(decode(saved(grey.convert("1"), "PNG")))
    assert set(np.unique(bits)) <= {0, 255}


def test_sixteen_bits_keep_their_range() -> None:
    values = np.linspace(0, 65_535, 64).astype(np.uint16).reshape(8, 8)
    for kind in ("PNG", "TIFF"):
        found = np.asarray(decode(saved(Image.fromarray(values), kind)))[:, :, 0]
        assert abs(found - values / 257).max() <= 0.5, kind


def test_floats() -> None:
    values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    found = np.asarray(decode(saved(Image.fromarray(values), "TIFF")))[:, :, 0]
    assert abs(found - 255 * values).max() <= 0.5
    values[3, 3] = np.nan
    with pytest.raises(PictureError, match="finite"):
        decode(saved(Image.fromarray(values), "TIFF"))


def test_cmyk() -> None:
    image = Image.new("RGB", (16, 16), (200, 30, 60)).convert("CMYK")
    for kind in ("JPEG", "TIFF"):
        found = np.asarray(decode(saved(image, kind))).mean(axis=(0, 1))
        assert abs(found - [200, 30, 60]).max() < 4, kind


def test_animations_are_their_first_frame() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    for kind in ("GIF", "WEBP", "PNG"):
        content = saved(frames[0], kind, save_all=True, append_images=frames[1:])
        assert np.asarray(decode(content))[4, 4].tolist()[2] < 30, kind


def test_a_large_jpeg_is_decoded_small_where_that_will_do() -> None:
    content = saved(Image.new("RGB", (1600, 1200), (9, 99, 199)), "JPEG")
    assert decode(content).size == (1600, 1200)
    assert decode(content, least=224).size == (800, 600)
    assert decode(content, least=900).size == (1600, 1200)
    assert decode(content, least=224, most_pixels=500_000).size == (800, 600)
    with pytest.raises(PictureError, match=r"at most 0\.5 million pixels"):
        decode(content, most_pixels=500_000)


@pytest.mark.parametrize("colours", [1, 2, 200, 256])
def test_a_palette_of_greys_is_grey(colours: int) -> None:
    random = np.random.default_rng(colours)
    image = Image.fromarray(random.integers(0, colours, (9, 7), dtype=np.uint8)).convert("P")
    image.putpalette(np.repeat(random.integers(0, 256, colours, dtype=np.uint8), 3).tobytes())
    buffer = BytesIO()
    image.save(buffer, "PNG")
    found, _ = decode_sized(buffer.getvalue())
    assert found.mode == "L"
    np.testing.assert_array_equal(np.asarray(found), np.asarray(image.convert("L")))


def test_extreme_shapes() -> None:
    for size in ((1, 1), (1, 5000), (5000, 1)):
        image = decode(saved(Image.new("RGB", size), "PNG"))
        assert image.size == size
        assert Image.open(BytesIO(thumbnail(image))).size[0] >= 1


# Hostile ones


def refused(content: bytes, match: str, seconds: float = 2.0) -> None:
    begin = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PictureError, match=match):
        decode(content)
    assert time.monotonic() - begin < seconds
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # kB


def test_a_picture_that_claims_900_million_pixels() -> None:
    rows = zlib.compress(bytes(3 * 30_000 + 1) * 300, 9)
    refused(png(30_000, 30_000, rows), "pixels")


def test_a_picture_just_over_the_limit() -> None:
    found = "at most 100 million pixels, and 65535 a side, found"
    refused(png(10_001, 10_000, b""), f"{found} 10001 × 10000")
    refused(png(70_000, 10, b""), f"{found} 70000 × 10")


def test_a_bomb_in_a_text_chunk() -> None:
    bomb = zlib.compress(bytes(200 << 20), 9)
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in COLOURS))
    for name, content in (
        (b"zTXt", b"a\0\0" + bomb),
        (b"iTXt", b"a\0\1\0\0\0" + bomb),
        (b"iCCP", b"a\0\0" + bomb),
    ):
        begin = time.monotonic()
        try:
            # What is said in it is of no use; the pixels may be.
            found = decode(png(20, 12, pixels, chunk(name, content)))
            assert (np.asarray(found) == COLOURS).all()
        except PictureError:
            pass
        assert time.monotonic() - begin < 2


def test_cut_off() -> None:
    for kind in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"):
        content = saved(Image.fromarray(np.tile(COLOURS, (8, 8, 1))), kind)
        for part in (0.95, 0.5, 0.1):
            with pytest.raises(PictureError):
                decode(content[: int(part * len(content))])


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "found an empty file"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "begins with b.<svg"),
        (b"just some text\n", "begins with b'just"),
        (b"PK\x03\x04" + bytes(100), "begins with"),
        (b"%PDF-1.7", "begins with"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "begins with"),
        (b"\x89PNG\r\n\x1a\n", "damaged|begins with"),
        (b"\xff\xd8\xff\xe0", "damaged|begins with"),
    ],
)
def test_what_is_no_picture(content: bytes, match: str) -> None:
    with pytest.raises(PictureError, match=match):
        decode(content)


def test_too_many_bytes() -> None:
    with pytest.raises(PictureError, match="at most 64 MB, found 65 MB"):
        decode(bytes(65 << 20))


KINDS = ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]
WHOLE = [saved(Image.fromarray(COLOURS), kind) for kind in KINDS]


@given(
    st.sampled_from(WHOLE),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=12),
    st.integers(0, 400),
)
def test_bytes_that_were_changed(content: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    damaged = bytearray(content)
    for place, value in changes:
        damaged[place % len(damaged)] = value
    del damaged[len(damaged) - cut % len(damaged) :]
    try:
        assert decode(bytes(damaged), most_pixels=1_000_000).mode == "RGB"
    except PictureError as error:
        assert "Traceback" not in str(error)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(WHOLE[0])
    assert (np.asarray(open_picture(path)) == COLOURS).all()
    with pytest.raises(PictureError, match=r"b\.png: cannot be read: No such file"):
        open_picture(tmp_path / "b.png")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(PictureError, match="a device or a pipe"):
        open_picture(tmp_path / "pipe.png")
    with pytest.raises(PictureError):
        open_picture(tmp_path)


def test_crops() -> None:
    image = Image.fromarray(COLOURS)
    assert (np.asarray(crop(image, (2, 3, 9, 7))) == COLOURS[3:7, 2:9]).all()
    assert (np.asarray(crop(image, (1.5, 0.2, 4.4, 2))) == COLOURS[0:2, 1:5]).all()
    assert crop(image, (-50, -50, 500, 500)).size == (20, 12)
    for box in ((5, 5, 5, 9), (9, 0, 2, 5), (30, 0, 40, 5), (0, 0, float("nan"), 5)):
        with pytest.raises(PictureError, match="crop"):
            crop(image, box)


def test_thumbnails_are_small_and_hold_no_more_than_pixels() -> None:
    exif = Image.Exif()
    exif[0x010E] = "where I live"
    large = decode(saved(Image.fromarray(np.tile(COLOURS, (40, 40, 1))), "JPEG", exif=exif))
    small = thumbnail(large)
    found = Image.open(BytesIO(small))
    assert (found.format, found.size) == ("JPEG", (192, 115))
    assert b"where I live" not in small
    assert Image.open(BytesIO(thumbnail(Image.fromarray(COLOURS)))).size == (20, 12)
