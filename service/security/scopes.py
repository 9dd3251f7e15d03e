"""What every address needs, in one table. What is not in it is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Scope = Literal["read", "write", "admin"]
Need = Literal["open", "read", "write", "admin"]

SCOPES: tuple[Scope, ...] = ("read", "write", "admin")
"""From the least to the most; each may do what those before it may."""

_C = "/v1/collections/{collection}"

ADDRESSES: dict[str, dict[str, Need]] = {
    "/healthz": {"GET": "open"},
    "/readyz": {"GET": "open"},
    "/metrics": {"GET": "open"},
    "/docs": {"GET": "open"},
    "/openapi.json": {"GET": "open"},
    "/": {"GET": "open"},
    "/web/{file}": {"GET": "open"},
    "/v1/collections": {"GET": "read", "POST": "write"},
    "/v1/uploads": {"PUT": "write"},
    _C: {"GET": "read", "DELETE": "admin"},
    f"{_C}/search": {"POST": "read"},
    f"{_C}/items": {"GET": "read"},
    f"{_C}/thumbnail": {"GET": "read"},
    f"{_C}/map": {"GET": "read"},
    f"{_C}/versions": {"GET": "read"},
    f"{_C}/versions/{{version}}": {"DELETE": "admin"},
    f"{_C}/versions/{{version}}/activate": {"POST": "write"},
    f"{_C}/snapshot": {"GET": "admin", "PUT": "admin"},
    f"{_C}/builds": {"GET": "read", "POST": "write"},
    f"{_C}/builds/{{job}}": {"GET": "read", "DELETE": "write"},
    f"{_C}/builds/{{job}}/events": {"GET": "read"},
    f"{_C}/builds/{{job}}/retry": {"POST": "write"},
}
"""The scope that each method of each address needs."""

_PARAMETER = re.compile(r"\{[^}]*\}")


@dataclass(frozen=True, slots=True)
class Address:
    """An address of the table, and the parts of the path that stand for its parameters."""

    template: str
    needs: dict[str, Need]
    parts: dict[str, str]


def covers(scope: Scope, need: Need) -> bool:
    """Whether a key of a scope may do what needs another."""
    return need == "open" or SCOPES.index(scope) >= SCOPES.index(need)


def shape(template: str) -> str:
    """A template without the names of its parameters, which a route may choose itself."""
    return _PARAMETER.sub("{}", template)


def need_of(method: str, template: str) -> Need | None:
    """What a route needs; None: it is not declared."""
    return _BY_SHAPE.get(shape(template), {}).get(method)


def find(path: str) -> Address | None:
    """The address of the table that a path, decoded, is one of."""
    needs = ADDRESSES.get(path)
    if needs is not None and "{" not in path:
        return Address(path, needs, {})
    for pattern, template in _PATTERNS:
        if match := pattern.fullmatch(path):
            return Address(template, ADDRESSES[template], match.groupdict())
    return None


_BY_SHAPE = {shape(template): needs for template, needs in ADDRESSES.items()}
# As the router matches: a parameter is anything but a slash.
_PATTERNS = [
    (re.compile(_PARAMETER.sub(lambda m: f"(?P<{m[0][1:-1]}>[^/]+)", template)), template)
    for template in ADDRESSES
    if "{" in template
]
