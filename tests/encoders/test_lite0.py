"""The default encoder: weights read without unpickling, and the network that they make."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinfold.encoders import default_encoder_file, embed_many, lite0, load_encoder
from kinfold.encoders.torch_archive import read_tensors
from kinfold.errors import InputError

WEIGHTS = lite0.weights_file()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_the_tensors_are_all_there() -> None:
    tensors = read_tensors(WEIGHTS)
    assert tensors["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert tensors["_fc.weight"].shape == (1000, 1280)
    assert tensors["_blocks.15._bn2.running_var"].min() > 0
    assert all(np.isfinite(values).all() for values in tensors.values())
    assert 4_600_000 < sum(values.size for values in tensors.values()) < 4_800_000


class Evil:
    def __reduce__(self) -> object:
        return (print, ("never",))


def archive(*pickles: object) -> bytes:
    return b"".join(pickle.dumps(value, protocol=2) for value in pickles)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04",
        archive(0x1950A86A20F9469CFC6C, 1001, {}),
        archive(0x1950A86A20F9469CFC6C, 1002, {}, {}, []),
        archive(0x1950A86A20F9469CFC6C, 1001, {}, Evil(), []),
        archive(0x1950A86A20F9469CFC6C, 1001, {}, {"a": Evil()}, []),
        archive(0x1950A86A20F9469CFC6C, 1001, {}, {}, ["unknown"]),
        archive(0x1950A86A20F9469CFC6C, 1001, {}, [1, 2], []),
    ],
)
def test_nothing_is_ever_called(tmp_path: Path, content: bytes, capsys) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(InputError, match="expected tensors as torch wrote them"):
        read_tensors(path)
    assert capsys.readouterr().out == ""


HEAD = WEIGHTS.read_bytes()[: 60 << 10]


@given(st.lists(st.tuples(st.integers(0, 47_000), st.integers(0, 255)), min_size=1, max_size=5))
def test_damaged_heads_are_refused_or_end_early(changes: list[tuple[int, int]]) -> None:
    import tempfile

    damaged = bytearray(HEAD)
    for place, value in changes:
        damaged[place] = value
    with tempfile.NamedTemporaryFile() as file:
        file.write(damaged)
        file.flush()
        with pytest.raises(InputError):  # it is cut off at the least
            read_tensors(Path(file.name))


def test_storages_are_held_against_what_was_said(tmp_path: Path) -> None:
    content = WEIGHTS.read_bytes()
    first = content.index(struct.pack("<q", 1), 47_000)
    path = tmp_path / "weights.pth"
    path.write_bytes(content[:first] + struct.pack("<q", 1 << 40) + content[first + 8 :])
    with pytest.raises(InputError, match=r"expected .* values, found"):
        read_tensors(path)


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lite0, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(InputError, match="expected the weights with sha256 000"):
        lite0.weights_file()


def test_made_once_and_again_where_it_is_damaged(cache: Path) -> None:
    path = default_encoder_file(cache)
    content, made = path.read_bytes(), path.stat().st_mtime_ns
    assert default_encoder_file(cache).stat().st_mtime_ns == made
    path.write_bytes(content[:-5])
    assert default_encoder_file(cache).read_bytes() == content
    assert not list(cache.glob(".*"))


def test_where_it_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kinfold.encoders.load import cache_folder

    monkeypatch.delenv("KINFOLD_ENCODERS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "kinfold"
    monkeypatch.setenv("KINFOLD_ENCODERS", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def test_the_network_of_others(cache: Path, shared_data: Path) -> None:
    ours = onnxruntime.InferenceSession(
        default_encoder_file(cache), providers=["CPUExecutionProvider"]
    )
    theirs = onnxruntime.InferenceSession(
        shared_data / "efficientnet-lite0.onnx", providers=["CPUExecutionProvider"]
    )
    x = np.random.default_rng(0).normal(size=(2, 3, 96, 128)).astype(np.float32)
    for name in ("fmap", "pool", "logits"):
        found, wanted = ours.run([name], {"x": x})[0], theirs.run([name], {"x": x})[0]
        assert found.shape == wanted.shape
        assert abs(found - wanted).max() <= 1e-4 * max(1.0, abs(wanted).max())


def test_the_descriptors_of_others(cache: Path, shared_data: Path) -> None:
    files = sorted((shared_data / "mpeg7-images").iterdir(), key=lambda path: path.name.encode())
    reference = np.load(shared_data / "mpeg7_lite0gem.npz")["X"].astype(np.float32)
    rows = range(0, len(files), 29)
    encoder = load_encoder(threads=1, cache=cache)
    assert encoder.dimension == 1280
    for row, done in zip(rows, embed_many(encoder, [files[row] for row in rows]), strict=True):
        assert abs(done.vector - reference[row]).max() < 1e-3, files[row].name
