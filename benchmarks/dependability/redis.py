"""Redis is killed and started again under load: searches do not notice, and health says so.

python -m benchmarks.dependability.redis [--times 5]
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from benchmarks.dependability.collection import SEARCH, place
from benchmarks.dependability.load import Load
from benchmarks.dependability.processes import Redis, Service, all_of, until
from benchmarks.dependability.swaps import capacity
from benchmarks.dependability.verdict import Verdict
from kinfold.client import Client, KinfoldServiceError

_MOST_SECONDS_TO_NOTICE = 15.0


def main() -> None:
    """Kill, look, start, look, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="up, and down, each time")
    parser.add_argument("--load", type=float, default=0.3, help="share of the capacity")
    given = parser.parse_args()
    verdict = Verdict("redis", f"Redis killed (-9) {given.times} times, {given.rows:,} × 64")
    with place(given.rows) as at:
        redis = Redis(at.folder / "redis")
        service = Service(at.data, at.log("service"), redis_url=redis.url, cache="redis")
        with service:
            service.wait_until_ready()
            # Of searches that the cache does not answer: there is no Redis yet.
            rate = given.load * capacity(service, at, 3.0)
        with all_of(redis, service), service.client() as client:
            service.wait_until_ready()
            up: list[tuple[float, float]] = []
            down: list[tuple[float, float]] = []
            noticed, recovered = [], []
            load = Load(service.port, SEARCH, queries(at.queries), at.folder, rate=rate)
            with load:
                time.sleep(1.0)
                for _ in range(given.times):
                    begin = time.time()
                    time.sleep(given.seconds)
                    up.append((begin, time.time()))
                    begin = time.time()
                    redis.kill()
                    noticed.append(seconds_until(client, "degraded"))
                    time.sleep(given.seconds)
                    down.append((begin, time.time()))
                    redis.start()
                    recovered.append(seconds_until(client, "ready"))
    seen = load.saw
    verdict.fact("searches", len(seen))
    verdict.fact("searches a second", rate)
    for quantile in (0.5, 0.99):
        for name, spans in (("up", up), ("down", down)):
            found = seen.during(spans).milliseconds(quantile)
            verdict.fact(f"p{100 * quantile:.0f}, Redis {name}", found, "ms")
    for name, spans in (("up", up), ("down", down)):
        verdict.fact(f"not answered 200, Redis {name}", seen.during(spans).failed)
    verdict.fact("answers", ", ".join(f"{n} × {name}" for name, n in seen.statuses.items()))
    verdict.promise("failed searches", seen.failed, 0)
    verdict.promise("until degraded", max(noticed), _MOST_SECONDS_TO_NOTICE, "s")
    verdict.promise("until ready again", max(recovered), _MOST_SECONDS_TO_NOTICE, "s")
    verdict.close()


def queries(vectors: np.ndarray) -> np.ndarray:
    """Many different ones, so that some are in the cache and some are not."""
    random = np.random.default_rng(4)
    picked = vectors[random.integers(0, len(vectors), 2000)]
    return (picked + 0.01 * random.normal(size=picked.shape)).astype(np.float32)


def seconds_until(client: Client, wanted: str) -> float:
    """How long it takes until the service says of itself what it should."""
    begin = time.monotonic()

    def says() -> bool:
        try:
            return client.readiness().status == wanted
        except KinfoldServiceError:
            return False

    until(says, f"/readyz to say {wanted}", 60)
    return time.monotonic() - begin


if __name__ == "__main__":
    main()
