"""`kinfold keys`: make, list, revoke and rotate API keys."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from cli.console import JsonOption, err, out, print_json

app = typer.Typer(
    no_args_is_help=True,
    help="""Make, list, revoke and rotate API keys.

    **Example**

    `kinfold keys create --scope read --data data`""",
)

DataFolder = Annotated[
    Path | None,
    typer.Option("--data", help="The data folder. Default: KINFOLD_DATA, else data."),
]
KeysOption = Annotated[
    Path | None,
    typer.Option(
        "--keys-file", help="The file of keys. Default: KINFOLD_KEYS, else .keys.json in the data."
    ),
]
IdArgument = Annotated[str, typer.Argument(help="The key's id, as `kinfold keys list` shows it.")]


@app.command()
def create(
    scope: Annotated[
        Literal["read", "write", "admin"],
        typer.Option("--scope", help="read: search; write: build, activate; admin: everything."),
    ],
    name: Annotated[str, typer.Option("--name", help="For whom or what it is.")] = "",
    expires_days: Annotated[
        float | None, typer.Option("--expires-days", help="Days it is good for. Default: for ever.")
    ] = None,
    rate_limit: Annotated[
        str,
        typer.Option(
            "--rate-limit", help='As "600/minute". Default: KINFOLD_RATE_LIMIT of the service.'
        ),
    ] = "",
    data: DataFolder = None,
    keys_file: KeysOption = None,
    json: JsonOption = False,
) -> None:
    """Make a key and show its token, this once: only a hash of it is kept.

    **Example**

    `kinfold keys create --scope read --name "the shop's web server" --data data`
    """
    from service.security.store import create_key

    path = _path(data, keys_file)
    key, token = create_key(
        path, scope, name=name, expires_days=expires_days, rate_limit=rate_limit
    )
    _show_token(key, str(token), path, json)


@app.command(name="list")
def list_keys(
    data: DataFolder = None, keys_file: KeysOption = None, json: JsonOption = False
) -> None:
    """List the keys, revoked and expired ones included; never a secret.

    **Example**

    `kinfold keys list --data data`
    """
    from service.security.keys import now, read_keys

    path = _path(data, keys_file)
    keys = read_keys(path).keys
    if json:
        print_json({"file": str(path), "keys": [_described(key) for key in keys]})
        return
    if not keys:
        out.print(f"no keys in {path}; make one with: kinfold keys create --scope read|write|admin")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("id", "name", "scope", "state", "created", "expires", "rate limit"):
        table.add_column(column)
    for key in keys:
        state: str = key.state(now())
        if state == "valid" and key.former is not None and key.former.expires > now():
            state = f"valid; the secret before it until {_time(key.former.expires)}"
        expires = "never" if key.expires is None else _time(key.expires)
        table.add_row(
            key.id, key.name, key.scope, state, _time(key.created), expires, key.rate_limit or "–"
        )
    out.print(table)


@app.command()
def revoke(
    key_id: IdArgument,
    data: DataFolder = None,
    keys_file: KeysOption = None,
    json: JsonOption = False,
) -> None:
    """Make a key worthless, within a second and for good.

    **Example**

    `kinfold keys revoke 7hq2mzk4wd --data data`
    """
    from service.security.store import revoke_key

    key = revoke_key(_path(data, keys_file), key_id)
    if json:
        print_json(_described(key))
    else:
        out.print(f"revoked {key.id}")


@app.command()
def rotate(
    key_id: IdArgument,
    overlap_hours: Annotated[
        float,
        typer.Option("--overlap-hours", help="How long the old secret is good beside the new one."),
    ] = 24.0,
    data: DataFolder = None,
    keys_file: KeysOption = None,
    json: JsonOption = False,
) -> None:
    """Give a key a new secret and show it, this once; the old one is good for the overlap yet.

    **Example**

    `kinfold keys rotate 7hq2mzk4wd --overlap-hours 2 --data data`
    """
    from service.security.store import rotate_key

    path = _path(data, keys_file)
    key, token = rotate_key(path, key_id, overlap_hours)
    _show_token(key, str(token), path, json)


def _path(data: Path | None, keys_file: Path | None) -> Path:
    from service.security.keys import keys_path
    from service.settings import load_settings

    given = {"data": data, "keys": keys_file}
    settings = load_settings(**{name: path for name, path in given.items() if path is not None})
    return keys_path(settings.data, settings.keys)


def _described(key: Any) -> dict[str, Any]:
    """A key as JSON, without its hashes."""
    from service.security.keys import now

    values: dict[str, Any] = key.model_dump(mode="json", exclude={"hash", "former"})
    overlap = None if key.former is None else key.former.expires.isoformat()
    return {**values, "state": key.state(now()), "overlap_until": overlap}


def _show_token(key: Any, token: str, path: Path, json: bool) -> None:
    if json:
        print_json({**_described(key), "token": token})
        return
    out.print(token)
    # Beside the token, so that $(kinfold keys create …) is the token and nothing else.
    err.print(f"key {key.id} of scope {key.scope} in {path}; the token is shown only this once")


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
