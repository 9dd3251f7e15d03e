"""Passes in memory: results joined as they come, names kept apart."""

from __future__ import annotations

import numpy as np
import pytest

from kinfold.blocks import Growing, LocalRunner, MemoryPasses, Named, cut


def numbers(arrays, begin, end, threads):
    rows = arrays["rows"][begin:end]
    return {"flat": np.repeat(rows, rows), "wide": np.stack([rows, -rows], axis=1)}


@pytest.mark.parametrize("step", [1, 3, 100])
def test_results_of_blocks_are_one_behind_the_other(step):
    rows = np.arange(40)
    told = []
    passes = MemoryPasses(LocalRunner(1), told.append, "similarity")
    found = Named(Named(passes, "0-mean"), "1").run("rows", numbers, {"rows": rows}, cut(40, step))
    for name, expected in numbers({"rows": rows}, 0, 40, 1).items():
        np.testing.assert_array_equal(found[name], expected)
        assert found[name].dtype == expected.dtype
    assert told[-1].done == told[-1].total == 40
    assert {event.phase for event in told} == {"similarity"}


def test_what_was_given_is_not_written_to():
    first = np.arange(3)
    growing = Growing(first)
    assert growing.whole() is first
    growing.append(np.arange(2))
    np.testing.assert_array_equal(growing.whole(), [0, 1, 2, 0, 1])
    np.testing.assert_array_equal(first, [0, 1, 2])


def test_rounds_have_names_of_their_own():
    passes = Named(MemoryPasses(LocalRunner(1)), "a")
    assert passes.last_round("round") is None
    found = passes.next_round("round", 2, numbers, {"rows": np.arange(3)}, [(0, 3)])
    np.testing.assert_array_equal(found["flat"], [1, 2, 2])
