"""Labels of any kind, integers or strings, as small integers that compare fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kinfold.arrays import Int64s
from kinfold.errors import InputError
from kinfold.evaluate.ranking import as_array, as_integers

_KINDS = {"i": "integers", "U": "strings", "S": "byte strings"}


@dataclass(frozen=True, slots=True, eq=False)
class LabelCodes:
    """Labels as codes: two items share a code exactly if they share a label.

    Attributes
    ----------
    query:
        (m,) int64 codes from 0.
    gallery:
        (n,) int64 codes from 0.
    totals:
        (m,) int64; how many gallery items share the label of each query.
    """

    query: Int64s
    gallery: Int64s
    totals: Int64s


def check_labels(labels: npt.ArrayLike, name: str, length: int | None = None) -> npt.NDArray[Any]:
    """Check a list of labels.

    Parameters
    ----------
    labels:
        (length,) integers, booleans (read as 0 and 1), strings or byte strings, not mixed.
    name:
        What the list is called in messages.
    length:
        The number of labels expected, one a query; None accepts every number but 0.

    Returns
    -------
    (length,) int64, str or bytes

    Raises
    ------
    InputError
        If the shape, the length or the type is wrong, or there are no labels.
    """
    array = as_array(labels, name)
    if array.ndim != 1 or array.size == 0 or (length is not None and array.size != length):
        expected = "one label a gallery item" if length is None else f"{length} labels, one a query"
        raise InputError(
            f"{name}: expected {expected}, found shape {array.shape}; "
            "give them in the order of the vectors"
        )
    if array.dtype.kind in "OT":
        values = array.tolist()
        if not all(isinstance(value, str) for value in values):
            raise InputError(
                f"{name}: expected integers or strings, found other or mixed types "
                f"(dtype {array.dtype}); convert all labels to one type"
            )
        return np.array(values, dtype=np.str_)
    if array.dtype.kind in "US":
        return array
    if array.dtype.kind == "b":
        return array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise InputError(
            f"{name}: expected integers or strings, found dtype {array.dtype}; "
            "convert the labels to one of these"
        )
    integers: Int64s = as_integers(array, name).astype(np.int64, copy=False)
    return integers


def encode_labels(query: npt.NDArray[Any], gallery: npt.NDArray[Any]) -> LabelCodes:
    """Number the labels of both sides together.

    Parameters
    ----------
    query, gallery:
        (m,) and (n,), as `check_labels` returns them. Not changed.

    Returns
    -------
    LabelCodes

    Raises
    ------
    InputError
        If one side has integers and the other strings, so that nothing could ever match.
    """
    if query.dtype.kind != gallery.dtype.kind:
        raise InputError(
            "labels: expected queries and gallery to have labels of one type, found "
            f"{_KINDS[query.dtype.kind]} for queries and {_KINDS[gallery.dtype.kind]} for the "
            "gallery; convert one side"
        )
    _, inverse = np.unique(np.concatenate([query, gallery]), return_inverse=True)
    codes = inverse.astype(np.int64, copy=False)
    query_codes, gallery_codes = codes[: len(query)], codes[len(query) :]
    counts = np.bincount(gallery_codes, minlength=int(codes.max()) + 1)
    return LabelCodes(query_codes, gallery_codes, counts[query_codes].astype(np.int64, copy=False))
