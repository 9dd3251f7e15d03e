"""What counting costs a search, with one process and with several.

python -m benchmarks.http_metrics
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from benchmarks.common import finish

SEARCHES = 20_000

_MEASURE = f"""
import time
from service.metrics import note_request, note_search
from service.stages import STAGES, Stages
stages = Stages([(stage, 0.0, 0.001) for stage in STAGES], passed_with=3)
scope = {{"method": "POST"}}
start = time.perf_counter()
for _ in range({SEARCHES}):
    note_search(stages)
    note_request(scope, 200, 0.003)
print((time.perf_counter() - start) / {SEARCHES})
"""


def main() -> None:
    """Measure in fresh processes: how to count is decided when they start."""
    rows = []
    for what in ("one process", "several processes"):
        with tempfile.TemporaryDirectory() as folder:
            several = {"PROMETHEUS_MULTIPROC_DIR": folder} if what.startswith("several") else {}
            done = subprocess.run(
                [sys.executable, "-c", _MEASURE],
                env={**os.environ, **several},
                stdout=subprocess.PIPE,
                check=True,
            )
        rows.append({"what": what, "µs a search": 1e6 * float(done.stdout)})
    finish("http-metrics", "What counting costs a search", rows)


if __name__ == "__main__":
    main()
