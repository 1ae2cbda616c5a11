"""Kinds of jobs: what a service can do in one, and what a client may ask for."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from quartet_common.jobs.running_job import RunningJob


@dataclass(frozen=True)
class JobKind:
    """What a service can do in a job: `run` does it, in the worker.

    formats: the media type of the file by the name of the format. takes_file: whether the file is uploaded; otherwise
    the job makes it. options: the values that each further parameter may have, none for any text; the first is the
    default. `run` raises JobError if the job cannot be done.
    """

    name: str
    run: Callable[[RunningJob], Awaitable[None]]
    formats: Mapping[str, str]
    takes_file: bool = True
    options: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class JobKinds:
    """The kinds of jobs of a service, by name."""

    by_name: Mapping[str, JobKind]

    @classmethod
    def of(cls, *kinds: JobKind) -> "JobKinds":
        """These kinds."""
        return cls({kind.name: kind for kind in kinds})


@dataclass(frozen=True)
class NewJob:
    """A job that a client asks for."""

    kind: JobKind
    format: str
    is_dry_run: bool
    options: Mapping[str, Any]
