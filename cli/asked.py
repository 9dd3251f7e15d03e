"""What is asked of which index, in an evaluation: queries from outside, or items held out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cli.folders import is_folder, read_queries
from cli.hold_out import holding_out, labels_of_ids
from cli.measure import Scorer, by_camera, by_ground_truth, by_labels
from indexer import read_source
from indexer.sources import Columns, Source
from indexer.sources.names import LABEL
from kinfold.arrays import AnyArray
from kinfold.errors import InputError
from kinfold.evaluate import load_ground_truth
from kinfold.index.extras import Extras
from kinfold.progress import ProgressCallback
from kinfold.search import Index

Picture = Callable[[int], bytes | None]


def _no_picture(_row: int) -> bytes | None:
    return None


def _pictures(extras: Extras, rows: AnyArray | None = None) -> Picture:
    """The thumbnails of a source or an index, or of some of its rows."""
    found = extras.thumbnails
    if found is None:
        return _no_picture
    return lambda row: found.of(row if rows is None else int(rows[row]))


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of which index.

    Attributes
    ----------
    label:
        The column of labels of the queries, if there is one.
    gallery:
        (n,) labels of the items, where they are no column of the payload.
    protocol:
        The same in words.
    query_picture, item_picture:
        The small JPEG of a query and of an item, where there is one.
    """

    index: Index
    source: Source
    label: str | None
    gallery: AnyArray | None
    protocol: str
    query_picture: Picture = _no_picture
    item_picture: Picture = _no_picture

    def labels(self) -> AnyArray:
        """(n,) the label of every item."""
        if self.gallery is not None:
            return self.gallery
        return payload_labels(self.index, self.label or LABEL)


def ask(
    stack: ExitStack,
    index: Index,
    queries: str | None,
    columns: Columns,
    query_mask: str | None,
    label: str | None,
    label_from: str | None,
    hold_out: int | None,
    seed: int,
    progress: ProgressCallback,
) -> Asked:
    """Read the queries, or hold some items out."""
    if (queries is None) != (hold_out is not None):
        found = "both" if queries is not None else "neither"
        raise InputError(f"evaluate: expected queries, or --hold-out N without them, found {found}")
    if label is not None and label_from is not None:
        raise InputError("evaluate: expected --label or --label-from, found both")
    if queries is None:
        if hold_out is None or hold_out < 1:
            raise InputError(f"--hold-out: expected at least 1, found {hold_out}")
        if label is None and label_from is None:
            raise InputError(
                "--hold-out: expected --label COLUMN, or --label-from name or folder, found neither"
            )
        labels = (
            labels_of_ids(index, label_from) if label_from else payload_labels(index, label or "")
        )
        held = stack.enter_context(holding_out(index, labels, hold_out, seed, progress))
        protocol = (
            f"{len(held.queries):,} of {len(index):,} items held out, {hold_out} a label, and "
            f"asked of an index of the other {len(held.index):,}"
        )
        return Asked(
            held.index,
            held.queries,
            LABEL,
            None,
            protocol,
            _pictures(index.extras, np.flatnonzero(held.mask)),
            _pictures(index.extras, np.flatnonzero(~held.mask)),
        )
    gallery = None
    if is_folder(queries):
        gallery = None if label_from is None else labels_of_ids(index, label_from)
        source = read_queries(queries, index, label_from or "name", progress)
        label = label or LABEL
    elif label_from is not None:
        raise InputError("--label-from: says nothing about a file of vectors; use --label")
    else:
        source = read_source(queries, columns)
    if query_mask is not None:
        source = source.where(source.mask(query_mask))
    protocol = f"{len(source):,} queries of {Path(queries).name}"
    pictures = _pictures(source.extras), _pictures(index.extras)
    return Asked(index, source, label, gallery, protocol, *pictures)


def choose_protocol(asked: Asked, camera: str | None, ground_truth: Path | None) -> Scorer:
    """The protocol that the options ask for, with what it needs from queries and payload."""
    index, source, label = asked.index, asked.source, asked.label
    if ground_truth is not None:
        truth = load_ground_truth(ground_truth)
        if len(truth) != len(source):
            raise InputError(
                f"{ground_truth}: expected one entry a query, {len(source)}, found {len(truth)}"
            )
        return by_ground_truth(truth)
    if label is None:
        raise InputError("evaluate: expected --label COLUMN or --ground-truth FILE, found neither")
    labels = source.column(label)
    gallery = asked.labels()
    if camera is None:
        return by_labels(labels, gallery)
    return by_camera(labels, source.column(camera), gallery, payload_labels(index, camera))


def payload_labels(index: Index, name: str) -> AnyArray:
    """(n,) a column of the payload."""
    names = index.manifest.payload_columns
    if name not in names:
        raise InputError(
            f"the collection has no payload column {name!r}; it has: {', '.join(names) or 'none'}"
        )
    values = [row[name] for row in index.payload(np.arange(len(index)))]
    nested = next((value for value in values if isinstance(value, (list, dict))), None)
    if nested is not None:
        raise InputError(
            f"the collection's payload column {name!r}: expected single values, found {nested!r}"
        )
    return np.array(values)
