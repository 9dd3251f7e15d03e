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


def cut(rows: int, step: int) -> list[Block]:
    """Blocks of `step` rows, the last one shorter."""
    return [(begin, min(begin + step, rows)) for begin in range(0, rows, step)]
