"""Jobs: their states, counts and errors; no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from quartet_common.core.caller import Caller
from quartet_common.core.errors import NotFoundError, ServiceError

State = Literal["uploading", "waiting", "running", "completed", "failed", "cancelled"]
OPEN: Sequence[State] = ("uploading", "waiting", "running")
MAX_OPEN = 20
"""Jobs of a tenant that are not ended."""
MAX_FINDINGS = 100_000
"""Lines of a report."""
MAX_VALUE = 200
"""Characters of a value in a report."""


@dataclass(frozen=True)
class Job:
    """A stored job. `part` of `whole` is done, in bytes of the file or in records; `position` counts the records of
    all finished sets.
    """

    tenant: str
    id: UUID
    kind: str
    format: str
    options: Mapping[str, Any]
    is_dry_run: bool
    caller: Caller
    state: State
    created_at: datetime
    is_cancelled: bool = False
    error: str | None = None
    upload_bytes: int = 0
    result_bytes: int = 0
    results: int = 0
    position: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0
    findings: int = 0
    part: int = 0
    whole: int = 0
    saved: Mapping[str, Any] = field(default_factory=dict)
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it will change."""
        return self.state not in OPEN

    def rate(self, now: datetime) -> float | None:
        """Records per second; None before the first set."""
        seconds = self._seconds(now)
        return None if not seconds or not self.position else self.position / seconds

    def remaining(self, now: datetime) -> float | None:
        """Seconds until it ends, estimated; None unless it runs and has finished a set."""
        if self.state != "running" or not self.part or self.whole < self.part:
            return None
        return self._seconds(now) * (self.whole - self.part) / self.part

    def _seconds(self, now: datetime) -> float:
        return 0.0 if self.started_at is None else ((self.ended_at or now) - self.started_at).total_seconds()


@dataclass(frozen=True)
class Finding:
    """A line of a report: what is wrong with a line of the file, or what of it is left out."""

    line: int
    reason: str
    value: str
    is_error: bool = True


class JobError(Exception):
    """A job cannot be done, or not continued; the text is for the client."""


class NoJobError(NotFoundError):
    """404: the tenant has no such job, or it is removed."""

    def __init__(self) -> None:
        super().__init__("There is no such job. Jobs are removed some days after their end.")


class TooManyJobsError(ServiceError):
    """409: the tenant has too many jobs that are not ended."""

    def __init__(self) -> None:
        super().__init__(
            409, "too_many_jobs", f"The tenant has {MAX_OPEN} jobs that have not ended. Wait for them, or cancel some."
        )


class JobEndedError(ServiceError):
    """409: a job that has ended cannot be cancelled."""

    def __init__(self, state: State) -> None:
        super().__init__(409, "job_ended", f"The job has ended already; it is {state}.")


class NoResultError(ServiceError):
    """409: a job has no file to download, or not yet."""

    def __init__(self, state: State) -> None:
        super().__init__(409, "no_result", f"The job has no result; it is {state}. Only completed exports have a file.")
