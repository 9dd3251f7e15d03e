"""What a Ray worker does: one block."""

from __future__ import annotations

from typing import Any

from indexer.cluster.environment import check_code
from indexer.cluster.sharing import MappedFile
from kinfold.arrays import AnyArray
from kinfold.blocks import Block, BlockTask
from kinfold.threads import limited_threads


def compute(
    task: BlockTask, block: Block, threads: int, code: str, names: tuple[str, ...], *values: Any
) -> dict[str, AnyArray]:
    """Rows of a pass.

    Parameters
    ----------
    code:
        The hash of the driver's code: a machine that joined the cluster later was never asked.
    names, values:
        The arrays; Ray has put them in place of their references.
    """
    check_code(code)
    arrays = {
        name: value.opened() if isinstance(value, MappedFile) else value
        for name, value in zip(names, values, strict=True)
    }
    with limited_threads(threads) as count:
        return task(arrays, *block, count)
