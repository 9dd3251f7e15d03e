"""What a search may ask for beyond the k best: filter, offset, least similarity, groups."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from kinfold.errors import InputError
from kinfold.search.filters import Filter, read_filter, shown

FilterLike: TypeAlias = Filter | Mapping[str, Any]
"""A filter that was read, or its JSON form: see `kinfold.search.filters`."""

MOST_EXAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of the ranked items are the hits, checked; equal selections choose alike.

    Attributes
    ----------
    filter:
        None allows all items.
    offset:
        Hits that are passed over.
    min_similarity:
        Hits below it are left out; None leaves out none.
    group_by:
        A column of the payload, of each value of which at most `group_size` hits are given.
    """

    filter: Filter | None = None
    offset: int = 0
    min_similarity: float | None = None
    group_by: str | None = None
    group_size: int = 1

    @property
    def picks(self) -> bool:
        """Whether it leaves items out by what they are, besides the filter."""
        return self.min_similarity is not None or self.group_by is not None

    @classmethod
    def checked(
        cls,
        filter: FilterLike | None,
        offset: int,
        min_similarity: float | None,
        group_by: str | None,
        group_size: int,
    ) -> Selection:
        """The selection of a caller's values; raises `InputError`."""
        offset = _whole("offset", offset, 0)
        group_size = _whole("group_size", group_size, 1)
        if min_similarity is not None:
            number = isinstance(min_similarity, int | float | np.number)
            if isinstance(min_similarity, bool) or not number or not math.isfinite(min_similarity):
                raise InputError(
                    f"min_similarity: expected a finite number, found {shown(min_similarity)}"
                )
            min_similarity = float(min_similarity)
        if group_by is not None and not isinstance(group_by, str):
            raise InputError(f"group_by: expected the name of a column, found {shown(group_by)}")
        if group_by is None and group_size != 1:
            raise InputError(f"group_size = {group_size}: expected group_by with it, found none")
        read = None if filter is None else read_filter(filter)
        return cls(read, offset, min_similarity, group_by, group_size)


NO_SELECTION = Selection()


def _whole(name: str, value: object, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(
            f"{name}: expected a whole number of at least {least}, found {shown(value)}"
        )
    return int(value)
