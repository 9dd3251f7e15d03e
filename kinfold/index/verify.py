"""Reading everything back: hashes of all files, and the matrix C's inner rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kinfold.arrays import NOTHING, Floats
from kinfold.errors import CorruptIndexError, KinfoldError
from kinfold.index import layout
from kinfold.index.files import hash_file, map_npy
from kinfold.index.manifest import MANIFEST, read_manifest
from kinfold.index.publish import live_version
from kinfold.index.reader import StoredModel, open_stored
from kinfold.kernels.encode import sound_rows
from kinfold.progress import Progress, ProgressCallback, silent


@dataclass(slots=True)
class VerifyReport:
    """What `verify` found.

    Attributes
    ----------
    files, bytes:
        How much was read.
    problems:
        One line for each file or rule that does not hold; empty when all is well.
    """

    version: str
    files: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.problems


def verify(path: str | Path, progress: ProgressCallback = silent) -> VerifyReport:
    """Hash every file of the live version and check C's structure.

    A manifest that cannot be read at all raises; every other problem is collected.
    """
    version = live_version(Path(path))
    manifest = read_manifest(version)
    report = VerifyReport(version=version.name)
    total = sum(info.bytes for info in manifest.files.values())
    for name, info in manifest.files.items():
        report.files += 1
        try:
            size = (version / name).stat().st_size
            found = hash_file(version / name)
        except OSError as error:
            report.problems.append(f"{version / name}: cannot be read: {error.strerror}")
            continue
        report.bytes += size
        if size != info.bytes:
            report.problems.append(
                f"{version / name}: corrupt: expected {info.bytes} bytes, found {size}"
            )
        elif found != info.sha256:
            report.problems.append(
                f"{version / name}: corrupt: expected sha256 {info.sha256}, found {found}"
            )
        progress(Progress("verify", report.bytes, total, "bytes"))
    known = {*manifest.files, MANIFEST}
    strangers = {str(p.relative_to(version)) for p in version.rglob("*") if p.is_file()} - known
    report.problems += [
        f"{version / name}: not named by the manifest" for name in sorted(strangers)
    ]
    if report.ok:
        try:
            check_structure(version, manifest.rows)
        except KinfoldError as error:
            report.problems.append(str(error))
    return report


def check_structure(version: Path, rows: int) -> None:
    """What hashes do not say: that the files of a version, as they are, make an index."""
    width = check_positions(version / layout.NEIGHBORS, rows)
    map_npy(version / layout.SIMILARITIES, "<f4", (rows, width))
    for model in open_stored(version).models.values():
        check_matrix(model, rows)
        check_neighbors(version, model.name, rows)


def check_matrix(model: StoredModel, rows: int) -> None:
    """Columns inside the gallery and ascending in each row, values positive and finite."""
    for what, numbers in (("scales", model.scales), ("largest values", model.largest)):
        if numbers is not None and not (np.isfinite(numbers) & (numbers > 0)).all():
            raise CorruptIndexError(
                f"model {model.name!r}: corrupt: its {what} hold some that are not positive"
            )
    slots = np.arange(rows, dtype=np.uint32)
    if model.order.max() >= rows or not np.array_equal(model.places[model.order], slots):
        raise CorruptIndexError(
            f"model {model.name!r}: corrupt: its order and its places do not belong together"
        )
    lengths = np.diff(model.indptr)
    if (lengths < 1).any():
        row = int(np.argmin(lengths))
        raise CorruptIndexError(f"model {model.name!r}: corrupt: row {row} of C holds no value")
    if (np.diff(model.starts) < lengths).any():
        row = int(np.argmax(np.diff(model.starts) < lengths))
        raise CorruptIndexError(
            f"model {model.name!r}: corrupt: row {row} of C has fewer columns than values"
        )
    for number, columns in enumerate(model.columns):
        first = model.first_rows[number]
        last = model.first_rows[number + 1] if number + 1 < len(model.first_rows) else rows
        found = int(sound_rows(model.indptr, model.starts, columns, first, last, rows))
        if found < last:
            raise CorruptIndexError(
                f"model {model.name!r}: corrupt: the columns of row {found} are not ascending, or "
                f"lead out of a gallery of {rows}"
            )
        raw = model.values[number]
        if raw.dtype == np.uint8:
            continue  # every code is a positive number
        values: Floats = raw.view(np.float16) if raw.dtype == np.uint16 else raw
        if not (np.isfinite(values) & (values > 0)).all():
            raise CorruptIndexError(
                f"model {model.name!r}: corrupt: block {number} holds values that are not positive"
            )


def check_neighbors(version: Path, model: str, rows: int) -> None:
    """One list of neighbours an item, inside the gallery, with a similarity each."""
    width = check_positions(version / layout.neighbors_file(model), rows)
    map_npy(version / layout.similarities_file(model), "<f4", (rows, width))


def check_positions(path: Path, rows: int) -> int:
    """Lists of neighbours inside the gallery, one an item; returns how long they are."""
    neighbors = map_npy(path, "<u4", (rows, None))
    outside = neighbors[(neighbors >= rows) & (neighbors != NOTHING)]
    if outside.size:
        raise CorruptIndexError(f"{path}: corrupt: neighbour {outside[0]} in a gallery of {rows}")
    return int(neighbors.shape[1])
