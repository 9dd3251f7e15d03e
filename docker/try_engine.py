"""Containers without an engine: `buildah run` in a chroot, in a network namespace of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from try_compose import Service

SUBNET = "10.231.231"
# What the compose file's images have and Debian's packages lack.
ENTRYPOINTS = {"prometheus": ["prometheus"]}
_WRAPPERS = ("ip", "buildah")


def run(*command: str, check: bool = True) -> str:
    """A command's output."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if check and done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


class Engine:
    """The containers of one trial."""

    def __init__(self, work: Path, services: dict[str, Service]) -> None:
        self.work = work
        self.services = services
        self.logs = work / "logs"
        self.logs.mkdir()
        self.volumes = work / "volumes"
        self.volumes.mkdir()
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._buildah = ["buildah", "--root", str(work / "storage"), "--runroot", str(work / "run"),
                         "--storage-driver", "vfs"]  # fmt: skip
        self._mark = f"kf{os.getpid()}"
        self._addresses = {name: f"{SUBNET}.{10 + i}" for i, name in enumerate(services)}
        self._hosts = work / "hosts"
        lines = [f"{address} {name}" for name, address in self._addresses.items()]
        self._hosts.write_text("\n".join(["127.0.0.1 localhost", *lines, ""]))
        self._made: set[str] = set()
        self._bridge = False

    def address(self, name: str) -> str:
        """Where a service is reached from here."""
        return self._addresses[name]

    def image(self, service: Service) -> str:
        """The image that stands for the service's."""
        return (
            "localhost/try-kinfold"
            if service.image.startswith("kinfold:")
            else "localhost/try-others"
        )

    def configuration(self, service: Service) -> dict[str, Any]:
        """The image's own settings: entrypoint, command, healthcheck, user."""
        told = json.loads(run(*self._buildah, "inspect", "--type", "image", self.image(service)))
        return dict(told["Docker"]["config"])

    def root(self, name: str) -> Path:
        """The root file system of a service's container."""
        return Path(run(*self._buildah, "mount", self._container(name)).strip())

    def start(self, name: str) -> None:
        """Start a service of the compose file as it says."""
        service = self.services[name]
        log = self.logs / f"{name}.log"
        log.touch()
        log.chmod(0o666)  # /dev/stdout is opened once more, by the service's user
        with log.open("ab") as out:
            self.running[name] = subprocess.Popen(
                self._command(service, service.command), stdout=out, stderr=out,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def once(
        self, name: str, arguments: list[str], *, bare: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """`docker compose run`; bare: `docker compose exec`, without the entrypoint."""
        command = self._command(self.services[name], arguments, bare=bare)
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)

    def healthy(self, name: str) -> bool:
        """Whether the service's healthcheck, or its image's, says so."""
        service = self.services[name]
        test = service.healthcheck
        if test is None:
            own = self.configuration(service).get("Healthcheck")
            assert isinstance(own, dict), (
                f"{name}: neither compose file nor image has a healthcheck"
            )
            test = own["Test"][1:]
        if not test:
            return self.running[name].poll() is None
        return self.once(name, test, bare=True).returncode == 0

    def wait(self, name: str, limit: float = 90) -> float:
        """Wait until a service is healthy."""
        start = time.monotonic()
        while time.monotonic() - start < limit:
            if self.running[name].poll() is not None:
                raise SystemExit(f"{name} ended:\n{self.tail(name)}")
            if self.healthy(name):
                return time.monotonic() - start
            time.sleep(0.3)
        raise SystemExit(f"{name} is not healthy after {limit:.0f} s:\n{self.tail(name)}")

    def tail(self, name: str) -> str:
        """The end of a service's log."""
        return "\n".join((self.logs / f"{name}.log").read_text(errors="replace").splitlines()[-30:])

    def processes(self, name: str) -> list[int]:
        """The service's own processes, its first one first; not those of buildah around it."""
        children: dict[int, list[int]] = {}
        for place in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(place.read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(place.parent.name))
        found, waiting = [], [self.running[name].pid]
        while waiting:
            pid = waiting.pop(0)
            waiting += sorted(children.get(pid, []))
            try:
                first = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
            except OSError:
                continue
            if first and not Path(first).name.startswith(_WRAPPERS):
                found.append(pid)
        return found

    def stop(self, name: str, *, kill: bool = False) -> float:
        """Stop a service with its signal, or kill -9 all of it; returns the seconds it took."""
        service, process = self.services[name], self.running[name]
        pids = self.processes(name)
        chosen = signal.SIGKILL if kill else signal.Signals[service.stop_signal]
        start = time.monotonic()
        for pid in pids if kill else pids[:1]:
            os.kill(pid, chosen)
        try:
            process.wait(service.stop_seconds)
        except subprocess.TimeoutExpired:
            raise SystemExit(
                f"{name} runs {service.stop_seconds:.0f} s after {chosen.name}:\n{self.tail(name)}"
            ) from None
        del self.running[name]
        return time.monotonic() - start

    def close(self) -> None:
        """End what runs, take the network away."""
        for name in list(self.running):
            # What is around them ends with them.
            for pid in self.processes(name) or [self.running[name].pid]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.running.pop(name).wait()
        for name in self._made:
            run("ip", "netns", "del", f"{self._mark}-{name}", check=False)
        if self._bridge:
            run("ip", "link", "del", self._mark, check=False)
        run(*self._buildah, "umount", "--all", check=False)

    def _command(self, service: Service, arguments: list[str], *, bare: bool = False) -> list[str]:
        told = self.configuration(service)
        own = ENTRYPOINTS.get(service.name) or told.get("Entrypoint") or []
        entrypoint = [] if bare else own
        options = ["--user", service.user, "--cap-drop", "all", "--no-hosts",
                   "--volume", f"{self._hosts}:/etc/hosts:ro"]  # fmt: skip
        for key, value in service.environment.items():
            options += ["--env", f"{key}={value}"]
        for source, inside, read_only in service.mounts:
            place = self._volume(source, service.user)
            options += ["--volume", f"{place}:{inside}:{'ro' if read_only else 'rw'}"]
        for inside in service.tmpfs:
            place = self._volume(f"tmpfs-{service.name}-{inside.strip('/')}", service.user)
            options += ["--volume", f"{place}:{inside}:rw"]
        return ["ip", "netns", "exec", self._network(service.name), *self._buildah, "run",
                "--isolation", "chroot", *options, self._container(service.name), "--",
                *entrypoint, *arguments]  # fmt: skip

    def _volume(self, source: str, user: str) -> Path:
        if source.startswith("/"):
            place = Path(source)
            return place if place.exists() else self._volume(f"empty-{place.name}", user)
        place = self.volumes / source
        if not place.exists():
            # A new volume takes the owner of its place in the image, which is the service's user.
            place.mkdir()
            uid, _, gid = user.partition(":")
            os.chown(place, int(uid), int(gid))
        return place

    def _container(self, name: str) -> str:
        container = f"try-{name}"
        if container not in self._made_containers():
            run(*self._buildah, "from", "--name", container, self.image(self.services[name]))
            # buildah would put the image's own volumes over the compose file's.
            for place in self.configuration(self.services[name]).get("Volumes") or {}:
                run(*self._buildah, "config", "--volume", f"{place}-", container)
        return container

    def _made_containers(self) -> list[str]:
        return run(*self._buildah, "containers", "--format", "{{.ContainerName}}").split()

    def _network(self, name: str) -> str:
        namespace = f"{self._mark}-{name}"
        if name in self._made:
            return namespace
        if not self._bridge:
            self._bridge = True
            run("ip", "link", "add", self._mark, "type", "bridge")
            run("ip", "address", "add", f"{SUBNET}.1/24", "dev", self._mark)
            run("ip", "link", "set", self._mark, "up")
        number = self.address(name).rpartition(".")[2]
        inner, outer = f"{self._mark}i{number}", f"{self._mark}o{number}"
        self._made.add(name)
        run("ip", "netns", "add", namespace)
        run("ip", "link", "add", outer, "type", "veth", "peer", "name", inner)
        run("ip", "link", "set", outer, "master", self._mark, "up")
        run("ip", "link", "set", inner, "netns", namespace)
        inside = ("ip", "-n", namespace)
        run(*inside, "address", "add", f"{self.address(name)}/24", "dev", inner)
        run(*inside, "link", "set", inner, "up")
        run(*inside, "link", "set", "lo", "up")
        return namespace
