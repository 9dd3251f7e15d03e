"""What the service tells of jobs and uploads, as models."""

from __future__ import annotations

from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from workers.jobs import BuildResult, BuildSpec, Job, JobError, JobProgress, Status


class JobInfo(BaseModel):
    """A build as a job: what was asked for, how far it is, how it ended."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    collection: str
    status: Status
    attempt: int = Field(
        description="Counts on when its process or worker died and it began again, and by a retry."
    )
    cancel_requested: bool = Field(description="It is asked to stop, and does within a second.")
    spec: BuildSpec = Field(description="What was asked for.")
    created: AwareDatetime
    started: AwareDatetime | None
    ended: AwareDatetime | None
    heartbeat: AwareDatetime | None = Field(description="When its worker was heard of last.")
    progress: JobProgress | None
    result: BuildResult | None = Field(description="Of a job that is done.")
    error: JobError | None = Field(description="Of a job that failed.")
    asked_by: str | None = Field(description="The id of the API key that asked for it.")

    @classmethod
    def of(cls, job: Job) -> JobInfo:
        """What clients are told of a job."""
        return cls.model_validate(job)


class JobList(BaseModel):
    """The builds of a collection that are kept, the newest first."""

    builds: list[JobInfo]


class UploadInfo(BaseModel):
    """A file that arrived and can be built from."""

    upload: str = Field(description="The id by which a build names it.")
    bytes: int
    sha256: str


_ID = "5d2c1f0b7a3e4d69b8c7a6f5e4d3c2b1"

JOB_EXAMPLE: dict[str, Any] = {
    "id": _ID,
    "collection": "photos",
    "status": "running",
    "attempt": 1,
    "cancel_requested": False,
    "spec": {
        "source": "photos.parquet", "upload": None,
        "columns": {"vectors": None, "ids": "id", "payload": ["title"]},
        "config": {"k_d": 15}, "models": None,
    },
    "created": "2025-03-01T12:00:00.000Z",
    "started": "2025-03-01T12:00:00.210Z",
    "ended": None,
    "heartbeat": "2025-03-01T12:00:07.550Z",
    "progress": {
        "stage": None, "phase": "diffusion", "done": 61440, "total": 100000, "unit": "rows",
        "rate": 8412.0, "eta_seconds": 4.6, "stages_done": None, "stages_total": None,
        "rss_bytes": 734003200,
    },
    "result": None,
    "error": None,
    "asked_by": None,
}  # fmt: skip

QUEUED_EXAMPLE = {
    **JOB_EXAMPLE, "status": "queued", "started": None, "heartbeat": None, "progress": None,
}  # fmt: skip

CANCELLED_EXAMPLE = {
    **JOB_EXAMPLE, "status": "cancelled", "cancel_requested": True,
    "ended": "2025-03-01T12:00:08.020Z",
}  # fmt: skip

UPLOAD_EXAMPLE: dict[str, Any] = {
    "upload": "9b1d5e3c7f2a4860b1c2d3e4f5a69788",
    "bytes": 2048128,
    "sha256": "c0ffee254729296a45a3885639ac7e10f9d54979c0ffee254729296a45a38856",
}

BUILD_BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "source": ("A file of the folder of sources", {"source": "photos.parquet"}),
    "upload": (
        "An upload, its columns named, one model",
        {
            "upload": UPLOAD_EXAMPLE["upload"],
            "columns": {"vectors": "embedding", "ids": "id", "payload": ["title"]},
            "config": {"similarity": ["superglobal"], "k_d": 20},
        },
    ),
    "models": (
        "Several models of one gallery, the default first",
        {
            "source": "photos.parquet",
            "models": {"rdip": {"similarity": ["superglobal"]}, "far": {}},
        },
    ),
    "rebuild": ("The live version anew, with other parameters", {"config": {"alpha": 0.99}}),
}
