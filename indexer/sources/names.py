"""What names of files say: that they are pictures, and of what; no picture is looked at here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kinfold.errors import InputError

LABEL = "label"
"""The column that labels from names are kept in."""
_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_NUMBERED = re.compile(r"(.*?)[ _.-]*\d*", re.DOTALL)
_MOST_PATTERN = 200


def is_picture(name: str) -> bool:
    """Whether a file may be a picture, by its ending; which kind it is of, its content says."""
    return name.lower().endswith(_ENDINGS)


def labels_from(paths: Sequence[str], how: str) -> list[str]:
    """One label a path.

    Parameters
    ----------
    paths:
        Relative, with ``/``.
    how:
        ``name``: the file's name without its ending and its number, lower case: ``bone`` of
        ``Bone-12.png``. ``folder``: the folder that the file lies in. Anything else is a regular
        expression with one group, found in the path.

    Raises
    ------
    InputError
        An expression that is none, or has no group, or is not found in a path.
    """
    if how == "name":
        return [_without_number(path) for path in paths]
    if how == "folder":
        return [path.rpartition("/")[0].rpartition("/")[2] for path in paths]
    pattern = _pattern(how)
    labels = []
    for path in paths:
        match = pattern.search(path)
        if match is None or match[1] is None:
            raise InputError(
                f"label-from: the expression {how!r} is not found in {path!r}; expected name, "
                "folder, or an expression that fits every path"
            )
        labels.append(match[1])
    return labels


def _without_number(path: str) -> str:
    stem = path.rpartition("/")[2]
    stem = stem.rpartition(".")[0] or stem
    match = _NUMBERED.fullmatch(stem)
    name = match[1] if match else stem
    return (name or stem).lower()


def _pattern(text: str) -> re.Pattern[str]:
    if len(text) > _MOST_PATTERN:
        raise InputError(f"label-from: expected at most {_MOST_PATTERN} characters")
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise InputError(
            f"label-from: expected name, folder or a regular expression, found {text!r}: {error}"
        ) from None
    if pattern.groups != 1:
        raise InputError(
            f"label-from: expected an expression with one group, as in '/([a-z]+)-', found "
            f"{pattern.groups} in {text!r}"
        )
    return pattern
