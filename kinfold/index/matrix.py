"""Writing the matrix C: rows as they are computed, turned into what is stored, block by block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kinfold.arrays import AnyArray, Int64s
from kinfold.blocks import Arrays, Block, BlockTask, Passes
from kinfold.config import ValueType
from kinfold.diffusion import DiffusionReport, LocalOrder, row_blocks, tasks
from kinfold.index import layout
from kinfold.index.writing import FileWriter
from kinfold.kernels.encode import encode_values, step_bytes, write_steps
from kinfold.neighbors import NeighborLists


@dataclass(frozen=True, slots=True)
class EncodedRows:
    """Rows of C as they are stored; those values that the encoding cannot tell from 0 left out.

    Reads what `task` reads. Gives, row by row: ``length`` and ``bytes`` int64 (values, and bytes
    of columns), ``largest`` and ``diagonal`` float32, ``iterations``, ``converged``; and flat
    ``columns`` uint8 and ``values`` uint8, float16 or float32.
    """

    task: BlockTask
    dtype: ValueType

    def __call__(self, arrays: Arrays, begin: int, end: int, threads: int) -> dict[str, AnyArray]:
        """See `BlockTask`."""
        rows = self.task(arrays, begin, end, threads)
        length, columns = rows["length"], rows["columns"]
        begins = _begins(length)
        largest = np.ones(length.size, dtype=np.float32)
        if self.dtype == "float8":
            values = np.empty(columns.size, dtype=np.uint8)
            kept, left = np.empty(columns.size, dtype=np.bool_), np.empty_like(length)
            single = rows["values"].astype(np.float32, copy=False)
            encode_values(length, begins, single, values, kept, largest, left)
        else:
            values = half_or_single(rows["values"], self.dtype)
            kept = values > 0
            left = np.add.reduceat(kept, begins, dtype=np.int64) if length.size else length
        columns, values = columns[kept], values[kept]
        begins = _begins(left)
        sizes = np.empty_like(left)
        step_bytes(left, begins, columns, sizes)
        steps = np.empty(int(sizes.sum()), dtype=np.uint8)
        write_steps(left, begins, columns, _begins(sizes), steps)
        return {
            "length": left,
            "bytes": sizes,
            "columns": steps,
            "values": values,
            "largest": largest,
            "diagonal": rows["diagonal"].astype(np.float32, copy=False),
            "iterations": rows["iterations"],
            "converged": rows["converged"],
        }


def half_or_single(values: AnyArray, dtype: ValueType) -> AnyArray:
    """Values as float16, scaled to its range, or as float32."""
    if dtype == "float32":
        return values.astype(np.float32)
    scaled: AnyArray = values * values.dtype.type(layout.VALUE_SCALE)
    return scaled.astype(np.float16)


def _begins(lengths: AnyArray) -> Int64s:
    """Where rows of such lengths begin."""
    return np.cumsum(lengths, dtype=np.int64) - lengths


@dataclass(frozen=True, slots=True)
class MatrixReport:
    """What there is to say of a matrix that was written.

    Attributes
    ----------
    blocks:
        First slot of every block.
    """

    blocks: list[int]
    diffusion: DiffusionReport


def write_matrix(
    writer: FileWriter,
    model: str,
    passes: Passes,
    task: EncodedRows,
    arrays: Arrays,
    order: LocalOrder,
    max_row: int,
    unit_diagonal: bool,
) -> MatrixReport:
    """Compute C and write it.

    A pass is run for each block of C, so that what is in hand is never more than one.
    """
    rows = order.order.size
    wholes = row_blocks(order.starts, max_row, layout.BLOCK_VALUES)
    parts = row_blocks(order.starts, max_row, int(tasks.BLOCK_VALUES * passes.share))
    kept: dict[str, list[AnyArray]] = {}
    for number, whole in enumerate(wholes):
        found = passes.run(f"rows-{number:05d}", task, arrays, _within(parts, whole), rows)
        writer.array(layout.indices_file(model, number), found["columns"])
        writer.array(layout.values_file(model, number), found["values"])
        for name in ("length", "bytes", "largest", "diagonal", "iterations", "converged"):
            kept.setdefault(name, []).append(np.asarray(found[name]))
    of_rows = {name: np.concatenate(values) for name, values in kept.items()}
    writer.array(layout.order_file(model), order.order)
    writer.array(layout.places_file(model), order.places)
    writer.array(layout.indptr_file(model), _ends(of_rows["length"]))
    writer.array(layout.starts_file(model), _ends(of_rows["bytes"]))
    scales = np.ones(rows, dtype=np.float32)
    if unit_diagonal:
        scales = 1 / np.sqrt(of_rows["diagonal"])
    writer.array(layout.scales_file(model), scales)
    if task.dtype == "float8":
        writer.array(layout.largest_file(model), of_rows["largest"])
    report = DiffusionReport.of(of_rows["length"], of_rows["iterations"], of_rows["converged"])
    return MatrixReport([whole[0] for whole in wholes], report)


def _ends(lengths: AnyArray) -> Int64s:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _within(parts: Sequence[Block], whole: Block) -> list[Block]:
    """Of parts one behind the other those that lie in a whole; cut where it ends."""
    begin, end = whole
    return [(max(a, begin), min(b, end)) for a, b in parts if a < end and b > begin]


def write_graph(writer: FileWriter, model: str, lists: NeighborLists) -> None:
    """Write what live changes need of the graph."""
    writer.array(layout.neighbors_file(model), lists.ids)
    writer.array(layout.similarities_file(model), lists.similarities)
