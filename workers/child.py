"""The process that builds: ``python -m workers.child``, started by `workers.run`.

It is told what to do by one line of JSON on standard input, and tells how it goes by lines of
JSON on standard output: ``{"progress": …}``, and at the end ``{"result": …}`` or ``{"error": …}``.
It touches neither the queue nor Redis. When standard input ends, whoever started it is gone, and
it ends, too: nothing builds on behind the back of a worker that was given up for dead.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import IO, Any

from indexer import build_collection, collection_path
from indexer.job import BuildSummary
from indexer.progress import Event
from kinfold.errors import BusyError, KinfoldError
from workers.jobs import BuildResult, BuildSpec, JobError, JobProgress
from workers.logs import configure, worker_log
from workers.retention import remove_old_versions
from workers.settings import WorkerSettings
from workers.sources import read_for_build

_NICER = 10

STOPPED = 3
"""The exit code after a clean stop."""

ORPHANED = 4
BUSY = "busy"

_INTERNAL = "InternalError"


class Stopped(BaseException):
    """Raised between two steps of a build that is to stop."""


class Child:
    """One build, and the two pipes.

    Parameters
    ----------
    orders, answers:
        Where the task comes from, and where lines go.
    """

    def __init__(self, orders: IO[str], answers: IO[str]) -> None:
        self._orders = orders
        self._answers = answers
        self._stop = threading.Event()

    def main(self) -> int:
        """Build; returns the exit code."""
        signal.signal(signal.SIGTERM, self._asked_to_stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        task = json.loads(self._orders.readline())
        threading.Thread(target=self._end_with_parent, daemon=True).start()
        settings = WorkerSettings.model_validate(task["settings"])
        configure(settings.log_level)
        names = _Names(settings)
        try:
            spec = BuildSpec.model_validate(task["spec"])
            summary = self._build(settings, task["collection"], spec)
        except Stopped:
            return STOPPED
        except BusyError as error:
            self._say(error=JobError(type=BUSY, message=names.hidden(str(error))))
        except KinfoldError as error:
            kind = type(error).__name__
            self._say(error=JobError(type=kind, message=names.hidden(str(error))))
        except MemoryError as error:
            self._say(error=JobError(type="CapacityError", message=f"out of memory: {error}"))
        except Exception:
            worker_log.exception("the build of %s failed", task["collection"])
            self._say(
                error=JobError(
                    type=_INTERNAL, message="the build failed; the log of the worker has the reason"
                )
            )
        else:
            self._say(result=_as_result(summary))
            remove_old_versions(settings, summary.path)
        return 0

    def _build(self, settings: WorkerSettings, collection: str, spec: BuildSpec) -> BuildSummary:
        folder = collection_path(settings.data, collection)

        def told(event: Event) -> None:
            self._check()
            if event["event"] == "progress":
                self._say(progress=JobProgress.model_validate(event))

        source, config, models = read_for_build(settings, folder, spec)
        return build_collection(
            source, settings.data, collection, config, lambda _: self._check(),
            models=models, threads=settings.build_threads, memory=settings.build_memory,
            events=told,
        )  # fmt: skip

    def _check(self) -> None:
        if self._stop.is_set():
            raise Stopped

    def _say(self, **line: JobProgress | BuildResult | JobError) -> None:
        content: dict[str, Any] = {
            name: value.model_dump(mode="json") for name, value in line.items()
        }
        self._answers.write(json.dumps(content) + "\n")
        self._answers.flush()

    def _asked_to_stop(self, signal_number: int, frame: FrameType | None) -> None:
        self._stop.set()

    def _end_with_parent(self) -> None:
        while self._orders.readline():
            pass
        os._exit(ORPHANED)


class _Names:
    """What clients may see of paths: where folders lie is not their business."""

    def __init__(self, settings: WorkerSettings) -> None:
        folders = [settings.data] if settings.sources is None else [settings.data, settings.sources]
        self._hidden = [f"{one}/" for folder in folders for one in (folder, folder.resolve())]

    def hidden(self, message: str) -> str:
        for prefix in sorted(self._hidden, key=len, reverse=True):
            message = message.replace(prefix, "")
        return message


def _as_result(summary: BuildSummary) -> BuildResult:
    manifest = summary.manifest
    others = (name for name in manifest.models if name != manifest.default_model)
    return BuildResult(
        version=summary.version,
        seconds=round(summary.seconds, 3),
        bytes=summary.bytes,
        rows=manifest.rows,
        dimension=manifest.dimension,
        models=[manifest.default_model, *others],
    )


def main() -> None:
    """Run as the child of a worker."""
    # Searches on the same machine come before a build, which can wait.
    os.nice(_NICER)
    # Whatever a library prints goes to the log and not between the lines.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with suppress(BrokenPipeError):
        code = Child(sys.stdin, answers).main()
        logging.shutdown()
        # Not by the interpreter's end: a thread still waits for standard input to end.
        os._exit(code)
    os._exit(ORPHANED)


if __name__ == "__main__":
    main()
