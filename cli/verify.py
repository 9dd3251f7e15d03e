"""`kinfold verify`: read everything back and compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import kinfold
from cli.console import JsonOption, bars, err, out, print_json
from indexer.estimate import readable
from kinfold.errors import CorruptIndexError
from kinfold.index import VerifyReport


def verify(
    path: Annotated[
        Path, typer.Argument(help="A collection's folder (DATA/NAME), or one of its versions.")
    ],
    json: JsonOption = False,
) -> None:
    """Re-hash every file of an index and check the matrix inside; exit code 1 when it is damaged.

    **Example**

    `kinfold verify data/photos`
    """
    with bars(enabled=not json) as progress:
        try:
            report = kinfold.verify(path, progress)
        except CorruptIndexError as error:
            report = VerifyReport(version=path.name, problems=[str(error)])
    if json:
        print_json(
            {
                "version": report.version,
                "ok": report.ok,
                "files": report.files,
                "bytes": report.bytes,
                "problems": report.problems,
            }
        )
    elif report.ok:
        out.print(f"{report.version}: {report.files} files, {readable(report.bytes)}: all as built")
    else:
        for problem in report.problems:
            err.print(problem, style="red")
        err.print(f"{len(report.problems)} problems; build the collection again or restore it")
    if not report.ok:
        raise typer.Exit(1)
