"""Thumbnails, encoder and projection: written, mapped, linked, checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import kinfold
from indexer.sources import rebuild_source
from kinfold.errors import CorruptIndexError, InputError
from kinfold.index import layout
from kinfold.index.extras import EncoderFile, Extras, Projection, Thumbnails
from kinfold.index.files import hash_file
from kinfold.index.verify import verify
from kinfold.pipeline import add_model
from kinfold.pipeline import build as build_index
from kinfold.search import Index

ROWS, LONG, SHORT = 40, 12, 5
RNG = np.random.default_rng(3)
JPEGS = [b"" if row % 7 == 3 else bytes(RNG.integers(0, 256, 5 + row, "u1")) for row in range(ROWS)]
VECTORS = RNG.normal(size=(ROWS, LONG)).astype("f4")


def thumbnails() -> Thumbnails:
    starts = np.cumsum([0, *map(len, JPEGS)]).astype(np.int64)
    return Thumbnails(starts, np.frombuffer(b"".join(JPEGS), np.uint8))


def projection() -> Projection:
    return Projection(RNG.normal(size=(LONG + 1, SHORT)).astype("f4"))


@pytest.fixture
def extras(tmp_path: Path) -> Extras:
    model = tmp_path / "any.onnx"
    model.write_bytes(b"some network")
    encoder = EncoderFile(model, hash_file(model), {"name": "any", "size": 32})
    return Extras(thumbnails(), encoder, projection())


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def index(tmp_path: Path, extras: Extras) -> Index:
    short = extras.projection.apply(unit(VECTORS))
    return build_index(short, tmp_path / "photos", extras=extras)


def test_what_was_given_is_there(index: Index) -> None:
    found = index.extras
    assert [found.thumbnails.of(row) for row in range(ROWS)] == [jpeg or None for jpeg in JPEGS]
    assert found.encoder.spec == {"name": "any", "size": 32}
    assert found.encoder.model.read_bytes() == b"some network"
    assert verify(index.version).ok


def test_queries_of_both_lengths_are_the_same_query(index: Index) -> None:
    query = RNG.normal(size=(3, LONG)).astype("f4")
    matrix = index.extras.projection.matrix.astype("f8")
    by_hand = np.hstack([unit(query), np.ones((3, 1))]) @ matrix
    long, short = index.search(query, 7), index.search(by_hand, 7)
    assert (long.ids == short.ids).all()
    np.testing.assert_allclose(long.scores, short.scores, rtol=1e-4)
    one = index.explain(query[0], long.ids[0, 0].item())
    assert one.score == pytest.approx(long.scores[0, 0], rel=1e-3)
    assert (index.search(query[0].tolist(), 7).ids == long.ids[0]).all()
    with pytest.raises(InputError, match="index has dimension 5, the query has 6"):
        index.search(np.ones(6), 1)


def test_a_rebuild_and_another_model_keep_them(index: Index, extras: Extras) -> None:
    path = index.version.parents[1]
    source = rebuild_source(path)
    assert source.extras.hash() == extras.hash()
    add_model(path, "plain", kinfold.BuildConfig(similarity=["cosine"]))
    later = kinfold.open(path)
    assert later.version != index.version
    for name in extras.files:
        assert (later.version / name).samefile(index.version / name)


def test_those_of_some_items(extras: Extras) -> None:
    some = extras.of(np.array([9, 3, 30]))
    assert [some.thumbnails.of(row) for row in range(3)] == [JPEGS[9], None, JPEGS[30]]
    assert some.hash() != extras.hash()


def test_what_does_not_belong_together_is_refused(tmp_path: Path, extras: Extras) -> None:
    with pytest.raises(InputError, match="thumbnails: expected 10, one an item, found 40"):
        build_index(VECTORS[:10, :SHORT], tmp_path / "a", extras=extras)
    with pytest.raises(InputError, match="expected one to dimension 12, found one to 5"):
        build_index(VECTORS, tmp_path / "b", extras=extras)


def test_damage_is_told(index: Index) -> None:
    path = index.version / layout.THUMBNAIL_STARTS
    starts = np.load(path)
    starts[5] += 10**9
    path.chmod(0o600)
    np.save(path, starts)
    with pytest.raises(CorruptIndexError, match="claims bytes"):
        kinfold.open(index.version).extras.thumbnails.of(5)
    starts[-1] += 1
    np.save(path, starts)
    with pytest.raises(CorruptIndexError, match="expected to end at"):
        kinfold.open(index.version)
