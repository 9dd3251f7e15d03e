"""What a machine computes with: equal everywhere, or the blocks would not fit to each other.

`describe` is sent to the machines of a cluster by its code, not by its name, since one of them may
have another Kinfold or none. So it uses nothing but the standard library, and imports inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from kinfold.errors import KinfoldError

PROCESSOR = "processor"
"""The one difference that is only told of: it may change last bits, and nothing else."""

_CODE = "code of kinfold"
_ABSENT = "not installed"


def describe() -> dict[str, str]:
    """Versions of all that computes, by name; a hash of Kinfold's code, and the processor."""
    import hashlib
    import platform
    from importlib import import_module, metadata, util
    from pathlib import Path

    found = {"Python": platform.python_version()}
    for name in ("kinfold", "numpy", "scipy", "numba", "llvmlite", "faiss-cpu"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    spec = util.find_spec("kinfold")
    code = hashlib.sha256()
    if spec is None or spec.origin is None:
        found["code of kinfold"] = "not installed"
    else:
        root = Path(spec.origin).parent
        for path in sorted(root.rglob("*.py")):
            code.update(f"{path.relative_to(root).as_posix()}\n".encode())
            code.update(path.read_bytes())
        found["code of kinfold"] = code.hexdigest()[:16]
    try:
        # The name that decides which instructions Numba compiles to.
        found["processor"] = str(import_module("llvmlite.binding").get_host_cpu_name())
    except (ImportError, OSError):
        found["processor"] = platform.machine()
    return found


@cache
def code_here() -> str:
    """The hash of the code that this process has found, looked at once."""
    return describe()[_CODE]


def check(machine: str, found: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Refuse a machine that computes with anything else; raises `KinfoldError`."""
    for name, version in expected.items():
        if name == PROCESSOR or found.get(name, _ABSENT) == version:
            continue
        have = found.get(name, _ABSENT)
        raise KinfoldError(
            f"the Ray worker on {machine} has {name} {have}, this machine {version}: "
            "their results would not fit together; install the same environment on all machines "
            "(same Python, same kinfold, pip install --constraint constraints.txt) "
            "and start its Ray again"
        )


def check_code(expected: str) -> None:
    """The same for the worker that this is, which may be of a machine that came later."""
    if code_here() != expected:
        import platform

        check(platform.node(), {_CODE: code_here()}, {_CODE: expected})
