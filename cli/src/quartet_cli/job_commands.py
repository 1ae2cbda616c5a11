"""The commands `import` and `export`, which send files to jobs of the services and follow them, and `jobs`."""

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from quartet_cli import api_client, tables
from quartet_cli.api import Api, command
from quartet_cli.api_client import Document
from quartet_cli.errors import QuartetError
from quartet_cli.tables import Json

app = typer.Typer(help="List, show and cancel jobs (imports and exports).", no_args_is_help=True)
SERVICES: Final = ("users", "groups")
"""In this order: groups need their members."""
FORMATS: Final = {".ndjson": "ndjson", ".jsonl": "ndjson", ".csv": "csv", ".tsv": "csv", ".ldif": "ldif"}
"""The formats of files, by the ends of their names; those of .json differ."""
SHOWN: Final = 20
"""Lines of a report that are printed."""
PAUSE: Final = 0.5
PIECE: Final = 256 * 1024
UPLOAD_TIMEOUT: Final = 300.0
COLUMNS: Final = {
    "id": "id", "kind": "kind", "format": "format", "state": "state", "done": "done", "failed": "failed",
    "skipped": "skipped", "created": "created_at", "by": "created_by",
}  # fmt: skip

Service = Annotated[
    Literal["users", "groups"] | None, typer.Option(help="Only this service; default: users, then groups.")
]
JobService = Annotated[Literal["users", "groups"], typer.Option(help="The service of the job.")]
Format = Annotated[
    str | None,
    typer.Option("--format", help="ndjson, csv, ldif, scim-bulk or keycloak; default: by the end of the name."),
]
Show = Callable[[str, float], None]
"""Shows a text and how much is done, from 0 to 1."""


@dataclass(frozen=True)
class Upload:
    """A file as the body of a request, which may be sent again with another token."""

    path: Path
    show: Show

    def __iter__(self) -> Iterator[bytes]:
        sent, size = 0, max(self.path.stat().st_size, 1)
        with self.path.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece
                sent += len(piece)
                self.show("uploading", sent / size)


def import_(
    api: Api,
    file: Annotated[Path, typer.Argument(help="A file of users and groups.", exists=True, dir_okay=False)],
    format_: Format = None,
    match: Annotated[
        Literal["userName", "displayName", "externalId"] | None,
        typer.Option(help="What finds existing users and groups; default: userName, and externalId of groups."),
    ] = None,
    mapping: Annotated[
        list[str] | None, typer.Option("--map", metavar="COLUMN=ATTRIBUTE", help="A column of CSV; may be repeated.")
    ] = None,
    delimiter: Annotated[str | None, typer.Option(help="Between the cells of CSV; default: detected.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Such as utf-8 or cp1252; default: detected.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report what would be done, and change nothing.")] = False,
    report: Annotated[Path | None, typer.Option(help="A file for the whole report (NDJSON).")] = None,
    service: Service = None,
) -> None:
    """Import users and groups from a file, and show the progress. Exit code 0: every record is imported."""
    given = {
        "kind": "import",
        "format": format_ or format_of(file),
        "dry_run": "true" if dry_run else None,
        "mapping": json.dumps(read_mapping(mapping)) if mapping else None,
        "delimiter": delimiter,
        "encoding": encoding,
    }
    failed = 0
    if report is not None:
        report.write_bytes(b"")
    for name in [service] if service else SERVICES:
        found = {**given, "match": match if match in matches(name) else None}
        with progress(name) as show:
            job = make(api, name, found, Upload(file, show))
            job = follow(api, name, job, show)
        print(f"{name}: {summary(job, dry_run=dry_run)}")
        failed += job["failed"] + (job["state"] != "completed")
        show_report(api, name, job, report)
    if failed:
        raise typer.Exit(1)


def export(
    api: Api,
    output: Annotated[Path, typer.Option("-o", "--output", help="The new file.", dir_okay=False)],
    format_: Format = None,
    service: Service = None,
) -> None:
    """Export users and groups to a file. CSV and LDIF have groups in a second file, NAME.groups.csv."""
    wanted = format_ or format_of(output)
    for name in [service] if service else SERVICES:
        target = output if name == (service or SERVICES[0]) or wanted == "ndjson" else with_part(output, name)
        with progress(name) as show:
            job = follow(api, name, make(api, name, {"kind": "export", "format": wanted}), show)
            if job["state"] != "completed":
                raise QuartetError(f"{name}: {summary(job)}")
            download(api, path_of(name, job) + "/result", target, append=target == output and name != SERVICES[0])
        print(f"{name}: {job['done']} records in {target}")


@command(app)
def list_(api: Api, service: JobService = "users", as_json: Json = False) -> None:
    """List the jobs of a service, newest first."""
    tables.show(api.list_all(f"/{service}/data/jobs", "jobs"), COLUMNS, as_json=as_json)


@command(app)
def get(api: Api, job_id: str, service: JobService = "users", as_json: Json = False) -> None:
    """Show a job."""
    tables.show_one(api.ask("GET", f"/{service}/data/jobs/{job_id}"), as_json=as_json)


@command(app)
def report(api: Api, job_id: str, service: JobService = "users") -> None:
    """Print the report of a job: a line of JSON for each line of the file that is not imported as it stands."""
    for line in read_report(api, f"/{service}/data/jobs/{job_id}"):
        print(line)


@command(app)
def cancel(api: Api, job_id: str, service: JobService = "users") -> None:
    """Cancel a job. What it has done stays."""
    api.ask("POST", f"/{service}/data/jobs/{job_id}/cancel")
    print(f"Job {job_id} is cancelled.")


def matches(service: str) -> tuple[str, str]:
    """What finds a resource of a service."""
    return ("userName" if service == "users" else "displayName", "externalId")


def format_of(path: Path) -> str:
    """The format of a file by its name. Raises typer.BadParameter."""
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        raise typer.BadParameter(f"the format of {path.name} is not known by its name: add --format")
    return found


def read_mapping(given: list[str]) -> dict[str, str]:
    """The columns of `COLUMN=ATTRIBUTE`. Raises typer.BadParameter."""
    wrong = [one for one in given if "=" not in one]
    if wrong:
        raise typer.BadParameter(f"--map must be COLUMN=ATTRIBUTE, got {wrong[0]}")
    return {column: attribute for column, _, attribute in (one.rpartition("=") for one in given)}


def with_part(path: Path, name: str) -> Path:
    """`people.groups.csv` for `people.csv`."""
    return path.with_name(f"{path.stem}.{name}{path.suffix}")


def path_of(service: str, job: Document) -> str:
    """The path of a job."""
    return f"/{service}/data/jobs/{job['id']}"


def make(api: Api, service: str, given: dict[str, str | None], upload: Upload | None = None) -> Document:
    """A new job. Raises QuartetError."""
    options: dict[str, Any] = {"params": {name: value for name, value in given.items() if value is not None}}
    if upload is not None:
        options |= {"content": upload, "headers": {"Content-Length": str(upload.path.stat().st_size)}}
    return api.ask("POST", f"/{service}/data/jobs", timeout=UPLOAD_TIMEOUT, **options)


def follow(api: Api, service: str, job: Document, show: Show, pause: float = PAUSE) -> Document:
    """The job when it has ended; Ctrl-C cancels it."""
    try:
        while job["ended_at"] is None:
            time.sleep(pause)
            job = api.ask("GET", path_of(service, job))
            show(state_of(job), job["progress"])
    except KeyboardInterrupt:
        api.send("POST", f"{path_of(service, job)}/cancel")
        print(f"{service}: job {job['id']} is cancelled; what it has done stays", file=sys.stderr)
        raise
    return job


def state_of(job: Document) -> str:
    """The state of a job in a few words."""
    rate = f", {job['rate']:.0f}/s" if job["rate"] else ""
    left = f", {job['remaining']:.0f} s left" if job["remaining"] else ""
    failed = f", {job['failed']} failed" if job["failed"] else ""
    return f"{job['state']}: {job['done'] + job['skipped']} records{failed}{rate}{left}"


def summary(job: Document, *, dry_run: bool = False) -> str:
    """How a job has ended."""
    counts = f"{job['done']} imported, {job['skipped']} unchanged, {job['failed']} failed"
    if job["state"] == "completed":
        return counts + (" (dry run: nothing is changed)" if dry_run else "")
    return f"{job['state']}: {job['error'] or counts}"


def show_report(api: Api, service: str, job: Document, target: Path | None) -> None:
    """Print the first lines of a report on standard error, and write all of them to `target`."""
    lines = list(read_report(api, path_of(service, job)))
    for line in lines[:SHOWN]:
        one = json.loads(line)
        where = f"line {one['line']}: " if one["line"] else ""
        value = f" ({one['value']})" if one["value"] else ""
        print(f"{service}: {where}{one['reason']}{value}", file=sys.stderr)
    if target is not None:
        with target.open("a", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in lines)
    elif len(lines) > SHOWN:
        more = f"jobs report {job['id']} --service {service}"
        print(f"{service}: {len(lines) - SHOWN} more lines: {more}", file=sys.stderr)


def read_report(api: Api, path: str) -> Iterator[str]:
    """The lines of the report of a job. Raises QuartetError."""
    import httpx  # see api_client

    try:
        with api.stream(f"{path}/report", {}, {}) as answer:
            require_success(answer)
            yield from answer.iter_lines()
    except httpx.HTTPError as error:
        raise api_client.no_answer(api.url, error) from error


def download(api: Api, path: str, target: Path, *, append: bool) -> None:
    """Write a response to a file, which replaces another one when it is complete. Raises QuartetError."""
    import httpx  # see api_client

    part = target.with_name(target.name + ".part")
    try:
        with api.stream(path, {}, {}) as answer, part.open("wb") as file:
            require_success(answer)
            if append:
                with target.open("rb") as before:
                    shutil.copyfileobj(before, file)
            for piece in answer.iter_bytes(PIECE):
                file.write(piece)
    except httpx.HTTPError as error:
        raise api_client.no_answer(api.url, error) from error
    except OSError as error:
        raise QuartetError(f"Cannot write {part}: {error.strerror}") from error
    part.replace(target)


def require_success(answer: Any) -> None:
    """Raises QuartetError for a refused request, whose body was not read."""
    if answer.status_code != 200:
        raise api_client.error_of(answer.status_code, json.loads(answer.read()))


@contextmanager
def progress(name: str) -> Iterator[Show]:
    """A progress bar on a terminal, and nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    screen = Console(stderr=True)
    if not screen.is_terminal:
        yield lambda *_: None
        return
    columns = (TextColumn(name), BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task("waiting", total=1.0)
        yield lambda text, part: bar.update(task, description=text, completed=part)
