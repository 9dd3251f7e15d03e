"""Four times more searches than can be answered: each is answered or refused, at once.

python -m benchmarks.dependability.overload [--seconds 60]

The load is open-loop: requests arrive at a fixed rate, whatever becomes of the earlier ones, and
the time of each counts from when it should have left.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from benchmarks.dependability.collection import SEARCH, place
from benchmarks.dependability.load import Load
from benchmarks.dependability.memory import Watch, growth
from benchmarks.dependability.processes import Service
from benchmarks.dependability.swaps import capacity
from benchmarks.dependability.verdict import Verdict

_MIB = 1 << 20


def main() -> None:
    """Measure what it can, then ask four times that."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--times", type=float, default=4.0, help="of the capacity")
    given = parser.parse_args()
    size = f"{given.rows:,} × {given.dimension}"
    verdict = Verdict("overload", f"{given.times:g}× the capacity for {given.seconds:g} s, {size}")
    with (
        place(given.rows, given.dimension, neighbors="exact") as at,
        Service(at.data, at.log("service"), cache="off") as service,
    ):
        service.wait_until_ready()
        able = capacity(service, at, 10.0, connections=16)
        rate = given.times * able
        load = Load(service.port, SEARCH, at.queries, at.folder, rate=rate)
        with load:
            time.sleep(2.0)
            begin = time.time()
            with Watch(service) as watch:
                time.sleep(given.seconds)
            end = time.time()
    seen = load.saw
    steady = seen.between(begin, end)
    succeeded = int((steady.status == 200).sum())
    other = sum(count for status, count in seen.statuses.items() if status not in {"200", "503"})
    verdict.fact("capacity, closed loop", able, "1/s")
    verdict.fact("arrivals", len(steady) / (end - begin), "1/s")
    verdict.fact("answers", ", ".join(f"{n} × {status}" for status, n in seen.statuses.items()))
    for quantile in (0.5, 0.99):
        name = f"p{100 * quantile:.0f}"
        verdict.fact(f"{name} of answers 200", steady.milliseconds(quantile), "ms")
        verdict.fact(f"{name} of answers 503", steady.milliseconds(quantile, 503), "ms")
    for status in (200, 503):
        slow = np.where(seen.status == status, seen.seconds, 0)
        after = seen.start[slow.argmax()] - begin
        verdict.fact(f"slowest of {status}, asked at {after:.1f} s", 1e3 * slow.max(), "ms")
    verdict.promise("slowest answer of all", 1e3 * float(seen.seconds.max()), 1000, "ms")
    verdict.promise("neither 200 nor 503", other, 0)
    verdict.at_least("successes", succeeded / (end - begin), 0.8 * able, "1/s")
    private = [one.private / _MIB for one in watch.holdings]
    verdict.fact("private memory, least and most", f"{min(private):,.0f} … {max(private):,.0f}")
    verdict.promise("private memory, growth", growth(private), 16, "MiB")
    verdict.close()


if __name__ == "__main__":
    main()
