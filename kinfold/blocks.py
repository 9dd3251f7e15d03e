"""Work cut into row blocks, each of which can be computed anywhere, again, and in any order.

A build is passes over the gallery. A pass is a `BlockTask` and the arrays that all of its blocks
read; what it gives for a block depends on nothing else, not even on the number of threads. So a
killed build loses the block that it was in and no more, memory is bounded by that of a block, and
another machine can compute any block and gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, TypeAlias

from kinfold.arrays import AnyArray
from kinfold.progress import Progress, ProgressCallback, silent

Arrays: TypeAlias = Mapping[str, AnyArray]
Block: TypeAlias = tuple[int, int]
"""The first row, and the row behind the last."""


class BlockTask(Protocol):
    """Computes rows of something. A module-level function, or a frozen dataclass of parameters.

    It must be possible to send it to another process by its name and parameters.
    """

    def __call__(self, arrays: Arrays, begin: int, end: int, threads: int) -> dict[str, AnyArray]:
        """What the rows `begin` to `end` come to.

        Parameters
        ----------
        arrays:
            What all blocks read, by name; possibly memory maps that cannot be written to.
        threads:
            How many may be used. No bit of the result depends on it.

        Returns
        -------
        Arrays by name, the same names for every block. Those of all blocks, one behind the other
        along the first axis, are the pass's result: a row a row, or rows of different lengths in
        one flat array beside an array of lengths.
        """
        ...


class BlockRunner(Protocol):
    """Computes blocks: here, or on other machines."""

    def run(
        self, task: BlockTask, arrays: Arrays, blocks: Sequence[Block]
    ) -> Iterator[dict[str, AnyArray]]:
        """The results of all blocks, in the order of `blocks`, as they are asked for."""
        ...


class LocalRunner:
    """Computes one block after the other in this process, with all its threads on each."""

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def run(
        self, task: BlockTask, arrays: Arrays, blocks: Sequence[Block]
    ) -> Iterator[dict[str, AnyArray]]:
        """See `BlockRunner.run`."""
        for begin, end in blocks:
            yield task(arrays, begin, end, self._threads)


def cut(rows: int, step: int, share: float = 1.0) -> list[Block]:
    """Blocks of `step` rows times `share`, the last one shorter."""
    step = max(1, int(step * share))
    return [(begin, min(begin + step, rows)) for begin in range(0, rows, step)]


class Passes(Protocol):
    """Runs passes and keeps their results: in memory, or on a disk where a later build finds them.

    Code that makes something in several passes is written straight on, from the first pass to the
    last, every time; a pass that is done already gives its result at once. So which passes follow
    may depend on results, but on nothing else.
    """

    @property
    def share(self) -> float:
        """How large blocks may be, in units of what they usually are: less in little memory."""
        ...

    def run(
        self,
        name: str,
        task: BlockTask,
        arrays: Arrays,
        blocks: Sequence[Block],
        rows: int | None = None,
    ) -> dict[str, AnyArray]:
        """All that a pass gives, its blocks one behind the other.

        Parameters
        ----------
        name:
            Unique in a stage; letters, digits and '-'.
        blocks:
            One behind the other.
        rows:
            How many there are in all, for progress, where the blocks are not all of them.

        Returns
        -------
        Arrays by name, possibly memory maps that cannot be written to.
        """
        ...

    def last_round(self, name: str) -> tuple[int, dict[str, AnyArray]] | None:
        """How far a pass that is repeated has come: (number of the round, its result)."""
        ...

    def next_round(
        self, name: str, number: int, task: BlockTask, arrays: Arrays, blocks: Sequence[Block]
    ) -> dict[str, AnyArray]:
        """As `run`, for round `number` (from 0) of a pass that is repeated until it is done.

        Only the last round's result is kept: that of the one before is dropped when this one is
        complete, and its arrays must not be used any more after the next.
        """
        ...


class MemoryPasses:
    """Keeps results in memory, where the caller does, and nothing after that."""

    share = 1.0

    def __init__(
        self, runner: BlockRunner, progress: ProgressCallback = silent, phase: str = "blocks"
    ) -> None:
        self._runner = runner
        self._progress = progress
        self._phase = phase

    def run(
        self,
        name: str,
        task: BlockTask,
        arrays: Arrays,
        blocks: Sequence[Block],
        rows: int | None = None,
    ) -> dict[str, AnyArray]:
        """See `Passes.run`."""
        total = blocks[-1][1] if rows is None else rows
        result: dict[str, Growing] = {}
        for (_, end), part in zip(blocks, self._runner.run(task, arrays, blocks), strict=True):
            for key, values in part.items():
                if key in result:
                    result[key].append(values)
                else:
                    result[key] = Growing(values)
            self._progress(Progress(self._phase, end, total))
        return {key: growing.whole() for key, growing in result.items()}

    def last_round(self, name: str) -> tuple[int, dict[str, AnyArray]] | None:
        """See `Passes.last_round`."""
        return None

    def next_round(
        self, name: str, number: int, task: BlockTask, arrays: Arrays, blocks: Sequence[Block]
    ) -> dict[str, AnyArray]:
        """See `Passes.next_round`."""
        return self.run(f"{name}-{number}", task, arrays, blocks)


class Named:
    """Passes with names of their own, so that two users of the same passes do not meet."""

    def __init__(self, passes: Passes, prefix: str) -> None:
        self._passes = passes
        self._prefix = prefix

    @property
    def share(self) -> float:
        """See `Passes.share`."""
        return self._passes.share

    def run(
        self,
        name: str,
        task: BlockTask,
        arrays: Arrays,
        blocks: Sequence[Block],
        rows: int | None = None,
    ) -> dict[str, AnyArray]:
        """See `Passes.run`."""
        return self._passes.run(f"{self._prefix}-{name}", task, arrays, blocks, rows)

    def last_round(self, name: str) -> tuple[int, dict[str, AnyArray]] | None:
        """See `Passes.last_round`."""
        return self._passes.last_round(f"{self._prefix}-{name}")

    def next_round(
        self, name: str, number: int, task: BlockTask, arrays: Arrays, blocks: Sequence[Block]
    ) -> dict[str, AnyArray]:
        """See `Passes.next_round`."""
        return self._passes.next_round(f"{self._prefix}-{name}", number, task, arrays, blocks)


class Growing:
    """Arrays one behind the other in memory, a large result never twice; a single one as it is."""

    def __init__(self, first: AnyArray) -> None:
        self._array = first
        self._size = len(first)
        self._own = False

    def append(self, part: AnyArray) -> None:
        """Put another behind those there are."""
        if not self._own:
            self._array, self._own = self._array.copy(), True
        size = self._size + len(part)
        if size > len(self._array):
            # The system extends a large array where it is, or moves it without copying.
            self._resize(max(size, len(self._array) * 33 // 32))
        self._array[self._size : size] = part
        self._size = size

    def whole(self) -> AnyArray:
        """All of them. Nothing can be appended after that."""
        if self._size < len(self._array):
            self._resize(self._size)
        return self._array

    def _resize(self, rows: int) -> None:
        self._array.resize((rows, *self._array.shape[1:]), refcheck=False)
