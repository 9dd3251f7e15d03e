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
from .support import copied, files_of, live, rehash, rewrite_manifest

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


def row_of_block(path, block, longer_than=2):
    """(begin, end) inside a block's arrays, of some row that holds enough."""
    version = live(path)
    indptr = np.load(version / layout.indptr_file(MODEL))
    first = [0, 24, 48][block]
    for row in range(first + 1, first + 10):
        if indptr[row + 1] - indptr[row] > longer_than:
            return int(indptr[row] - indptr[first]), int(indptr[row + 1] - indptr[first])
    raise AssertionError("no row is long enough")


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


@pytest.mark.parametrize("block", [0, 1, 2])
def test_columns_out_of_order(copy, block):
    begin, _ = row_of_block(copy, block)

    def swap(columns):
        columns[[begin, begin + 1]] = columns[[begin + 1, begin]]

    change(copy, layout.indices_file(MODEL, block), swap)
    assert f"columns of block {block} are not ascending" in only_problem(copy)


@pytest.mark.parametrize("block", [0, 1, 2])
def test_a_column_twice_in_a_row(copy, block):
    _, end = row_of_block(copy, block)

    def repeat(columns):
        columns[end - 1] = columns[end - 2]

    change(copy, layout.indices_file(MODEL, block), repeat)
    assert f"columns of block {block} are not ascending" in only_problem(copy)


def test_falling_from_one_row_to_the_next_is_no_problem(copy):
    """A row begins with a smaller column than the one before ended with, almost always."""
    columns = np.load(live(copy) / layout.indices_file(MODEL, 0)).astype(np.int64)
    assert (np.diff(columns) < 0).any()
    assert kinfold.verify(copy).ok


@pytest.mark.parametrize("column", [ROWS, 2**31, 2**32 - 1])
@pytest.mark.parametrize("block", [0, 2])
def test_a_column_out_of_range(copy, block, column):
    _, end = row_of_block(copy, block)

    def stray(columns):
        columns[end - 1] = column

    change(copy, layout.indices_file(MODEL, block), stray)
    assert f"column {column} in a gallery of {ROWS}" in only_problem(copy)


@pytest.mark.parametrize("value", [0.0, -0.0, -1.0, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("block", [0, 1, 2])
def test_values_that_are_not_positive_and_finite(copy, block, value):
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


@pytest.mark.parametrize("row", [0, 24, 48, 60])
def test_a_blocks_edge_in_the_wrong_place(copy, row):
    def move(indptr):
        indptr[row] += 1

    change(copy, layout.indptr_file(MODEL), move)
    assert str(live(copy)) in only_problem(copy)


@pytest.mark.parametrize(
    "starts", [[0], [0, 24], [0, 24, 24], [0, 48, 24], [1, 24, 48], [0, 24, 60]]
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
    with pytest.raises(kinfold.CorruptIndexError, match="in a gallery of 5"):
        check_matrix(model, 5)
