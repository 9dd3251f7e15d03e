"""Hand this machine's pip settings to a build: a pip.conf, and mounts of the folders it names.

python3 try_pip.py PIP_CONF    writes that file; prints options of `buildah build`
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

INSIDE = "/run/pip"
# Not for a build that runs elsewhere as somebody else.
LEFT_OUT = {"cache-dir", "user", "target", "require-virtualenv", "disable-pip-version-check"}


def main(target: Path) -> None:
    """Write and print."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True
    ).stdout
    settings: dict[str, str] = {}
    mounts: dict[str, str] = {}
    for line in listed.splitlines():
        name, _, quoted = line.partition("=")
        key = name.rpartition(".")[2]
        # The environment comes first in the list, and wins over the files, as it does for pip.
        if key not in LEFT_OUT and key not in settings:
            words = shlex.split(quoted)[0].split()
            settings[key] = " ".join(moved(word, mounts) for word in words)
    target.write_text(
        "[global]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items())
    )
    for outside, inside in mounts.items():
        print(f"--volume={outside}:{inside}:ro")


def moved(word: str, mounts: dict[str, str]) -> str:
    """A word of a setting, with the file or folder that it names where the build has it."""
    scheme = "file://" if word.startswith("file://") else ""
    path = Path(word.removeprefix(scheme))
    if not path.is_absolute() or not path.exists():
        return word
    # The pages of an index in a folder lead to files beside them.
    shown = path.parent if scheme and path.is_dir() else path
    inside = mounts.setdefault(str(shown), f"{INSIDE}/{len(mounts)}")
    return f"{scheme}{inside}/{path.relative_to(shown)}" if shown != path else scheme + inside


if __name__ == "__main__":
    main(Path(sys.argv[1]))
