"""verify beyond hashes: the inner rules of C, in files that a manifest vouches for."""

from __future__ import annotations

import json

import numpy as np
import pytest

import kinfold
from kinfold import Progress
from kinfold.index import layout
from kinfold.index.manifest import MANIFEST
from kinfold.index.reader import open_stored
from kinfold.index.verify import check_matrix

from .conftest import ROWS
from .support import BLOCKS, copied, files_of, live, rehash, rewrite_manifest

MODEL = "default"


@pytest.fixture
def copy(full, tmp_path):
    copied(full, tmp_path / "c")
    return tmp_path / "c"


def change(path, name, edit):
    """Edit an array in place and let the manifest agree."""
    array = np.lib.format.open_memmap(live(path) / name, mode="r+")
    edit(array)
    array.flush()
    del array
    rehash(path)


def only_problem(path):
    """What verify says; that every hash holds is part of it."""
    report = kinfold.verify(path)
    assert len(report.problems) == 1, report.problems
    assert not report.ok
    assert "sha256" not in report.problems[0]
    assert "corrupt: " in report.problems[0]
    return report.problems[0]


def bytes_of_row(path, block, longer_than=2):
    """(row, begin, end): some row that holds enough, and where its columns stand in the block.

    In a gallery of sixty every column takes one byte.
    """
    starts = np.load(live(path) / layout.starts_file(MODEL))
    first = BLOCKS[block]
    for row in range(first + 1, first + 10):
        if starts[row + 1] - starts[row] > longer_than:
            return row, int(starts[row] - starts[first]), int(starts[row + 1] - starts[first])
    raise AssertionError("no row is long enough")


def splice(path, block, place, content):
    """Put other bytes in the place of one of a block's, and let everything around agree."""
    version = live(path)
    name = layout.indices_file(MODEL, block)
    steps = np.load(version / name)
    spliced = np.concatenate([steps[:place], np.array(content, dtype=np.uint8), steps[place + 1 :]])
    np.save(version / name, spliced)
    starts = np.load(version / layout.starts_file(MODEL))
    starts[starts > starts[BLOCKS[block]] + place] += len(content) - 1
    np.save(version / layout.starts_file(MODEL), starts)
    rehash(path)


def test_all_is_well(copy):
    rehash(copy)
    assert kinfold.verify(copy).problems == []


def test_the_report_counts_what_was_read(copy):
    events: list[Progress] = []
    report = kinfold.verify(copy, events.append)
    version = live(copy)
    total = sum((version / name).stat().st_size for name in files_of(version))
    assert (report.version, report.files) == (version.name, len(files_of(version)))
    assert report.bytes == total
    assert [event.done for event in events] == sorted(event.done for event in events)
    assert {(event.phase, event.total, event.unit) for event in events} == {
        ("verify", total, "bytes")
    }
    assert events[-1].done == total


BACK_BY_ONE = [0xFF, 0xFF, 0xFF, 0xFF, 0x0F]


@pytest.mark.parametrize("block", [0, 1, 3])
def test_columns_out_of_order(copy, block):
    """A step that leads back, by going all the way round."""
    row, _, end = bytes_of_row(copy, block)
    splice(copy, block, end - 1, BACK_BY_ONE)
    assert f"columns of row {row} are not ascending" in only_problem(copy)


@pytest.mark.parametrize("block", [0, 1, 3])
def test_a_column_twice_in_a_row(copy, block):
    row, _, end = bytes_of_row(copy, block)

    def repeat(steps):
        steps[end - 1] = 0

    change(copy, layout.indices_file(MODEL, block), repeat)
    assert f"columns of row {row} are not ascending" in only_problem(copy)


def test_falling_from_one_row_to_the_next_is_no_problem(copy):
    """A row begins with a smaller column than the one before ended with, almost always."""
    rows = [model_row.max() for model_row, _ in kinfold.open(copy).iterate_rows()]
    firsts = [model_row.min() for model_row, _ in kinfold.open(copy).iterate_rows()]
    assert any(first < last for first, last in zip(firsts[1:], rows[:-1], strict=True))
    assert kinfold.verify(copy).ok


@pytest.mark.parametrize(
    "content", [[127], [0x80, 0x80, 0x80, 0x80, 0x08], [0xFF, 0xFF, 0xFF, 0xFF, 0x0F]]
)
@pytest.mark.parametrize("block", [0, 3])
def test_a_column_out_of_range(copy, block, content):
    row, _, end = bytes_of_row(copy, block)
    splice(copy, block, end - 1, content)
    expected = f"columns of row {row} are not ascending, or lead out of a gallery of {ROWS}"
    assert expected in only_problem(copy)


@pytest.mark.parametrize("more", [[0x00], [0x80, 0x00]])
def test_a_column_in_more_bytes_than_it_needs(copy, more):
    """The same number, written longer: every matrix has one way to be written."""
    row, begin, _ = bytes_of_row(copy, 1)
    step = int(np.load(live(copy) / layout.indices_file(MODEL, 1))[begin])
    splice(copy, 1, begin, [step | 0x80, *more])
    assert f"columns of row {row}" in only_problem(copy)


def test_a_column_that_does_not_end(copy):
    row, _, end = bytes_of_row(copy, 2)

    def go_on(steps):
        steps[end - 1] |= 0x80

    change(copy, layout.indices_file(MODEL, 2), go_on)
    assert f"columns of row {row}" in only_problem(copy)


def test_more_columns_than_values(copy):
    row, _, _ = bytes_of_row(copy, 1)

    def shorter(indptr):
        indptr[row + 1] -= 1

    change(copy, layout.indptr_file(MODEL), shorter)
    # The next row has one more value than columns, which is found first.
    assert f"row {row + 1} of C has fewer columns than values" in only_problem(copy)


def test_fewer_bytes_than_values(copy):
    row, _, _ = bytes_of_row(copy, 1)

    def earlier(starts):
        starts[row + 1] -= 1

    change(copy, layout.starts_file(MODEL), earlier)
    assert f"row {row} of C has fewer columns than values" in only_problem(copy)


@pytest.mark.parametrize("name", [layout.order_file(MODEL), layout.places_file(MODEL)])
@pytest.mark.parametrize("value", ["twice", ROWS, 2**32 - 1])
def test_an_order_that_is_none(copy, name, value):
    def spoil(numbers):
        numbers[5] = numbers[6] if value == "twice" else value

    change(copy, name, spoil)
    assert "its order and its places do not belong together" in only_problem(copy)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
@pytest.mark.parametrize("what", ["scales", "largest"])
def test_factors_that_are_not_positive_and_finite(copy, what, value):
    def spoil(numbers):
        numbers[-1] = value

    file = layout.scales_file if what == "scales" else layout.largest_file
    change(copy, file(MODEL), spoil)
    assert f"its {what}" in only_problem(copy)


@pytest.mark.parametrize("value", [0.0, -0.0, -1.0, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("block", [0, 1, 3])
def test_values_that_are_not_positive_and_finite(half, tmp_path, block, value):
    copy = tmp_path / "c"
    copied(half, copy)

    def spoil(values):
        values[-1] = value

    change(copy, layout.values_file(MODEL, block), spoil)
    assert f"block {block} holds values that are not positive" in only_problem(copy)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_single_precision_values_are_checked_too(tmp_path, value):
    config = kinfold.BuildConfig(k_d=5, dtype="float32")
    kinfold.build(np.random.default_rng(0).normal(size=(30, 4)), tmp_path, config=config)

    def spoil(values):
        values[3] = value

    change(tmp_path, layout.values_file(MODEL, 0), spoil)
    assert "not positive" in only_problem(tmp_path)


@pytest.mark.parametrize("row", [0, 10, 30, 58])
def test_an_empty_row(copy, row):
    def empty(indptr):
        indptr[row + 1] = indptr[row]

    change(copy, layout.indptr_file(MODEL), empty)
    assert f"row {row} of C holds no value" in only_problem(copy)


def test_rows_that_run_backwards(copy):
    def turn(indptr):
        indptr[12] = indptr[14]

    change(copy, layout.indptr_file(MODEL), turn)
    assert "row 12 of C" in only_problem(copy)


@pytest.mark.parametrize("name", [layout.indptr_file(MODEL), layout.starts_file(MODEL)])
@pytest.mark.parametrize("row", [*BLOCKS, 60])
def test_a_blocks_edge_in_the_wrong_place(copy, row, name):
    def move(pointers):
        pointers[row] += 1

    change(copy, name, move)
    assert str(live(copy)) in only_problem(copy)


@pytest.mark.parametrize(
    "starts",
    [[0], [0, 16], [0, 16, 16, 48], [0, 32, 16, 48], [1, 16, 32, 48], [0, 16, 32, 60]],
)
def test_blocks_that_do_not_fit_the_rows(copy, starts):
    models = json.loads((live(copy) / MANIFEST).read_text())["models"]
    models[MODEL]["blocks"] = starts
    rewrite_manifest(copy, models=models)
    assert str(live(copy)) in only_problem(copy)
    with pytest.raises(kinfold.CorruptIndexError):
        kinfold.open(copy)


@pytest.mark.parametrize("neighbor", [ROWS, 2**32 - 2])
def test_a_neighbour_out_of_range(copy, neighbor):
    def stray(neighbors):
        neighbors[7, 2] = neighbor

    change(copy, layout.neighbors_file(MODEL), stray)
    assert f"neighbour {neighbor} in a gallery of {ROWS}" in only_problem(copy)


def test_a_neighbour_that_was_not_found_is_no_problem(copy):
    """An approximate search fills up with the largest number there is."""

    def fill(neighbors):
        neighbors[7, -1] = 2**32 - 1

    change(copy, layout.neighbors_file(MODEL), fill)
    assert kinfold.verify(copy).ok


@pytest.mark.parametrize("name", [layout.neighbors_file(MODEL), layout.similarities_file(MODEL)])
def test_neighbour_lists_of_another_shape(copy, name):
    array = np.load(live(copy) / name)
    np.save(live(copy) / name, np.ascontiguousarray(array[:, :-1] if "sim" in name else array[:-1]))
    rehash(copy)
    assert "of shape" in only_problem(copy)


def test_check_matrix_raises_what_verify_collects(copy):
    model = open_stored(live(copy)).models[MODEL]
    check_matrix(model, ROWS)
    with pytest.raises(kinfold.CorruptIndexError, match="do not belong together"):
        check_matrix(model, 5)
