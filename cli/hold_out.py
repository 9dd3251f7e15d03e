"""Measuring a collection without other queries: some of its items are held out of it.

What a query is asked of must not know it: so the index that is measured is built of the others,
with the parameters of the collection's models, in a folder that is gone afterwards.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from indexer.sources import Source
from indexer.sources.names import LABEL, labels_from
from kinfold.arrays import AnyArray, Bools
from kinfold.errors import InputError
from kinfold.pipeline import build
from kinfold.progress import ProgressCallback
from kinfold.search import Index


@dataclass(frozen=True, slots=True)
class Held:
    """A collection in two parts.

    Attributes
    ----------
    index:
        Of the items that stayed, with their labels as payload column ``label``.
    queries:
        Those that were held out, with theirs.
    mask:
        (n,) which these are.
    """

    index: Index
    queries: Source
    mask: Bools


@contextmanager
def holding_out(
    index: Index,
    labels: AnyArray,
    count: int,
    seed: int,
    progress: ProgressCallback,
) -> Iterator[Held]:
    """Hold out `count` items of every label, chosen at random, but never all of a label.

    Parameters
    ----------
    labels:
        (n,) one an item.

    Raises
    ------
    InputError
        No label has two items.
    """
    mask = choose(labels, count, seed)
    if not mask.any():
        raise InputError("--hold-out: expected a label with at least 2 items, found none")
    ids = index.ids_of(np.arange(len(index), dtype=np.uint32))
    kept = ~mask
    models = {
        name: index.manifest.models[name].config.model_copy(update={"auto": False})
        for name in index.models
        if name in index.manifest.models
    }
    folder = Path(tempfile.mkdtemp(prefix="kinfold-hold-out-"))
    try:
        part = build(
            np.asarray(index.vectors)[kept],
            folder / "gallery",
            ids[kept].tolist(),
            {LABEL: labels[kept]},
            progress=progress,
            models=models,
        )
        queries = Source(
            name="the items held out",
            vectors=np.asarray(index.vectors)[mask],
            ids=np.asarray(ids[mask].tolist()),
            columns=pa.table({LABEL: labels[mask]}),
        )
        yield Held(part, queries, mask)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def choose(labels: AnyArray, count: int, seed: int) -> Bools:
    """(n,) which items are held out."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(labels.size, dtype=np.bool_)
    _, codes = np.unique(labels, return_inverse=True)
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    for members in np.split(order, starts[1:]):
        mask[rng.permutation(members)[: min(count, members.size - 1)]] = True
    return mask


def labels_of_ids(index: Index, how: str) -> AnyArray:
    """(n,) labels from the ids of a collection, which are paths of files."""
    if index.manifest.ids != "string":
        raise InputError(
            "--label-from: the ids of this collection are numbers, not names of files; name a "
            "column of its payload with --label"
        )
    ids = index.ids_of(np.arange(len(index), dtype=np.uint32)).tolist()
    return np.array(labels_from(ids, how))
