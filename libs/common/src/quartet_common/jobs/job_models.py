"""Shapes of requests and responses about jobs, for the OpenAPI document."""

from dataclasses import dataclass, field


@dataclass
class NewJobQuery:
    """What to do, in which format; `match`, `mapping`, `delimiter` and `encoding` where a kind of job has them."""

    kind: str
    format: str = "ndjson"
    dry_run: bool = False
    match: str | None = None
    mapping: str | None = None
    delimiter: str | None = None
    encoding: str | None = None


@dataclass
class JobPageQuery:
    """The query parameters of a page."""

    cursor: str | None = None
    count: int | None = None


@dataclass
class JobDocument:
    """A job. `done`, `failed` and `skipped` count records; `rate` is in records per second, `remaining` in seconds."""

    id: str
    kind: str
    format: str
    options: dict[str, str]
    dry_run: bool
    state: str
    cancelled: bool
    error: str | None
    created_at: str
    created_by: str
    started_at: str | None
    ended_at: str | None
    upload_bytes: int
    result_bytes: int
    done: int
    failed: int
    skipped: int
    progress: float
    rate: float | None
    remaining: float | None


@dataclass
class JobListDocument:
    """A page of jobs; `next` is the cursor of the next page, null on the last."""

    jobs: list[JobDocument] = field(default_factory=list)
    next: str | None = None
