"""The bull's-eye score of the MPEG-7 shape benchmark."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kinfold.evaluate.label_codes import check_labels, encode_labels
from kinfold.evaluate.ranking import check_cutoffs, check_rankings


def bulls_eye(
    rankings: npt.ArrayLike,
    query_labels: npt.ArrayLike,
    gallery_labels: npt.ArrayLike,
    top: int = 40,
) -> float:
    r"""Share of all same-class items that stand among the best `top` (Latecki et al., CVPR 2000).

    .. math:: \frac{\sum_q \text{same-class items of q among its best } top}
                   {\sum_q \text{same-class items of q in the gallery}}

    MPEG-7 has 20 shapes a class, each a query against all 1,400 with itself included, and
    takes top = 40, twice the class size.

    Parameters
    ----------
    rankings:
        (m, k) integers; gallery positions, best first, -1 at the end of short rows. Items past
        the end of a row count as not found, so k < `top` gives a lower bound. Not changed.
    query_labels:
        (m,) integers or strings.
    gallery_labels:
        (n,) integers or strings, of the same type.
    top:
        How many ranks count, from 1.

    Returns
    -------
    float
        In [0, 1]; NaN if no query's label occurs in the gallery.

    Raises
    ------
    InputError
        If a shape, dtype, position or `top` is wrong, an item is ranked twice for one query,
        or the number of labels does not fit.
    """
    check_cutoffs([top], "top")
    gallery = check_labels(gallery_labels, "gallery_labels")
    checked = check_rankings(rankings, gallery_size=len(gallery))
    codes = encode_labels(check_labels(query_labels, "query_labels", len(checked)), gallery)
    possible = int(codes.totals.sum())
    if possible == 0:
        return float("nan")
    found = sum(
        int(np.count_nonzero(codes.gallery[checked.row(query)[:top]] == code))
        for query, code in enumerate(codes.query)
    )
    return found / possible
