"""The entry point: as little as possible, so that an interrupt finds somebody at home."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        # Takes a second or two, in which the user may already change their mind.
        from cli.app import run

        code = run()
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
