"""The ground truth of Revisited Oxford and Paris: reading it, and making sure it can be used."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

from kinfold.arrays import Int64s
from kinfold.errors import InputError
from kinfold.evaluate.ranking import check_disjoint, check_positions

LISTS = ("easy", "hard", "junk")
"""What a query's ground truth consists of, each a list of gallery positions."""
MAX_BYTES = 64 * 2**20
"""Default limit of `load_ground_truth`; the published files are under 1 MB."""


def check_entry(entry: Any, query: int) -> dict[str, Int64s]:
    """Check the lists of one query.

    Parameters
    ----------
    entry:
        A mapping with the keys in `LISTS`; other keys are ignored.
    query:
        Its number, for messages.

    Returns
    -------
    dict
        The three lists, each (r,) int64.

    Raises
    ------
    InputError
        If it is not a mapping, a key is missing, a list does not hold gallery positions, or
        two lists share one.
    """
    where = f"ground_truth[{query}]"
    if not isinstance(entry, Mapping):
        raise InputError(
            f"{where}: expected a mapping with the keys {', '.join(LISTS)}, "
            f"found {type(entry).__name__}; give one mapping a query"
        )
    missing = [key for key in LISTS if key not in entry]
    if missing:
        raise InputError(
            f"{where}: expected the keys {', '.join(LISTS)}, found no {', '.join(missing)}; "
            "give an empty list where there are no such images"
        )
    lists = {key: check_positions(entry[key], f"{where}[{key!r}]") for key in LISTS}
    for first, second in combinations(LISTS, 2):
        names = (f"{where}[{first!r}]", f"[{second!r}]")
        check_disjoint(lists[first], lists[second], names)
    return lists


def load_ground_truth(
    path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES
) -> list[dict[str, Int64s]]:
    """Read a ground-truth file in JSON.

    Parameters
    ----------
    path:
        A JSON object whose ``gnd`` is a list of objects with the keys ``easy``, ``hard`` and
        ``junk``; if it has ``imlist``, the gallery's names, positions must be below its length.
        Everything else is ignored.
    max_bytes:
        Larger files are refused before they are parsed.

    Returns
    -------
    list of dict
        For each query ``easy``, ``hard`` and ``junk``, each (r,) int64 gallery positions.

    Raises
    ------
    InputError
        If the file cannot be read, is too large, is not JSON, or does not have this shape.
    """
    content = _read_json(Path(path), max_bytes)
    queries = content.get("gnd") if isinstance(content, dict) else None
    if not isinstance(queries, list) or not queries:
        raise InputError(
            f"{path}: expected a JSON object whose 'gnd' is a list with one entry a query, "
            f"found {_outline(content)}; convert the published file to this shape"
        )
    images = content.get("imlist")
    if images is not None and not isinstance(images, list):
        raise InputError(
            f"{path}: expected 'imlist' to be a list of names, found {type(images).__name__}; "
            "leave it out if the names are not known"
        )
    try:
        entries = [check_entry(entry, query) for query, entry in enumerate(queries)]
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if images is not None:
        _check_known(entries, len(images), path)
    return entries


def _read_json(path: Path, max_bytes: int) -> Any:
    try:
        with path.open("rb") as file:
            raw = file.read(max_bytes + 1)
    except OSError as error:
        raise InputError(
            f"{path}: expected a readable ground-truth file, found: {error.strerror}; "
            "check the path"
        ) from error
    if len(raw) > max_bytes:
        raise InputError(
            f"{path}: expected at most {max_bytes} bytes, found more; "
            "if this is really a ground-truth file, raise max_bytes"
        )
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: expected JSON, found text that does not parse ({error}); "
            "check that this is the ground-truth file"
        ) from error


def _outline(content: Any) -> str:
    if not isinstance(content, dict):
        return f"a JSON {type(content).__name__}"
    if "gnd" not in content:
        return f"the keys {sorted(content)[:10]}"
    return "an empty 'gnd'" if content["gnd"] == [] else f"'gnd' as {type(content['gnd']).__name__}"


def _check_known(
    entries: list[dict[str, Int64s]], gallery_size: int, path: str | os.PathLike[str]
) -> None:
    for query, entry in enumerate(entries):
        for key, positions in entry.items():
            largest = int(positions.max(initial=-1))
            if largest >= gallery_size:
                raise InputError(
                    f"{path}: expected positions below {gallery_size}, the length of 'imlist', "
                    f"found {largest} in ground_truth[{query}][{key!r}]; "
                    "the file names images that it does not list"
                )
