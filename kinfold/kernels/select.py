"""Selection without sorting everything: the T largest of a list, and the cut that keeps a mass."""

from __future__ import annotations

from kinfold.arrays import Floats
from kinfold.kernels.jit import kernel, signed


@kernel()
def partition(values: Floats, low: int, high: int) -> tuple[int, int]:
    """Partition ``values[low:high + 1]`` in place, descending, around a median of three.

    Returns (right, left): everything up to `right` is >= the pivot, everything from `left` on is
    <= the pivot, and what lies between the two equals it.
    """
    a, b, c = values[low], values[(low + high) // 2], values[high]
    pivot = max(min(a, b), min(max(a, b), c))
    left, right = low, high
    while left <= right:
        while values[left] > pivot:
            left += 1
        while values[right] < pivot:
            right -= 1
        if left <= right:
            values[left], values[right] = values[right], values[left]
            left += 1
            right -= 1
    return right, left


@kernel()
def kth_largest(values: Floats, count: int, k: int) -> float:
    """The k-th largest of ``values[:count]`` (1 <= k <= count); `values` is reordered in place."""
    low, high = signed(0), signed(count) - 1
    target = signed(k) - 1
    while low < high:
        right, left = partition(values, low, high)
        if target <= right:
            high = right
        elif target >= left:
            low = left
        else:
            break
    return float(values[target])


@kernel()
def mass_cut(values: Floats, count: int, goal: float) -> tuple[float, int]:
    """Where the largest of ``values[:count]`` together first reach the sum `goal`.

    All values must be >= 0. Returns (cut, ties): keep every value above `cut`, and `ties` of those
    equal to it. When the whole list does not reach the goal, everything is kept.
    `values` is reordered in place.
    """
    low, high = signed(0), signed(count) - 1
    before = 0.0  # the sum of values[:low], all of them kept
    while low < high:
        right, left = partition(values, low, high)
        head = before
        for a in range(low, right + 1):
            head += values[a]
        if head >= goal:
            high = right
            continue
        for a in range(right + 1, left):
            head += values[a]
            if head >= goal:
                return values[a], a - right + _equal(values, 0, right, values[a])
        if left > high:
            low = high
            break
        before = head
        low = left
    if count == 0:
        return 0.0, 0
    return values[low], 1 + _equal(values, 0, low - 1, values[low])


@kernel()
def _equal(values: Floats, low: int, high: int, value: float) -> int:
    """How many of ``values[low:high + 1]`` equal `value`."""
    count = 0
    for a in range(low, high + 1):
        if values[a] == value:
            count += 1
    return count
