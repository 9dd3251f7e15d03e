"""Names for the arrays that go through the house."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.floating[Any]]
"""float32 or float64."""
Float32s: TypeAlias = npt.NDArray[np.float32]
Float64s: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.integer[Any]]
Int64s: TypeAlias = npt.NDArray[np.int64]
UInt8s: TypeAlias = npt.NDArray[np.uint8]
UInt32s: TypeAlias = npt.NDArray[np.uint32]
Bools: TypeAlias = npt.NDArray[np.bool_]
AnyArray: TypeAlias = npt.NDArray[Any]

NOTHING = np.uint32(0xFFFFFFFF)
"""Stands in an array of item positions where there is no item."""


def as_unsigned(numbers: Ints, width: int) -> AnyArray:
    """Whole numbers, none negative, as unsigned ones of `width` bytes; no copy where they are."""
    if numbers.dtype.itemsize == width:
        return numbers.view(f"u{width}")
    return numbers.astype(f"u{width}")


def frozen(array: AnyArray) -> AnyArray:
    """The same array, not to be written to.

    To a kernel an array that can be written and one that cannot are two types, compiled twice.
    What is only read is handed over frozen, whether it comes from memory or from a read-only map.
    """
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view
