"""What can go wrong with jobs, beside the library's own errors."""

from __future__ import annotations

from kinfold.errors import BusyError, InputError, KinfoldError, UnknownNameError


class UnknownJobError(UnknownNameError):
    """No job has this id, or it ended too long ago."""


class UnknownUploadError(UnknownNameError):
    """No upload has this id, or it was made too long ago."""


class SourceError(InputError):
    """A source was named that no build may read, or that is not there."""


class UploadTooLargeError(InputError):
    """An upload is larger than the operator allows."""


class JobStateError(KinfoldError):
    """What was asked of the job cannot be done in its state."""


class BuildInProgressError(BusyError):
    """The collection has a build that is queued or running.

    Attributes
    ----------
    job_id:
        Of that build.
    """

    def __init__(self, collection: str, job_id: str) -> None:
        super().__init__(
            f"collection {collection!r}: the build {job_id} is queued or running; wait for it, or "
            "cancel it"
        )
        self.job_id = job_id


class QueueUnavailableError(KinfoldError):
    """The job queue cannot be reached; nothing was accepted that could be lost."""
