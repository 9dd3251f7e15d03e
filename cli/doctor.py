"""`kinfold doctor`: is everything as the service needs it, and what to do where it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from cli.console import JsonOption, bars, out, print_json
from cli.doctor_finding import Finding, failed, ok
from cli.keys import DataFolder
from kinfold.errors import KinfoldError

_OURS = "a fault of this check, not of yours: please report it with this line"
_STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red"}


def doctor(
    data: DataFolder = None,
    full: Annotated[
        bool, typer.Option("--full", help="Re-hash every file of every collection; takes a while.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Check settings, disk, keys, Redis, collections and machine; exit code 1 when one failed.

    Reads the settings as the service does: from the environment (KINFOLD_…) or a .env file.

    **Examples**

    `kinfold doctor --data data`

    `kinfold doctor --full --json`
    """
    findings = list(_examine(data, full, quiet=json))
    is_well = not any(finding.status == "failed" for finding in findings)
    if json:
        print_json({"ok": is_well, "checks": [finding.to_json() for finding in findings]})
    else:
        _show(findings)
    if not is_well:
        raise typer.Exit(1)


def _examine(data: Path | None, full: bool, quiet: bool) -> Iterator[Finding]:
    from cli import doctor_collections, doctor_machine, doctor_redis, doctor_service
    from service.settings import load_settings

    yield from _guarded("libraries", doctor_machine.libraries)
    try:
        settings = load_settings(**({} if data is None else {"data": data}))
    except KinfoldError as error:
        yield failed("settings", str(error), "correct them; docs/settings.md lists all of them")
        return
    yield ok("settings", "can be used")
    for name, check in (
        ("security", doctor_service.security),
        ("data folder", doctor_service.data_folder),
        ("keys", doctor_service.keys),
        ("audit log", doctor_service.audit_log),
        ("redis", doctor_redis.redis),
        ("machine", doctor_machine.machine),
        ("clock", doctor_machine.clock),
        ("leftovers", doctor_collections.leftovers),
    ):
        yield from _guarded(name, lambda check=check: check(settings))  # type: ignore[misc]
    with bars(enabled=full and not quiet) as progress:
        yield from _guarded(
            "collections", lambda: doctor_collections.collections(settings, full, progress)
        )


def _guarded(name: str, check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """What a check finds; one that fails itself is a finding, never a traceback."""
    try:
        return list(check())
    except Exception as error:
        reason = str(error) or "no reason given"
        return [failed(name, f"could not be checked: {type(error).__name__}: {reason}", _OURS)]


def _show(findings: list[Finding]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("check", "", "found", "what to do"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        status = Text(finding.status, style=_STYLES[finding.status])
        table.add_row(finding.check, status, finding.found, finding.advice)
    out.print(table)
    counts = {status: sum(one.status == status for one in findings) for status in _STYLES}
    out.print(", ".join(f"{count} {status}" for status, count in counts.items()))
