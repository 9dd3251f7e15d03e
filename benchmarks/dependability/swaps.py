"""Versions are exchanged under load: nobody notices, and nothing is left behind.

python -m benchmarks.dependability.swaps [--swaps 100] [--more 500]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from itertools import cycle, pairwise

from benchmarks.dependability.collection import NAME, SEARCH, Place, place
from benchmarks.dependability.load import Load
from benchmarks.dependability.memory import Holding, Watch, growth
from benchmarks.dependability.processes import Service, until
from benchmarks.dependability.verdict import Verdict
from kinfold.client import Client, VersionInfo

_MIB = 1 << 20
_PAUSE_SECONDS = 0.1
"""Between one swap and the next."""
_CALM_SECONDS = 10.0


def main() -> None:
    """Swap, look, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--swaps", type=int, default=100, help="under load")
    parser.add_argument("--more", type=int, default=500, help="for leaks")
    parser.add_argument("--calm", type=float, default=_CALM_SECONDS, help="seconds without a swap")
    parser.add_argument("--load", type=float, default=0.3, help="share of the capacity")
    given = parser.parse_args()
    verdict = Verdict("swaps", f"Swaps under load, {given.rows:,} × 64")
    with (
        place(given.rows, versions=2) as at,
        Service(at.data, at.log("service"), cache="off") as service,
        service.client() as client,
    ):
        service.wait_until_ready()
        rate = given.load * capacity(service, at, 3.0)
        under_load(verdict, service, client, at, given.swaps, rate, given.calm)
        leaks(verdict, service, client, at, given.more)
    verdict.close()


def capacity(service: Service, at: Place, seconds: float, connections: int = 4) -> float:
    """Searches a second that a few connections get answered."""
    name, port = "capacity", service.port
    with Load(port, SEARCH, at.queries, at.folder, connections=connections, name=name) as load:
        time.sleep(seconds)
    seen = load.saw
    steady = seen.between(seen.start.min() + 0.3 * seconds, seen.start.min() + seconds)
    return float((steady.status == 200).sum() / (0.7 * seconds))


def under_load(
    verdict: Verdict,
    service: Service,
    client: Client,
    at: Place,
    swaps: int,
    rate: float,
    calm: float,
) -> None:
    """Swap while searches arrive at a fixed rate; before and after, the same without."""
    load = Load(service.port, SEARCH, at.queries, at.folder, rate=rate)
    others = in_turn(client)
    with load:
        time.sleep(1.0)
        marks = [time.time()]
        time.sleep(calm / 2)
        marks.append(time.time())
        for _, other in zip(range(swaps), others, strict=False):
            swap(client, other)
            time.sleep(_PAUSE_SECONDS)
        marks.append(time.time())
        time.sleep(calm / 2)
        marks.append(time.time())
    seen = load.saw
    before, swapping, after = pairwise(marks)
    quiet, during = seen.during([before, after]), seen.between(*swapping)
    verdict.fact("swaps", swaps)
    verdict.fact("searches during them", len(during))
    verdict.fact("searches a second", rate)
    verdict.fact("p50 without swaps", quiet.milliseconds(0.5), "ms")
    verdict.fact("p50 during swaps", during.milliseconds(0.5), "ms")
    verdict.fact("p99 without swaps", quiet.milliseconds(0.99), "ms")
    verdict.promise(
        "p99 during swaps", during.milliseconds(0.99), 2 * quiet.milliseconds(0.99), "ms"
    )
    verdict.fact("answers", ", ".join(f"{n} × {name}" for name, n in seen.statuses.items()))
    verdict.promise("failed searches", seen.failed, 0)


def in_turn(client: Client) -> Iterator[str]:
    """The versions that are to go live one after the other, without end."""
    versions = client.list_versions(NAME)
    return cycle(sorted((one.version for one in versions), key=lambda name: name == live(versions)))


def live(versions: Sequence[VersionInfo]) -> str:
    """The one that is live."""
    return next(one.version for one in versions if one.live)


def swap(client: Client, other: str) -> None:
    """Let another version go live, and wait until it answers."""
    client.activate_version(NAME, other)
    until(lambda: client.search(NAME, id=0, k=1).version == other, f"{other} to answer", 60)


def leaks(verdict: Verdict, service: Service, client: Client, at: Place, swaps: int) -> None:
    """Swap many times with some searches on the way; what is held must not grow."""
    # In closed loop, so that there are as many connections in the end as in the beginning.
    load = Load(service.port, SEARCH, at.queries, at.folder, connections=1, name="light")
    with load:
        others = in_turn(client)
        for _, other in zip(range(max(10, swaps // 10)), others, strict=False):
            swap(client, other)
        begin = time.time()
        with Watch(service) as watch:
            for _, other in zip(range(swaps), others, strict=False):
                swap(client, other)
        spent = time.time() - begin
    verdict.fact("further swaps", swaps)
    verdict.fact("a swap", 1e3 * spent / max(1, swaps), "ms")
    verdict.promise("failed searches meanwhile", load.saw.failed, 0)
    judge_leaks(verdict, watch.holdings)


def judge_leaks(verdict: Verdict, holdings: list[Holding]) -> None:
    """Hold the growth, by the line through all that was seen, against what is no leak."""
    first, last = holdings[0], holdings[-1]
    for name, most, unit, scale in (
        ("descriptors", 4, "", 1),
        ("threads", 2, "", 1),
        ("maps", 40, "", 1),
        ("private", 16, "MiB", _MIB),
    ):
        series = [getattr(one, name) / scale for one in holdings]
        verdict.fact(
            f"{name}, first and last",
            f"{getattr(first, name) / scale:,.0f} … {getattr(last, name) / scale:,.0f}",
            unit,
        )
        verdict.promise(f"{name}, growth", round(growth(series), 2), most, unit)


if __name__ == "__main__":
    main()
