"""One version of a collection, open: what a request searches."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinfold.errors import InputError
from kinfold.search import Index, open_index
from kinfold.search.fusion import FUSIONS
from kinfold.search.index import KNN
from service.payload import Payload

_PROBE_K = 10
_WARMED: set[Hashable] = set()
"""Kinds of indexes whose kernels this process has compiled; there are few."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class OpenCollection:
    """One version of a collection, open.

    Its maps and descriptors are given back when nobody refers to it any more: the collection has
    gone on to another version, and the last request that took this one has ended.
    """

    name: str
    index: Index
    payload: Payload

    @property
    def version(self) -> str:
        """Name of the version."""
        return self.index.version.name


def open_collection(path: Path) -> OpenCollection:
    """Open the live version of a collection, or the version that `path` is; see `open_index`.

    The name is that of the collection's folder.
    """
    index = open_index(path)
    return OpenCollection(path.name, index, Payload(index.version, index.manifest))


def warm_up(index: Index) -> None:
    """Do everything once that a request may do, so that none waits for a kernel to compile.

    Of an index like one that was warmed up before, nothing is left to compile: a search by each
    model maps its pages, and takes less from the searches that run meanwhile.
    """
    probe = np.array(index.vectors[:1])
    k = min(_PROBE_K, len(index))
    kind = _kind(index)
    if kind in _WARMED:
        with suppress(InputError):
            for model in index.models:
                index.search(probe, k, model)
        return
    index.warm_up()
    first = index.ids_of(np.zeros(1, dtype=np.uint32)).tolist()[0]
    # An approximate engine that finds fewer than k is a matter of the request, not of the index.
    with suppress(InputError):
        for model in index.models:
            # One seed reaches little, so that filling up from kNN is done, too.
            index.search(probe, k, model, k_q=1)
            if model != KNN:
                index.explain(probe, first, model)
        for fusion in FUSIONS:
            index.search(probe, k, index.models, k_q=1, fusion=fusion)
        _WARMED.add(kind)


def _kind(index: Index) -> Hashable:
    """What decides which kernels an index needs."""
    manifest = index.manifest
    models = frozenset(
        (info.dtype, info.config.seeds, len(info.blocks) > 1) for info in manifest.models.values()
    )
    return manifest.engine, manifest.metric, manifest.ids, len(manifest.models) > 1, models
