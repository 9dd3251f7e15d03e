"""Requests that nobody would write, to every address of a running service.

python -m benchmarks.dependability.fuzz [--cases 20000]

Made from the service's own description, valid ones and others, by schemathesis and Hypothesis.
No answer may be a 500, or an error that is no problem object, or take longer than ten seconds;
the service's memory may not grow.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.generation import GenerationMode

from benchmarks.dependability.collection import place
from benchmarks.dependability.memory import Watch, growth
from benchmarks.dependability.processes import Service
from benchmarks.dependability.verdict import Verdict
from kinfold.client import Client

_CHUNK = 50
_SECONDS = 10.0
_MIB = 1 << 20
# Neither is an example of the description, which would be dropped too soon.
_KEPT, _VICTIM = "kept", "victim"
_DESTRUCTIVE = {"drop_collection", "import_snapshot", "ask_for_build", "activate_version"}
_PROBLEM = "application/problem+json"
_MOST_STREAMED = 64

chunk = settings(
    max_examples=_CHUNK,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@schemathesis.serializer(
    "application/x-tar",
    "application/x-npy",
    "application/vnd.apache.parquet",
    "application/vnd.apache.arrow.file",
)
def _as_bytes(_: Any, value: object) -> bytes:
    """Files as they are; of other things, which no file is, their text."""
    found = getattr(value, "data", value)
    return bytes(found) if isinstance(found, (bytes, bytearray)) else str(found).encode()


@dataclass
class Seen:
    """What came back."""

    statuses: Counter[str] = field(default_factory=Counter)
    by_operation: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest: float = 0.0

    def note(self, operation: str, request: httpx.Request, response: httpx.Response) -> None:
        """Judge one answer."""
        status = response.status_code
        self.statuses[str(status)] += 1
        self.by_operation[operation] += 1
        about = f"{request.method} {request.url.raw_path[:200]!r}: {status}"
        if status >= 500 and status not in (503, 507):
            self.wrong.append(f"{about} {response.text[:300]}")
        if status >= 400 and response.headers.get("content-type") != _PROBLEM:
            self.wrong.append(f"{about} is no problem: {response.text[:300]}")


class Sender:
    """Sends cases to the service and notes what comes back."""

    def __init__(self, url: str, seen: Seen) -> None:
        self._http = httpx.Client(base_url=url, timeout=_SECONDS)
        self._seen = seen

    def send(self, operation: str, **request: Any) -> httpx.Response | None:
        """Send one request; streams are only begun."""
        try:
            built = self._http.build_request(**request)
        except httpx.InvalidURL:
            # What cannot be sent tries nothing.
            return None
        start = time.monotonic()
        try:
            response = self._http.send(built, stream=True)
            kind = response.headers.get("content-type", "")
            streamed = kind.startswith("text/event-stream")
            if streamed:
                next(response.iter_bytes(_MOST_STREAMED), b"")
            else:
                response.read()
        except httpx.LocalProtocolError:
            return None
        except httpx.RequestError as error:
            self._seen.wrong.append(f"{built.method} {built.url}: {error!r}")
            return None
        finally:
            self._seen.slowest = max(self._seen.slowest, time.monotonic() - start)
        response.close()
        self._seen.note(operation, built, response)
        return None if streamed else response

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def described(
    sender: Sender, document: dict[str, Any], cases: int, restore: Callable[[], object]
) -> None:
    """Cases of every operation of the description, valid ones and others, in turn."""
    schema = schemathesis.openapi.from_dict(document)
    operations = [
        (path, verb, what.get("operationId", path))
        for path, verbs in document["paths"].items()
        for verb, what in verbs.items()
    ]
    known: dict[str, list[str]] = {"job": ["0" * 32], "version": ["x"], "upload": ["0" * 32]}
    each = max(1, cases // (2 * len(operations) * _CHUNK) + 1)
    for path, verb, name in operations:
        restore()
        for mode in GenerationMode:
            strategy = schema[path][verb.upper()].as_strategy(generation_mode=mode)

            def send(data: st.DataObject, name: str = name, strategy: Any = strategy) -> None:
                case = data.draw(strategy)
                parameters = case.path_parameters or {}
                if "collection" in parameters:
                    usual = [_VICTIM] if name in _DESTRUCTIVE else [_KEPT, _VICTIM]
                    parameters["collection"] = data.draw(
                        st.sampled_from([*usual * 3, "..", str(parameters["collection"]) or "x"])
                    )
                for other in ("job", "version"):
                    if other in parameters:
                        parameters[other] = data.draw(
                            st.sampled_from([*known[other], str(parameters[other]) or "x"])
                        )
                request = case.as_transport_kwargs(base_url="http://service")
                request.pop("cookies", None)
                if "data" in request:
                    request["content"] = request.pop("data")
                if request.get("files"):
                    request["files"] = [as_part(*named) for named in request["files"]]
                request["url"] = request["url"].removeprefix("http://service")
                learn(known, sender.send(name, **request))

            # Of an address that takes nothing there is nothing wrong to ask.
            with suppress(Unsatisfiable):
                in_chunks(each, send)


def as_part(name: str, part: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    """A part of a form as a client can send it: what is neither text nor bytes as its text."""
    content = part[1] if isinstance(part[1], (bytes, str)) else str(part[1])
    return name, (part[0], content, *part[2:])


def learn(known: dict[str, list[str]], response: httpx.Response | None) -> None:
    """Keep ids that the service gave, so that some later requests name what exists."""
    if response is None or response.status_code >= 300:
        return
    try:
        answer = response.json()
    except ValueError:
        return
    if not isinstance(answer, dict):
        return
    for field_name, kind in (("id", "job"), ("upload", "upload"), ("live", "version")):
        value = answer.get(field_name)
        if isinstance(value, str) and value and value not in known[kind]:
            known[kind] = [*known[kind][-4:], value]


def in_chunks(number: int, send: Callable[[st.DataObject], None]) -> None:
    """So many chunks of cases."""
    for one in range(number):

        @seed(one)
        @chunk
        @given(st.data())
        def run(data: st.DataObject) -> None:
            send(data)

        run()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
columns = st.sampled_from(["camera", "number", "none", ""])
values = st.sampled_from(["camera 1", 3, 2.5, True, "", -1, 2**63]) | anything
tests = st.one_of(
    st.fixed_dictionaries({"column": columns, "eq": values}),
    st.fixed_dictionaries({"column": columns, "in": st.lists(values, max_size=5)}),
    st.fixed_dictionaries(
        {"column": columns}, optional=dict.fromkeys(("gt", "gte", "lt", "lte"), values)
    ),
    st.fixed_dictionaries({"column": columns, "exists": st.booleans()}),
    anything,
)
filters = st.recursive(
    tests,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"and": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"or": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"not": inner}),
    ),
    max_leaves=10,
)
searches = st.fixed_dictionaries(
    {},
    optional={
        "vector": st.lists(st.floats(-9, 9, width=32), min_size=31, max_size=33),
        "id": st.integers(-2, 600),
        "ids": st.lists(st.integers(-2, 600), max_size=4),
        "positive": st.lists(st.integers(0, 600), max_size=4),
        "negative": st.lists(st.integers(0, 600), max_size=4),
        "k": st.integers(-1, 700),
        "offset": st.integers(-1, 700),
        "min_similarity": st.floats(-2, 2),
        "filter": filters,
        "group_by": columns,
        "group_size": st.integers(0, 4),
        "with_payload": st.booleans(),
    },
)
builds = st.fixed_dictionaries(
    {},
    optional={
        "source": st.sampled_from(["vectors.npy", "../keys", "/etc/passwd", "no.npy", ""]),
        "upload": st.text(max_size=3),
        "columns": anything,
        "config": st.dictionaries(st.sampled_from(["k_d", "alpha", "similarity"]), anything),
        "models": anything,
    },
)


def as_json(value: object) -> dict[str, Any]:
    """A JSON body; NaN and infinity, which JSON lacks, go along as Python writes them."""
    return {
        "content": json.dumps(value).encode(),
        "headers": {"Content-Type": "application/json"},
    }


def by_hand(sender: Sender, content: bytes, cases: int) -> None:
    """Filters, builds, and files with flipped bytes: deeper than a description leads."""
    flips = random.Random(5)

    def search(data: st.DataObject) -> None:
        sender.send(
            "search by hand", method="POST", url=f"/v1/collections/{_KEPT}/search",
            **as_json(data.draw(searches)),
        )  # fmt: skip

    def build(data: st.DataObject) -> None:
        sender.send(
            "build by hand", method="POST", url=f"/v1/collections/{_VICTIM}/builds",
            **as_json(data.draw(builds | anything)),
        )  # fmt: skip

    def upload(data: st.DataObject) -> None:
        changed = bytearray(content)
        for _ in range(data.draw(st.integers(0, 8))):
            changed[flips.randrange(min(len(changed), 200))] = flips.randrange(256)
        kind = data.draw(
            st.sampled_from(
                ["application/x-npy", "application/vnd.apache.parquet",
                 "application/vnd.apache.arrow.file", "text/plain"]
            )
        )  # fmt: skip
        end = data.draw(st.sampled_from([len(changed), 100, 10, 0]))
        sender.send(
            "upload by hand", method="PUT", url="/v1/uploads", content=bytes(changed[:end]),
            headers={"Content-Type": kind},
        )  # fmt: skip

    in_chunks(cases // (2 * _CHUNK) + 1, search)
    in_chunks(cases // (4 * _CHUNK) + 1, build)
    in_chunks(cases // (4 * _CHUNK) + 1, upload)


def main() -> None:
    """Send, look, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000)
    cases = parser.parse_args().cases
    seen = Seen()
    verdict = Verdict("fuzz", f"{cases:,} requests that nobody would write")
    with place(600, 32, names=(_KEPT, _VICTIM)) as at:
        (at.folder / "sources").mkdir()
        at.save(at.folder / "sources" / "vectors.npy")
        content = (at.folder / "sources" / "vectors.npy").read_bytes()
        given = {
            "sources": at.folder / "sources",
            "max_upload_bytes": 1 << 20,
            "log_level": "error",
        }
        with (
            Service(at.data, at.log("service"), **given) as service,
            service.client() as client,
        ):
            service.wait_until_ready()
            sender = Sender(service.url, seen)
            document = httpx.get(f"{service.url}/openapi.json").json()
            # The first requests make the service load what it loads once.
            by_hand(sender, content, cases // 20)
            snapshot = at.folder / "victim.tar"
            client.download_snapshot(_KEPT, snapshot)
            with Watch(service) as watch:
                by_hand(sender, content, cases // 3)
                described(
                    sender,
                    document,
                    # A tenth is refused by the client itself, or is no case at all.
                    cases - cases // 5,
                    lambda: client.upload_snapshot(_VICTIM, snapshot),
                )
                still_answers(client, at.queries)
            sender.close()
    verdict.at_least("requests", seen.statuses.total(), cases)
    verdict.fact("answers", ", ".join(f"{n} × {s}" for s, n in sorted(seen.statuses.items())))
    verdict.fact("addresses", len(seen.by_operation))
    verdict.promise("500, no problem object, or no answer", len(seen.wrong), 0)
    verdict.promise("slowest answer", seen.slowest, _SECONDS, "s")
    private = [one.private / _MIB for one in watch.holdings]
    verdict.fact("private memory, least and most", f"{min(private):,.0f} … {max(private):,.0f}")
    verdict.promise("private memory, growth", growth(private), 64, "MiB")
    for line in seen.wrong[:20]:
        print(line)
    verdict.close(operations=dict(seen.by_operation))


def still_answers(client: Client, queries: np.ndarray) -> None:
    """After all that, an ordinary search works."""
    assert len(client.search(_KEPT, queries[:3], k=5)) == 3


if __name__ == "__main__":
    main()
