"""What the linearity benchmark measures is there to be measured."""

from __future__ import annotations

import pytest

from benchmarks import linearity


@pytest.mark.long
def test_a_model_in_a_process_of_its_own(tmp_path):
    path = linearity.write_lists(2000, tmp_path)
    found = linearity.in_process("conaff", path)
    assert found["wall"] > 0
    assert found["cpu"] > 0
    # Rows of 256 entries of eight bytes; without them, only the list that comes back.
    assert found["memory"] > 2000 * 256 * 8
    assert linearity.in_process("cosine", path)["memory"] < 2000 * 1000


def test_sizes_are_told_in_thousands():
    assert [linearity.short(rows) for rows in (500, 5000, 80_000)] == ["0.5k", "5k", "80k"]
