"""Say by the exit status whether the service of this container answers."""

from __future__ import annotations

import http.client
import os
import sys


def main() -> None:
    """Ask for /healthz on the port that the service was given."""
    port = int(os.environ.get("KINFOLD_PORT") or 8000)
    host = os.environ.get("KINFOLD_HOST") or "127.0.0.1"
    if host in ("0.0.0.0", "::"):  # noqa: S104
        host = "127.0.0.1"
    connection = http.client.HTTPConnection(host, port, timeout=4)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except OSError as error:
        sys.exit(f"no answer from {host} port {port}: {error}")
    if status != 200:
        sys.exit(f"expected 200 from /healthz, found {status}")


if __name__ == "__main__":
    main()
