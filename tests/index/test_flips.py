"""Random damage: whatever the bytes say, an answer or an error of our own, and never a crash."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import kinfold
from kinfold.index import layout
from kinfold.index.manifest import MANIFEST
from kinfold.index.publish import CURRENT

from .support import BLOCKS, copied, flip, live, rehash, search_everything

SMALL_FILES = [
    CURRENT,
    MANIFEST,
    layout.IDS,
    layout.IDS_ORDER,
    layout.PAYLOAD,
    layout.order_file("default"),
    layout.places_file("default"),
    layout.indptr_file("default"),
    layout.starts_file("default"),
    layout.indices_file("default", 0),
    layout.values_file("default", 0),
    layout.scales_file("default"),
    layout.largest_file("default"),
]

DAMAGE = st.lists(st.tuples(st.integers(0, 2**31), st.integers(1, 255)), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def victim(nested, tmp_path_factory):
    """A copy that is damaged and repaired in place, thousands of times."""
    path = tmp_path_factory.mktemp("victim") / "c"
    copied(nested, path)
    search_everything(path)
    return path


def holds_or_refuses(path):
    """Read everything; only errors of our own may come out."""
    try:
        search_everything(path)
    except kinfold.KinfoldError as error:
        assert str(error)


@pytest.mark.parametrize("name", SMALL_FILES)
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=DAMAGE)
def test_random_flips_are_noticed_and_survived(victim, name, damage):
    version = live(victim)
    file = victim / name if name == CURRENT else version / name
    good = file.read_bytes()
    bad = bytearray(good)
    for place, bits in damage:
        bad[place % len(good)] ^= bits
    assume(bytes(bad) != good)
    try:
        file.write_bytes(bad)
        try:
            assert not kinfold.verify(victim).ok
        except kinfold.FormatError as refusal:
            assert str(victim) in str(refusal)
        holds_or_refuses(victim)
    finally:
        file.write_bytes(good)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(SMALL_FILES[2:]), damage=DAMAGE, share=st.floats(0, 1))
def test_random_damage_with_agreeing_hashes_is_survived(nested, tmp_path, name, damage, share):
    """A broken writer, or an attacker: the manifest names the hash of the damaged file."""
    copied(nested, tmp_path / "c")
    try:
        file = live(tmp_path / "c") / name
        bad = bytearray(file.read_bytes())
        for place, bits in damage:
            bad[place % len(bad)] ^= bits
        file.write_bytes(bad[: max(1, int(share * 2 * len(bad)))])
        rehash(tmp_path / "c")
        try:
            kinfold.verify(tmp_path / "c")
        except kinfold.FormatError as refusal:
            assert str(tmp_path) in str(refusal)
        holds_or_refuses(tmp_path / "c")
    finally:
        shutil.rmtree(tmp_path / "c")


def overwrite(file, offset, values):
    with file.open("r+b") as handle:
        handle.seek(offset)
        handle.write(np.asarray(values).tobytes())


NPY_HEADER = 128


@pytest.fixture
def copy(full, tmp_path):
    copied(full, tmp_path / "c")
    return tmp_path / "c"


POINTERS = {"values": layout.indptr_file("default"), "bytes": layout.starts_file("default")}


@pytest.mark.parametrize("what", POINTERS)
@pytest.mark.parametrize("value", [-1, 10**12, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("row", [1, 10, 23, 25, 47, 59])
def test_a_wrong_row_pointer_never_leaves_its_block(copy, row, value, what):
    """Inside a block opening does not look; a query that meets it is told."""
    overwrite(live(copy) / POINTERS[what], NPY_HEADER + 8 * row, np.array([value], "<i8"))
    index = kinfold.open(copy)
    with pytest.raises(kinfold.CorruptIndexError, match=f"claims {what}"):
        index.search(index.vectors, 5, seeds="plain")
    with pytest.raises(kinfold.CorruptIndexError, match=f"claims {what}"):
        list(index.iterate_rows())
    assert not kinfold.verify(copy).ok


@pytest.mark.parametrize("what", POINTERS)
@pytest.mark.parametrize("row", [*BLOCKS, 60])
def test_a_wrong_row_pointer_at_a_blocks_edge_is_noticed_on_opening(copy, row, what):
    overwrite(live(copy) / POINTERS[what], NPY_HEADER + 8 * row, np.array([7], "<i8"))
    with pytest.raises(kinfold.CorruptIndexError, match="expected"):
        kinfold.open(copy)


@pytest.mark.parametrize("step", [60, 127, 0xFF])
def test_a_column_outside_the_gallery_is_told_to_who_meets_it(copy, step):
    """0xFF asks for one more byte, which belongs to the next column, and adds it in."""
    file = live(copy) / layout.indices_file("default", 1)
    overwrite(file, NPY_HEADER + 30, np.array([step], "u1"))
    index = kinfold.open(copy)
    with pytest.raises(kinfold.CorruptIndexError, match="out of the gallery of 60"):
        index.search(index.vectors, 5, seeds="plain")
    np.testing.assert_array_equal(
        index.search(index.vectors[:3], 5, "knn").positions[:, 0], [0, 1, 2]
    )


@pytest.mark.parametrize("item", [60, 2**31, 2**32 - 1])
@pytest.mark.parametrize("file", [layout.order_file, layout.places_file])
def test_a_slot_or_item_outside_the_gallery_is_told_to_who_meets_it(copy, file, item):
    overwrite(live(copy) / file("default"), NPY_HEADER + 4 * 7, np.array([item], "<u4"))
    index = kinfold.open(copy)
    for allowed in (None, {"column": "year", "gte": 0}):
        with pytest.raises(kinfold.CorruptIndexError, match=r"out of the gallery|claims slot"):
            index.search(index.vectors, 50, seeds="plain", filter=allowed)
    with pytest.raises(kinfold.CorruptIndexError):
        list(index.iterate_rows())
    assert not kinfold.verify(copy).ok


def test_an_index_that_met_damage_still_answers_what_is_whole(copy):
    """Scratch is left clean: the next query of the same thread is not touched by it."""
    whole = kinfold.open(copy)
    expected = whole.search(whole.vectors, 5, k_q=1)
    file = live(copy) / layout.indices_file("default", 2)
    good = file.read_bytes()
    overwrite(file, NPY_HEADER + 40, np.array([127], "u1"))
    index = kinfold.open(copy)
    with pytest.raises(kinfold.CorruptIndexError):
        index.search(index.vectors, 5, seeds="plain")
    file.write_bytes(good)
    again = index.search(index.vectors, 5, k_q=1)
    np.testing.assert_array_equal(again.positions, expected.positions)
    np.testing.assert_array_equal(again.scores, expected.scores)


@pytest.mark.parametrize("position", [60, 2**32 - 1])
def test_a_position_outside_the_gallery_in_the_order_of_ids(copy, position):
    file = live(copy) / layout.IDS_ORDER
    overwrite(file, NPY_HEADER, np.full(60, position, "<u4"))
    index = kinfold.open(copy)
    with pytest.raises(kinfold.CorruptIndexError, match=f"below 60, found {position}"):
        index.position("item é0001")


def arrow_offsets(file, first, count, dtype):
    """Where an Arrow file keeps a column's offsets, found by their values."""
    content = file.read_bytes()
    wanted = (np.arange(count) * first).astype(dtype).tobytes()
    assert content.count(wanted) == 1
    return content.index(wanted)


@pytest.mark.parametrize("value", [-1, 2**40, -(2**60), 2**63 - 1])
def test_a_wrong_offset_of_an_id_is_told_and_not_followed(copy, value):
    file = live(copy) / layout.IDS
    bytes_an_id = len("item é0000".encode())
    place = arrow_offsets(file, bytes_an_id, 61, np.int64)
    overwrite(file, place + 8 * 31, np.array([value], "<i8"))
    index = kinfold.open(copy)
    for wrong in (30, 31):
        with pytest.raises(kinfold.CorruptIndexError, match="claims"):
            index.ids_of(np.array([wrong], dtype=np.uint32))
    with pytest.raises(kinfold.CorruptIndexError, match="claims"):
        index.position("item é0030")
    assert index.ids_of(np.array([29, 32], np.uint32)).tolist() == ["item é0029", "item é0032"]


def test_an_id_that_is_no_text_is_told(copy):
    file = live(copy) / layout.IDS
    content = file.read_bytes()
    flip(file, content.index("é0030".encode()), 0x20)
    index = kinfold.open(copy)
    with pytest.raises(kinfold.CorruptIndexError, match="UTF"):
        index.ids_of(np.array([30], dtype=np.uint32))
    with pytest.raises(kinfold.CorruptIndexError, match="utf-8"):
        index.position("item é0030")


@pytest.mark.parametrize("value", [-1, 2**31 - 1, -(2**31)])
def test_a_wrong_offset_in_the_payload_is_told_and_not_followed(copy, value):
    file = live(copy) / layout.PAYLOAD
    place = arrow_offsets(file, len("class 0"), 61, np.int32)
    overwrite(file, place + 4 * 31, np.array([value], "<i4"))
    index = kinfold.open(copy)
    with pytest.raises(kinfold.CorruptIndexError, match="claims"):
        index.payload(np.array([30]))
    assert index.payload(np.array([29, 32])) == [
        {"label": "class 2", "year": 29},
        {"label": "class 2", "year": 32},
    ]
