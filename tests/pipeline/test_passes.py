"""Passes in files: as in memory, and after any end they go on from the last whole block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinfold.blocks import Arrays, Block, BlockTask, LocalRunner, MemoryPasses, cut
from kinfold.errors import StorageError
from kinfold.pipeline.passes import FilePasses
from kinfold.progress import Progress, silent

ROWS = 23


@dataclass(frozen=True)
class Doubled:
    """Rows of two kinds: one a row, and as many as the row's number in one flat array."""

    factor: int = 2

    def __call__(self, arrays: Arrays, begin: int, end: int, threads: int) -> dict:
        rows = np.arange(begin, end)
        return {
            "rows": arrays["x"][begin:end] * self.factor,
            "flat": np.repeat(rows, rows % 4).astype(np.uint32),
            "length": rows % 4,
            "flag": rows % 2 == 0,
        }


class EndedEarlyError(Exception):
    """The build ends early."""


class Runner(LocalRunner):
    """Counts blocks, and ends after some."""

    def __init__(self, most: int | None = None) -> None:
        super().__init__(1)
        self.most = most
        self.done: list[Block] = []

    def run(self, task: BlockTask, arrays: Arrays, blocks: Sequence[Block]) -> Iterator[dict]:
        for block in blocks:
            if self.most is not None and len(self.done) == self.most:
                raise EndedEarlyError
            self.done.append(block)
            yield task(arrays, *block, 1)


@pytest.fixture(autouse=True)
def everything_is_kept(monkeypatch):
    monkeypatch.setattr("kinfold.pipeline.passes.WORTH_SECONDS", 0.0)


@pytest.mark.parametrize("step", [ROWS, 4])
def test_a_quick_pass_is_not_written(tmp_path, x, monkeypatch, step):
    monkeypatch.setattr("kinfold.pipeline.passes.WORTH_SECONDS", 60.0)
    same(run(tmp_path, Runner(), x, step), whole(x))
    assert not (tmp_path / "stage").exists()


def test_a_pass_is_written_from_its_first_block_on_when_it_gets_long(tmp_path, x, monkeypatch):
    times = iter([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    monkeypatch.setattr("kinfold.pipeline.passes.time.perf_counter", lambda: next(times))
    monkeypatch.setattr("kinfold.pipeline.passes.WORTH_SECONDS", 3.0)
    with pytest.raises(EndedEarlyError):
        run(tmp_path, Runner(2), x)
    assert not (tmp_path / "stage").exists()
    times = iter([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    with pytest.raises(EndedEarlyError):
        run(tmp_path, Runner(4), x)
    again = Runner()
    same(run(tmp_path, again, x), whole(x))
    assert again.done[0][0] == 16


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(ROWS, 3)).astype("f4")


def passes(folder: Path, runner: Runner, told=silent) -> FilePasses:
    return FilePasses(folder / "stage", folder, runner, told, "testing")


def run(folder: Path, runner: Runner, x: np.ndarray, step: int = 4, told=silent) -> dict:
    return passes(folder, runner, told).run("a", Doubled(), {"x": x}, cut(ROWS, step))


def whole(x: np.ndarray) -> dict:
    return MemoryPasses(LocalRunner(1)).run("a", Doubled(), {"x": x}, cut(ROWS, 5))


def same(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)
        assert not found[name].flags.writeable


def test_it_gives_what_passes_in_memory_give(tmp_path, x):
    same(run(tmp_path, Runner(), x), whole(x))


def test_what_is_done_is_not_done_again(tmp_path, x):
    run(tmp_path, Runner(), x)
    again = Runner()
    same(run(tmp_path, again, x), whole(x))
    assert again.done == []


@pytest.mark.parametrize("most", range(7))
@pytest.mark.parametrize("step", [4, 3, 23])
def test_it_goes_on_after_the_last_whole_block(tmp_path, x, most, step):
    first = Runner(most if most < 6 else 5)
    with pytest.raises(EndedEarlyError):
        run(tmp_path, first, x)
    second = Runner()
    same(run(tmp_path, second, x, step), whole(x))
    done = first.done[-1][1] if first.done else 0
    assert second.done[0][0] == done
    assert second.done[-1][1] == ROWS


@pytest.mark.parametrize("name", ["rows.npy", "flat.npy", "length.npy", "flag.npy", "log"])
@pytest.mark.parametrize("damage", ["flipped", "truncated", "gone", "longer", "empty"])
def test_damaged_blocks_are_done_again(tmp_path, x, name, damage):
    with pytest.raises(EndedEarlyError):
        run(tmp_path, Runner(4), x)
    path = tmp_path / "stage" / "a" / name
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[-2] ^= 0xFF
    elif damage == "truncated":
        del content[-3:]
    elif damage == "longer":
        content += b"\x00\x01{]"
    elif damage == "empty":
        content.clear()
    path.write_bytes(bytes(content))
    if damage == "gone":
        path.unlink()
    again = Runner()
    same(run(tmp_path, again, x), whole(x))
    assert again.done[0][0] in {0, 4, 8, 12, 16}
    assert (again.done[0][0] == 16) == (damage == "longer")


@given(st.binary(max_size=400))
def test_a_log_of_anything_is_no_reason_to_fail(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("log")
    x = np.ones((ROWS, 3), "f4")
    with pytest.raises(EndedEarlyError):
        run(folder, Runner(2), x)
    (folder / "stage" / "a" / "log").write_bytes(content)
    same(run(folder, Runner(), x), whole(x))


@pytest.mark.parametrize("name", ["rows.npy", "done"])
def test_a_whole_pass_with_a_file_missing_is_done_again(tmp_path, x, name):
    run(tmp_path, Runner(), x)
    (tmp_path / "stage" / "a" / name).unlink()
    same(run(tmp_path, Runner(), x), whole(x))


def test_blocks_of_other_dtypes_are_not_mixed(tmp_path, x):
    with pytest.raises(EndedEarlyError):
        passes(tmp_path, Runner(2)).run("a", Doubled(), {"x": x.astype("f8")}, cut(ROWS, 4))
    log = tmp_path / "stage" / "a" / "log"
    first, second = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(first + second.replace(b"<f8", b"<f4"))
    found = passes(tmp_path, Runner()).run("a", Doubled(), {"x": x.astype("f8")}, cut(ROWS, 4))
    same(found, whole(x.astype("f8")))


def test_rounds_keep_the_last_one_only(tmp_path, x):
    made = passes(tmp_path, Runner())
    assert made.last_round("turn") is None
    first = made.next_round("turn", 0, Doubled(2), {"x": x}, cut(ROWS, 4))
    second = made.next_round("turn", 1, Doubled(3), {"x": x}, cut(ROWS, 4))
    np.testing.assert_array_equal(first["rows"], 2 * x)
    np.testing.assert_array_equal(second["rows"], 3 * x)
    with pytest.raises(EndedEarlyError):
        passes(tmp_path, Runner(3)).next_round("turn", 2, Doubled(4), {"x": x}, cut(ROWS, 4))
    known = passes(tmp_path, Runner()).last_round("turn")
    assert known is not None
    assert known[0] == 1
    np.testing.assert_array_equal(known[1]["rows"], 3 * x)
    last = Runner()
    third = passes(tmp_path, last).next_round("turn", 2, Doubled(4), {"x": x}, cut(ROWS, 4))
    np.testing.assert_array_equal(third["rows"], 4 * x)
    assert last.done[0][0] == 12
    assert [place.name for place in (tmp_path / "stage").iterdir()] == ["turn-round-2"]


def test_progress_counts_from_where_it_goes_on(tmp_path, x):
    events: list[Progress] = []
    with pytest.raises(EndedEarlyError):
        run(tmp_path, Runner(2), x, told=events.append)
    run(tmp_path, Runner(), x, told=events.append)
    assert [event.done for event in events] == [4, 8, 12, 16, 20, 23]
    assert {(event.phase, event.total) for event in events} == {("testing a", ROWS)}


@pytest.mark.parametrize("name", ["", "../a", "A", "a/b", ".a", "x" * 65])
def test_names_stay_in_the_folder(tmp_path, x, name):
    with pytest.raises(ValueError, match="small letters"):
        passes(tmp_path, Runner()).run(name, Doubled(), {"x": x}, cut(ROWS, 4))


def test_a_full_disk_is_a_clear_error_and_what_is_done_is_kept(tmp_path, x):
    import resource
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (330, before[1]))
        with pytest.raises(StorageError, match="no room left"):
            run(tmp_path, Runner(), x)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)
    again = Runner()
    same(run(tmp_path, again, x), whole(x))


def test_a_whole_pass_that_lost_data_with_the_machine_is_done_again(tmp_path, x):
    """Nothing is synced: the mark may be there, and pages of the data gone."""
    run(tmp_path, Runner(), x)
    path = tmp_path / "stage" / "a" / "rows.npy"
    content = bytearray(path.read_bytes())
    content[-40:] = bytes(40)
    path.write_bytes(bytes(content))
    again = Runner()
    same(run(tmp_path, again, x), whole(x))
    assert again.done[0][0] == 16
