"""Builds: started, looked at, waited for, cancelled, tried again."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
from pydantic import BaseModel

from kinfold.client.addresses import collection_at
from kinfold.client.answers import CollectionInfo, Job
from kinfold.client.calls import Call, Sleep, Steps
from kinfold.client.errors import BuildEndedError
from kinfold.client.method import Caller, answer_of, method
from kinfold.client.methods.search import json_call
from kinfold.client.methods.uploads import Uploads
from kinfold.client.waiting import OnProgress, until_over
from kinfold.config import BuildConfig
from kinfold.errors import InputError

_SERVED_TRIES, _SERVED_PAUSE = 100, 0.1


class _Jobs(BaseModel):
    builds: list[Job]


class Builds:
    """Builds, and waiting for them."""

    @method
    def start_build(
        self: Caller,
        collection: str,
        *,
        source: str | None = None,
        upload: str | None = None,
        columns: Mapping[str, Any] | None = None,
        config: BuildConfig | Mapping[str, Any] | None = None,
        models: Mapping[str, BuildConfig | Mapping[str, Any]] | None = None,
    ) -> Steps[Job]:
        """Queue a build, and return at once.

        It is tried again where the service was not reached or says that it did nothing. Where
        the answer was lost, `UnreachableError.maybe_done` is true: `list_builds` tells.

        Parameters
        ----------
        collection:
            Name of the collection.
        source:
            A file in the service's folder of sources.
        upload:
            The id of an `Upload`. Neither: the live version's vectors are built anew.
        columns:
            Names of the columns: vectors, ids, payload.
        config:
            Parameters of a single model.
        models:
            Parameters of several, by their names.
        """
        return (yield from _start(self, collection, source, upload, columns, config, models))

    @method
    def get_build(self: Caller, collection: str, job: str) -> Steps[Job]:
        """How far a build is."""
        return (yield from _job(self, Call("GET", collection_at(collection, "builds", job))))

    @method
    def list_builds(self: Caller, collection: str) -> Steps[list[Job]]:
        """The builds of a collection, the newest first."""
        call = Call("GET", collection_at(collection, "builds"))
        return (yield from answer_of(self, call, _Jobs)).builds

    @method
    def cancel_build(self: Caller, collection: str, job: str) -> Steps[Job]:
        """Ask a build to stop; `wait_for_build` tells when it has."""
        return (yield from _job(self, Call("DELETE", collection_at(collection, "builds", job))))

    @method
    def retry_build(self: Caller, collection: str, job: str) -> Steps[Job]:
        """Queue a build again that failed or was cancelled; it goes on where it stopped."""
        path = collection_at(collection, "builds", job) + "/retry"
        return (yield from _job(self, Call("POST", path, repeatable=False)))

    @method
    def wait_for_build(
        self: Caller,
        collection: str,
        job: str,
        *,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
    ) -> Steps[Job]:
        """Wait until a build is done, and return it.

        Parameters
        ----------
        on_progress:
            Called with the `Job` whenever there is news of it: by server-sent events, or by
            asking every second where those do not come through.
        timeout:
            Seconds; None: as long as it takes.

        Raises
        ------
        BuildEndedError
            It failed or was cancelled.
        WaitedTooLongError
            It is not over after `timeout`; it goes on.
        """
        end = None if timeout is None else time.monotonic() + timeout
        return _done((yield from until_over(self, collection, job, on_progress, end)))

    @method
    def build_and_wait(
        self: Caller,
        collection: str,
        data: str | os.PathLike[str] | npt.NDArray[Any] | None = None,
        *,
        source: str | None = None,
        columns: Mapping[str, Any] | None = None,
        config: BuildConfig | Mapping[str, Any] | None = None,
        models: Mapping[str, BuildConfig | Mapping[str, Any]] | None = None,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
    ) -> Steps[Job]:
        """Upload data if there is some, queue a build, and wait until it is done and answers.

        Behind a proxy other processes may follow within the service's KINFOLD_WATCH_SECONDS.

        Parameters
        ----------
        data:
            As of `upload`; None: from `source`, or of the live version.
        """
        if data is not None and source is not None:
            raise InputError("expected data or source or neither, found both")
        end = None if timeout is None else time.monotonic() + timeout
        upload = None
        if data is not None:
            upload = (yield from Uploads.upload(self, data)).upload
        asked = yield from _start(self, collection, source, upload, columns, config, models)
        job = _done((yield from until_over(self, collection, asked.id, on_progress, end)))
        yield from _until_served(self, collection, job)
        return job


def _start(
    client: Caller,
    collection: str,
    source: str | None,
    upload: str | None,
    columns: Mapping[str, Any] | None,
    config: BuildConfig | Mapping[str, Any] | None,
    models: Mapping[str, BuildConfig | Mapping[str, Any]] | None,
) -> Steps[Job]:
    body = {
        "source": source,
        "upload": upload,
        "columns": None if columns is None else dict(columns),
        "config": None if config is None else _parameters(config),
        "models": None
        if models is None
        else {name: _parameters(values) for name, values in models.items()},
    }
    given = {name: value for name, value in body.items() if value is not None}
    # Not repeatable: a second one would be refused, or, worse, come after the first is done.
    call = json_call("POST", collection_at(collection, "builds"), given, repeatable=False)
    return (yield from _job(client, call))


def _parameters(config: BuildConfig | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(config, BuildConfig):
        return config.model_dump(mode="json", exclude_unset=True)
    return dict(config)


def _job(client: Caller, call: Call) -> Steps[Job]:
    return (yield from answer_of(client, call, Job))


def _until_served(client: Caller, collection: str, job: Job) -> Steps[None]:
    """Wait a little until searches are answered from what a job has built, or from a later one."""
    version = job.result.version if job.result else None
    for _ in range(_SERVED_TRIES):
        info = yield from answer_of(client, Call("GET", collection_at(collection)), CollectionInfo)
        # Names of versions begin with the time.
        if version is None or (info.version or "") >= version:
            return
        yield Sleep(_SERVED_PAUSE)


def _done(job: Job) -> Job:
    if job.status != "done":
        why = f": {job.error.message}" if job.error else ""
        raise BuildEndedError(f"the build {job.id} of {job.collection!r} {job.status}{why}", job)
    return job
