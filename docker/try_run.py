"""The way of docs/deployment.md through the services of the compose file. Run by try.sh."""

from __future__ import annotations

import io
import json
import re
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import Any

import numpy as np
from try_compose import HERE, read
from try_engine import Engine, run

SERVICES = ("service1", "service2")
OURS = (*SERVICES, "worker")
ROWS, DIMENSION = 500, 16

# Builds and searches as root is read-only, and counts the kernels that had to be compiled.
PROBE = """
import os, sys, time
start = time.perf_counter()
import numpy as np, kinfold
index = kinfold.build(np.random.default_rng(0).standard_normal((400, 16)), "/tmp/probe")
index.warm_up()
index.search(index.vectors[:2] + 0.1, k=5)
modules = [module for name, module in sys.modules.items() if name.startswith("kinfold.kernels.")]
kernels = [k for module in modules for k in vars(module).values() if hasattr(k, "stats")]
misses = sorted({k.__name__ for k in kernels if sum(k.stats.cache_misses.values())})
used = sum(bool(sum(k.stats.cache_hits.values())) for k in kernels)
assert used and not misses, f"{used} kernels from the image, compiled again: {misses}"
for place in ("/", "/opt/kinfold", "/var/tmp", sys.prefix):
    try:
        open(os.path.join(place, "written"), "w")
    except OSError:
        continue
    raise SystemExit(f"{place} can be written")
print(f"uid {os.getuid()}, {used} kernels from the image, {time.perf_counter() - start:.1f} s")
"""


class Trial:
    """The trial's steps, in order."""

    def __init__(self, work: Path) -> None:
        (work / "tls").mkdir()
        self.engine = Engine(work, read("docker-compose.yml", "docker-compose.tls.yml"))
        # buildah, unlike an engine, does not give the service's user its own standard output to
        # open, so the access log goes to a file.
        config = (HERE / "proxy" / "nginx.conf").read_text(encoding="utf-8")
        assert "access_log /dev/stdout json;" in config
        (work / "nginx.conf").write_text(config.replace("/dev/stdout", "/tmp/access.log"))  # noqa: S108
        instead = {"/etc/nginx/tls": work / "tls", "/etc/nginx/nginx.conf": work / "nginx.conf"}
        proxy = self.engine.services["proxy"]
        proxy.mounts = [
            (str(instead.get(inside, source)), inside, ro) for source, inside, ro in proxy.mounts
        ]
        self.tls = work / "tls"
        self.key = ""
        self.before: dict[str, set[tuple[str, float]]] = {}
        self.vectors = np.random.default_rng(0).standard_normal((ROWS, DIMENSION)).astype("<f4")

    def read_only(self) -> None:
        """The image by itself, its root read-only for real."""
        root = self.engine.root("service1")
        script = (
            'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" '
            '&& mount -t tmpfs tmpfs "$0/tmp" && mount --bind /dev "$0/dev" '
            "&& exec env -i $2 chroot --userspec=10001:10001 --groups= "
            '"$0" /opt/venv/bin/python -c "$1"'
        )
        own = self.engine.configuration(self.engine.services["service1"])["Env"]
        told = run("unshare", "--mount", "sh", "-c", script, str(root), PROBE, " ".join(own))  # type: ignore[arg-type]
        say(f"a build and a search on a read-only root: {told.strip()}")

    def certificate(self) -> None:
        """A self-signed certificate for the proxy, readable by its user."""
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-days", "2", "-subj", "/CN=kinfold.test", "-addext",
            "subjectAltName=DNS:kinfold.test", "-keyout", str(self.tls / "server.key"),
            "-out", str(self.tls / "server.crt"))  # fmt: skip
        uid, _, gid = self.engine.services["proxy"].user.partition(":")
        run("chown", "-R", f"{uid}:{gid}", str(self.tls))

    def up(self) -> None:
        """Every service, those it depends on first."""
        waiting = [name for name in self.engine.services if name != "grafana"]
        say("grafana is not tried: Debian has no package of it")
        while waiting:
            for name in waiting:
                needs = self.engine.services[name].needs
                if not set(needs) & set(waiting):
                    break
            for needed, condition in needs.items():
                if condition == "service_healthy":
                    self.engine.wait(needed)
            self.before[name] = self.files(name)
            self.engine.start(name)
            say(f"started {name}: {' '.join(self.engine.services[name].command)}")
            waiting.remove(name)
        for name in self.engine.running:
            say(f"{name} is healthy after {self.engine.wait(name):.1f} s more")

    def users(self) -> None:
        """No process is root's, none has a capability, none can get one."""
        for name in self.engine.running:
            pids = self.engine.processes(name)
            assert pids, f"{name} has no process"
            for pid in pids:
                told = dict(
                    line.split(":", 1)
                    for line in Path(f"/proc/{pid}/status").read_text().splitlines()
                )
                uids = set(told["Uid"].split())
                expected = self.engine.services[name].user.partition(":")[0]
                assert uids == {expected}, f"{name}: process {pid} is of {uids}, not {expected}"
                assert int(told["CapEff"], 16) == 0, f"{name}: process {pid} has capabilities"
            say(f"{name}: {len(pids)} process(es) of user {expected}, no capabilities")

    def make_key(self) -> None:
        """`docker compose run --rm service1 keys create --scope admin`."""
        done = self.engine.once("service1", ["keys", "create", "--scope", "admin"])
        found = re.search(r"kf_\w+_[\w-]+", done.stdout)
        assert done.returncode == 0 and found, f"keys create: {done.stdout}{done.stderr}"
        self.key = found[0]
        say("keys create: an admin key, shown once")

    def refuses(self) -> None:
        """Without a key, and what the proxy keeps inside."""
        eventually(lambda: self.ask("GET", "/v1/collections")[0] == 200, "the new key is taken")
        key, self.key = self.key, ""
        assert self.ask("GET", "/v1/collections")[0] == 401
        self.key = key
        assert self.ask("GET", "/metrics")[0] == 404
        status, headers, _ = self.ask("GET", "/healthz", headers={"X-Request-ID": "try-17"})
        assert (status, headers["X-Request-ID"]) == (200, "try-17")
        status, _, answer = self.ask("POST", "/v1/collections", bytes(34 << 20))
        assert (status, answer["status"]) == (413, 413), answer
        say("proxy: 401 without a key, no /metrics, request ids kept, 413 in the services' shape")

    def build(self) -> None:
        """Upload, build by the worker, follow the events; all through the proxy."""
        file = io.BytesIO()
        np.save(file, self.vectors)
        status, _, upload = self.ask(
            "PUT", "/v1/uploads", file.getvalue(), {"Content-Type": "application/x-npy"}
        )
        assert status == 201, upload
        status, _, answer = self.ask("POST", "/v1/collections", {"name": "tiny"})
        assert status == 201, answer
        status, _, answer = self.ask(
            "POST", "/v1/collections/tiny/builds", {"upload": upload["upload"]}
        )
        assert status == 202, answer
        address = f"/v1/collections/tiny/builds/{answer['id']}"
        events = self.events(f"{address}/events")
        status, _, answer = self.ask("GET", address)
        assert status == 200 and answer["status"] == "done", answer
        say(f"build through the API: {events} events through the proxy, job done")

    def events(self, path: str) -> int:
        """Read a stream of events to its end; returns their number."""
        with self.open("GET", path, None, {}) as answer:
            count = sum(line.startswith(b"data:") for line in answer)
        assert count, "no events"
        return count

    def search(self, *, tls: bool = False) -> None:
        """Through the proxy, answered by both services."""
        query = {"vector": self.vectors[3].tolist(), "k": 5}
        for _ in range(20):
            status, _, answer = self.ask("POST", "/v1/collections/tiny/search", query, tls=tls)
            assert status == 200, answer
            assert answer["results"][0]["hits"][0]["id"] == 3, answer

    def searches(self) -> None:
        """Plain and with TLS."""
        for name in SERVICES:
            eventually(lambda name=name: self.ready(name), f"{name} serves what was built")
        self.search()
        self.search(tls=True)
        log = (self.engine.volumes / "tmpfs-proxy-tmp" / "access.log").read_text()
        for name in SERVICES:
            assert f'"upstream":"{self.engine.address(name)}:8000"' in log, f"{name} got nothing"
        say("searches through the proxy, plain and with TLS, answered by both services")

    def ready(self, name: str) -> bool:
        """Whether a service, asked directly, has the collection open."""
        status, _, answer = self.ask(
            "GET", "/v1/collections/tiny", host=f"{self.engine.address(name)}:8000"
        )
        return status == 200 and answer.get("status") == "ready"

    def one_dies(self) -> None:
        """A service is killed: no search fails, and it comes back."""
        self.engine.stop("service1", kill=True)
        self.search()
        self.engine.start("service1")
        self.engine.wait("service1")
        eventually(lambda: self.ready("service1"), "service1 is back")
        self.search()
        say("service1 killed and started again: no search failed")

    def monitored(self) -> None:
        """Prometheus reaches both services."""
        host = f"{self.engine.address('prometheus')}:9090"

        def both_up() -> bool:
            targets = self.ask("GET", "/api/v1/targets", host=host)[2]["data"]["activeTargets"]
            return [target["health"] for target in targets] == ["up", "up"]

        eventually(both_up, "Prometheus sees both services", 60)
        say("Prometheus: both services up")

    def down(self) -> None:
        """Each stops by its own signal within its time; nothing was written to any root."""
        for name in reversed(list(self.engine.running)):
            say(f"{name} stopped in {self.engine.stop(name):.1f} s")
        for name, before in self.before.items():
            # Places of mounts and of the engine's own files are made, empty, by buildah.
            written = {
                p for p, _ in self.files(name) - before if not p.startswith(("/run", "/etc"))
            }
            assert not written, f"{name} wrote to its root: {sorted(written)[:5]}"
        say("nothing was written outside volumes and /tmp")

    def files(self, name: str) -> set[tuple[str, float]]:
        """All files of a container's root with their times."""
        root = self.engine.root(name)
        return {
            (f"/{path.relative_to(root)}", path.lstat().st_mtime)
            for path in root.rglob("*")
            if path.is_file() and not path.is_symlink()
        }

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None,
        *, host: str = "", tls: bool = False,
    ) -> tuple[int, Message, Any]:  # fmt: skip
        """A request through the proxy, or to `host`; status, headers and JSON of the answer."""
        try:
            with self.open(method, path, body, headers or {}, host=host, tls=tls) as answer:
                return answer.status, answer.headers, decoded(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, error.headers, decoded(error.read())

    def open(
        self, method: str, path: str, body: Any, headers: dict[str, str], *, host: str = "",
        tls: bool = False,
    ) -> Any:  # fmt: skip
        """A request's answer as it comes."""
        if body is not None and not isinstance(body, bytes):
            body, headers = (
                json.dumps(body).encode(),
                {"Content-Type": "application/json", **headers},
            )
        if self.key:
            headers = {"Authorization": f"Bearer {self.key}", **headers}
        scheme, port = ("https", 8443) if tls else ("http", 8080)
        host = host or f"{self.engine.address('proxy')}:{port}"
        address = f"{scheme}://{host}{path}"
        context = None
        if tls:
            context = ssl.create_default_context(cafile=str(self.tls / "server.crt"))
            context.check_hostname = False
        request = urllib.request.Request(address, body, headers, method=method)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        return opener.open(request, timeout=120)


def decoded(body: bytes) -> Any:
    """JSON, where it is."""
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


def say(text: str) -> None:
    """A line of the report."""
    print(f"   {text}", flush=True)


def eventually(holds: Callable[[], bool], what: str, limit: float = 30) -> None:
    """Wait for it."""
    start = time.monotonic()
    while not holds():
        if time.monotonic() - start > limit:
            raise AssertionError(f"expected within {limit:.0f} s: {what}")
        time.sleep(0.2)


STEPS = ("read_only", "certificate", "up", "users", "make_key", "refuses", "build", "searches",
         "one_dies", "monitored", "down")  # fmt: skip


def main(work: Path, steps: tuple[str, ...] = STEPS) -> None:
    """All steps; ends what it started, whatever happens."""
    trial = Trial(work)
    try:
        for step in steps:
            getattr(trial, step)()
    except (AssertionError, SystemExit):
        for name in trial.engine.services:
            if (trial.engine.logs / f"{name}.log").exists():
                print(f"-- end of {name}'s log\n{trial.engine.tail(name)}", file=sys.stderr)
        raise
    finally:
        trial.engine.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
