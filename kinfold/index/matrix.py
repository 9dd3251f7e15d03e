"""Writing the rows of C as blocks, while they are computed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np

from kinfold.arrays import AnyArray, Floats, UInt32s
from kinfold.diffusion import RowBlock
from kinfold.index import layout
from kinfold.index.writing import FileWriter
from kinfold.neighbors import NeighborLists


def stored_values(
    columns: UInt32s, values: Floats, dtype: Literal["float16", "float32"]
) -> tuple[UInt32s, AnyArray, AnyArray]:
    """Values as they are stored; those that round to zero are left out.

    Returns (columns, values, kept): kept is the boolean mask over the input.
    """
    encoded = (
        (values * layout.VALUE_SCALE).astype(np.float16)
        if dtype == "float16"
        else values.astype(np.float32)
    )
    kept = encoded > 0
    return columns[kept], encoded[kept], kept


def write_matrix(
    writer: FileWriter,
    model: str,
    rows: int,
    blocks: Iterable[RowBlock],
    dtype: Literal["float16", "float32"],
    unit_diagonal: bool,
) -> tuple[list[int], int]:
    """Write C and its scales; returns (first row of every block, values stored)."""
    scales = np.ones(rows, dtype=np.float32)
    indptr = np.zeros(rows + 1, dtype=np.int64)
    first_rows: list[int] = []
    held: list[tuple[UInt32s, AnyArray]] = []
    held_values = 0
    next_row = 0

    def flush() -> None:
        nonlocal held, held_values
        number = len(first_rows) - 1
        columns = np.concatenate([part[0] for part in held])
        values = np.concatenate([part[1] for part in held])
        held, held_values = [], 0
        writer.array(layout.indices_file(model, number), columns)
        writer.array(layout.values_file(model, number), values)

    for block in blocks:
        if not held:
            first_rows.append(block.first_row)
        columns, values, kept = stored_values(block.columns, block.values, dtype)
        counted = np.concatenate(([0], np.cumsum(kept)))[block.indptr]
        next_row = block.first_row + block.indptr.size - 1
        indptr[block.first_row + 1 : next_row + 1] = indptr[block.first_row] + counted[1:]
        if unit_diagonal:
            scales[block.first_row : next_row] = 1 / np.sqrt(block.diagonal)
        held.append((columns, values))
        held_values += columns.size
        if held_values >= layout.BLOCK_VALUES:
            flush()
    if held:
        flush()
    if next_row != rows:
        raise ValueError(f"the blocks end at row {next_row}, expected {rows}")
    writer.array(layout.indptr_file(model), indptr)
    writer.array(layout.scales_file(model), scales)
    return first_rows, int(indptr[-1])


def write_graph(writer: FileWriter, model: str, lists: NeighborLists) -> None:
    """Write what live changes need of the graph."""
    writer.array(layout.neighbors_file(model), lists.ids)
    writer.array(layout.similarities_file(model), lists.similarities)
