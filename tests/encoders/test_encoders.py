"""Encoders: prepared as the spec says, pooled as the papers say, and what is wrong is told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinfold.encoders import EncoderSpec, embed_many, load_encoder, open_encoder, read_spec
from kinfold.encoders.pooling import gem, regions, rmac
from kinfold.encoders.prepare import prepare
from kinfold.errors import InputError

RNG = np.random.default_rng(1)
COLOURS = RNG.integers(0, 256, (30, 50, 3)).astype(np.uint8)
PICTURE = Image.fromarray(COLOURS)


def spec(**given: object) -> EncoderSpec:
    return EncoderSpec(name="test", **given)


# Preparation


def test_pad_puts_the_whole_picture_in_the_middle() -> None:
    found = prepare(PICTURE, spec(size=50, background=[10, 20, 30], mean=[0, 0, 0], std=[1, 1, 1]))
    assert found.shape == (3, 50, 50)
    assert (found[:, 10:40] == COLOURS.transpose(2, 0, 1)).all()
    for channel, value in enumerate((10, 20, 30)):
        assert (found[channel, :10] == value).all()
        assert (found[channel, 40:] == value).all()


def test_mean_and_std_by_channel_and_their_order() -> None:
    own = {"size": [30, 50], "mean": [1, 2, 3], "std": [2, 4, 8]}
    by_hand = (COLOURS - np.array([1, 2, 3])) / np.array([2, 4, 8])
    np.testing.assert_allclose(prepare(PICTURE, spec(**own)), by_hand.transpose(2, 0, 1))
    np.testing.assert_allclose(prepare(PICTURE, spec(layout="NHWC", **own)), by_hand)
    swapped = prepare(PICTURE, spec(channels="BGR", **own))
    np.testing.assert_allclose(swapped, by_hand.transpose(2, 0, 1)[::-1])


def test_crop_is_the_middle() -> None:
    plain = {"fit": "crop", "mean": [0, 0, 0], "std": [1, 1, 1]}
    found = prepare(PICTURE, spec(size=30, **plain))
    assert (found == COLOURS[:, 10:40].transpose(2, 0, 1)).all()
    half = prepare(PICTURE, spec(size=10, resize=30, **plain))
    assert (half == COLOURS[10:20, 20:30].transpose(2, 0, 1)).all()
    # Only the part that is seen is resized: as if all of it had been, but at its border.
    whole = PICTURE.resize((100, 60), Image.Resampling.BICUBIC)
    wanted = np.asarray(whole)[10:50, 30:70].transpose(2, 0, 1)
    found = prepare(PICTURE, spec(size=40, resize=60, **plain))
    assert abs(found - wanted)[:, 3:-3, 3:-3].max() <= 1


def test_stretch() -> None:
    found = prepare(PICTURE, spec(size=[7, 9], fit="stretch", mean=[0, 0, 0], std=[1, 1, 1]))
    wanted = np.asarray(PICTURE.resize((9, 7), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    assert (found == wanted).all()


def test_grey_is_what_it_would_be_as_colours() -> None:
    grey = PICTURE.convert("L")
    for given in ({}, {"background": [9, 9, 9]}, {"background": [1, 2, 3]}, {"fit": "crop"}):
        own = spec(size=24, **given)
        assert (prepare(grey, own) == prepare(grey.convert("RGB"), own)).all()


# Pooling, each beside the definition by loops

MAPS = RNG.normal(size=(2, 4, 5, 7)).astype(np.float32)


@pytest.mark.parametrize("p", [1.0, 3.0, 4.5])
def test_gem(p: float) -> None:
    wanted = np.zeros((2, 4))
    for n in range(2):
        for channel in range(4):
            values = [max(float(v), 1e-6) ** p for v in MAPS[n, channel].reshape(-1)]
            wanted[n, channel] = (sum(values) / len(values)) ** (1 / p)
    np.testing.assert_allclose(gem(MAPS, p), wanted, rtol=1e-5)


def test_rmac() -> None:
    wanted = np.zeros((2, 4))
    for n in range(2):
        for top, left, side in regions(5, 7):
            best = np.array(
                [
                    max(MAPS[n, c, y, x] for y in range(top, top + side)
                        for x in range(left, left + side))
                    for c in range(4)
                ]
            )  # fmt: skip
            wanted[n] += best / np.linalg.norm(best)
    np.testing.assert_allclose(rmac(MAPS), wanted, rtol=1e-5)


@pytest.mark.parametrize("shape", [(7, 7), (7, 10), (20, 7), (1, 1), (2, 30), (16, 9)])
def test_regions_lie_inside_and_cover_the_map(shape: tuple[int, int]) -> None:
    height, width = shape
    seen = np.zeros(shape, dtype=int)
    for top, left, side in regions(height, width):
        assert 0 <= top <= height - side
        assert 0 <= left <= width - side
        seen[top : top + side, left : left + side] += 1
    if max(shape) <= 2 * min(shape):
        assert seen.min() >= 1
    if height == width and height > 3:
        assert len(regions(height, width)) == 1 + 4 + 9


# Networks


def test_vectors_are_those_of_the_network(network) -> None:
    own = spec(size=16, output="vector")
    encoder = open_encoder(own, network())
    values = prepare(PICTURE, own)
    weights = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    wanted = weights @ values.mean(axis=(1, 2))
    found = encoder.encode([PICTURE, PICTURE])
    assert encoder.dimension == 5
    np.testing.assert_allclose(found[0], wanted / np.linalg.norm(wanted), atol=1e-5)
    assert (found[0] == found[1]).all()
    assert encoder.encode([]).shape == (0, 5)
    pooled = open_encoder(spec(size=16, output="map", pooling="average"), network())
    np.testing.assert_allclose(pooled.encode([PICTURE])[0], found[0], atol=1e-5)


def test_other_layouts_and_fixed_batches(network) -> None:
    wanted = open_encoder(spec(size=16), network()).encode([PICTURE])
    last = open_encoder(spec(size=16, layout="NHWC"), network("last.onnx", layout="NHWC"))
    np.testing.assert_allclose(last.encode([PICTURE]), wanted, atol=1e-5)
    single = open_encoder(spec(size=16), network("one.onnx", batch=1))
    np.testing.assert_allclose(single.encode([PICTURE] * 3), wanted.repeat(3, axis=0), atol=1e-5)


def test_keys_tell_encoders_apart(network) -> None:
    one, other = network("a.onnx"), network("b.onnx", scale=2.0)
    keys = {
        open_encoder(own, file).key
        for own, file in (
            (spec(size=16), one),
            (spec(size=17), one),
            (spec(size=16, mean=[1, 2, 3]), one),
            (spec(size=16), other),
        )
    }
    assert len(keys) == 4
    renamed = open_encoder(EncoderSpec(name="else", size=16), one)
    assert renamed.key in keys


def test_threads_share_one(network) -> None:
    encoder = open_encoder(spec(size=16), network(), threads=1)
    wanted = encoder.encode([PICTURE])
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: encoder.encode([PICTURE]), range(200)):
            assert (found == wanted).all()


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"output": "scores"}, "output: expected one of vector, map, found scores"),
        ({"input": "pixels"}, "input: expected one of x, found pixels"),
        ({"output": "map"}, r"expected vectors \(n, d\) for pooling = 'none'"),
        ({"pooling": "gem"}, "expected a feature map"),
        ({"layout": "NHWC"}, "the network fails on a picture of"),
    ],
)
def test_networks_that_do_not_fit(network, given: dict, match: str) -> None:
    with pytest.raises(InputError, match=match):
        open_encoder(spec(size=16, **given), network())


def test_files_that_are_no_networks(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found nothing of this name"):
        open_encoder(spec(), tmp_path / "none.onnx")
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no network at all")
    with pytest.raises(InputError, match="expected an ONNX file"):
        open_encoder(spec(), bad)


def test_a_network_without_direction_is_refused(network) -> None:
    encoder = open_encoder(spec(size=16), network(scale=0.0))
    with pytest.raises(InputError, match="check mean, std and output"):
        encoder.encode([PICTURE])


# Descriptions


def test_a_description(tmp_path: Path, network) -> None:
    network("deep.onnx")
    path = tmp_path / "mine.toml"
    path.write_text('file = "deep.onnx"\nsize = [16, 24]\noutput = "map"\npooling = "rmac"\n')
    own = read_spec(path)
    assert (own.name, own.shape, own.pooling) == ("mine", (16, 24), "rmac")
    assert load_encoder(path).dimension == 5


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("size = 16", "file: expected the name of an ONNX file, found none"),
        ('file = "a"\ncolour = 1', "colour: no field has this name; there are name, file, size"),
        ('file = "a"\nsize = 0', "size.*found 0"),
        ('file = "a"\nstd = [1, 0, 1]', "std: nothing can be divided by 0"),
        ('file = "a"\nfit = "squeeze"', "fit: Input should be 'pad', 'crop' or 'stretch'"),
        ('file = "a"\nresize = 300', "resize goes with fit = 'crop'"),
        ('file = "a"\nbackground = [0, 0, 256]', "numbers from 0 to 255"),
        ("file = ", "expected TOML"),
        ("\0", "expected TOML"),
        ('file = "a"\nmean = [1, 2]', "mean"),
        ('file = "a"\nmean = [nan, 1, 2]', "mean"),
    ],
)
def test_bad_descriptions(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=match) as caught:
        read_spec(path)
    assert str(path) in str(caught.value)


def test_names_of_encoders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected efficientnet-lite0, or a \.toml file"):
        load_encoder("resnet")
    with pytest.raises(InputError, match="cannot be read"):
        load_encoder(tmp_path / "none.toml")


# Many pictures


def test_many_in_their_order_and_the_bad_ones_told(tmp_path: Path, network) -> None:
    encoder = open_encoder(spec(size=16), network(), threads=1)
    paths = []
    for number in range(23):
        path = tmp_path / f"{number}.png"
        if number % 5 == 3:
            path.write_bytes(b"<svg/>")
        else:
            Image.fromarray(np.roll(COLOURS, number, axis=2)).save(path)
        paths.append(path)
    for workers in (1, 3):
        found = list(embed_many(encoder, paths, workers=workers))
        assert [one.number for one in found] == list(range(23))
        for number, one in enumerate(found):
            if number % 5 == 3:
                assert one.vector is None
                assert "begins with b'<svg/>'" in one.reason
            else:
                wanted = encoder.encode([Image.open(paths[number])])[0]
                np.testing.assert_allclose(one.vector, wanted, atol=1e-6)
                assert one.size == (50, 30)
                assert one.thumbnail.startswith(b"\xff\xd8")
    assert list(embed_many(encoder, [])) == []


def test_many_can_be_left(tmp_path: Path, network) -> None:
    encoder = open_encoder(spec(size=16), network(), threads=1)
    PICTURE.save(tmp_path / "a.png")
    stream = embed_many(encoder, [tmp_path / "a.png"] * 500)
    assert next(stream).number == 0
    stream.close()
