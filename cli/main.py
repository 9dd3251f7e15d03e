"""The entry point: as little as possible, so that an interrupt finds somebody at home."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        # Takes a second, in which the user may already change their mind. All of it stays: looking
        # for garbage in it, now and when the process ends, would take half as long again.
        gc.disable()
        from cli.app import run

        gc.freeze()
        gc.enable()
        code = run()
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
