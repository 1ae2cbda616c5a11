"""The commands `events`: list, count, show, redrive and discard dead letters; pause and resume consumers."""

import json
import time
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import typer

from quartet_cli import api_client, tables, tokens
from quartet_cli.api_client import Document
from quartet_cli.errors import QuartetError
from quartet_cli.layout import SERVICES, home_path
from quartet_cli.stack import Stack
from quartet_cli.tables import Json

SCOPE: Final = f"events:manage {tokens.SCOPE}"
COLUMNS: Final = {"id": "id", "type": "type", "tenant": "tenant", "died": "died_at", "reason": "reason"}
COUNT_COLUMNS: Final = {"service": "service", "type": "type", "failure": "failure", "count": "count"}
PAUSE: Final = 0.5
"""Seconds between two looks at a redrive."""

app = typer.Typer()
Service = Annotated[str, typer.Argument(help=f"The service that could not apply them: {', '.join(SERVICES)}.")]
Id = Annotated[str, typer.Argument(help="The id of a dead letter.")]
Ids = Annotated[list[str] | None, typer.Option("--id", help="Only this one; may be repeated.")]
Tenant = Annotated[str | None, typer.Option(help="Only those of this tenant.")]
Type = Annotated[str | None, typer.Option("--type", help="Only events of this type, such as users.user.created.v1.")]
Failure = Annotated[str | None, typer.Option(help="Only those whose reason begins with this, up to the colon.")]
Since = Annotated[str | None, typer.Option(help="Only those that died since this RFC 3339 time.")]
Until = Annotated[str | None, typer.Option(help="Only those that died before this RFC 3339 time.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count what would be taken.")]
Expected = Annotated[int | None, typer.Option(help="Do nothing unless it is this number, which --dry-run has shown.")]
Url = Annotated[str | None, typer.Option(help=tokens.URL_HELP)]


@app.command(name="list")
def list_(
    service: Service,
    tenant: Tenant = None,
    type_: Type = None,
    failure: Failure = None,
    since: Since = None,
    until: Until = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """List the dead letters of a service, oldest first."""
    api, found = _Api(url, service), list[Document]()
    cursor: str | None = ""
    given = _filter(tenant, type_, failure, since, until)
    while cursor is not None:
        page = api.ask("GET", f"dead-letters?{urlencode({**given, 'count': 1000, 'cursor': cursor})}")
        found += page["dead_letters"]
        cursor = page["next"]
    tables.show(found, COLUMNS, as_json=as_json)


@app.command()
def count(url: Url = None, as_json: Json = False) -> None:
    """Count the dead letters of all services by type and failure."""
    found = [
        {"service": service, **one}
        for service in SERVICES
        for one in _Api(url, service).ask("GET", "dead-letters/counts")["counts"]
    ]
    tables.show(found, COUNT_COLUMNS, as_json=as_json)


@app.command()
def show(service: Service, letter: Id, url: Url = None) -> None:
    """Print a dead letter with its payload, as JSON."""
    print(json.dumps(_Api(url, service).ask("GET", f"dead-letters/{letter}"), indent=2))


@app.command()
def redrive(
    service: Service,
    ids: Ids = None,
    tenant: Tenant = None,
    type_: Type = None,
    failure: Failure = None,
    since: Since = None,
    until: Until = None,
    rate: Annotated[int, typer.Option(help="Messages per second.")] = 100,
    expected: Expected = None,
    dry_run: DryRun = False,
    url: Url = None,
) -> None:
    """Send dead letters back into the queue of their service, and wait until all are sent."""
    api = _Api(url, service)
    body = _chosen(ids, _filter(tenant, type_, failure, since, until), expected, dry_run=dry_run)
    made = api.ask("POST", "redrives", {**body, "rate": rate})
    if dry_run:
        _show_counts(service, made)
        return
    while made["status"] == "running":
        print(f"{made['sent']:,} of {made['selected']:,} sent", flush=True)
        time.sleep(PAUSE)
        made = api.ask("GET", f"redrives/{made['id']}")
    print(f"{made['sent']:,} of {made['selected']:,} sent: redrive {made['id']} is {made['status']}")


@app.command()
def discard(
    service: Service,
    reason: Annotated[str, typer.Option(help="Why their effect is not needed; it goes into the audit log.")],
    ids: Ids = None,
    tenant: Tenant = None,
    type_: Type = None,
    failure: Failure = None,
    since: Since = None,
    until: Until = None,
    expected: Expected = None,
    dry_run: DryRun = False,
    url: Url = None,
) -> None:
    """Delete dead letters, at most 200; the audit log keeps a copy of each."""
    body = _chosen(ids, _filter(tenant, type_, failure, since, until), expected, dry_run=dry_run)
    _show_counts(service, _Api(url, service).ask("POST", "dead-letters/discard", {**body, "reason": reason}))


@app.command()
def pause(
    consumer: Annotated[str, typer.Argument(help="A service, or SERVICE.revocations.")],
    reason: Annotated[str, typer.Option(help="Why; the status shows it.")],
    url: Url = None,
) -> None:
    """Stop a consumer in all workers of its service until it is resumed. Its events wait."""
    path = f"consumers/{consumer}/pause"
    _Api(url, consumer.partition(".")[0]).ask("POST", path, {"reason": reason})
    print(f"Consumer {consumer} is paused.")


@app.command()
def resume(
    consumer: Annotated[str, typer.Argument(help="A service, or SERVICE.revocations.")],
    url: Url = None,
) -> None:
    """Let a paused consumer take events again."""
    _Api(url, consumer.partition(".")[0]).ask("POST", f"consumers/{consumer}/resume")
    print(f"Consumer {consumer} takes events.")


class _Api:
    """The routes of a service for dead letters, as the platform's administrator."""

    def __init__(self, url: str | None, service: str) -> None:
        if service not in SERVICES:
            raise QuartetError(f"SERVICE must be one of {', '.join(SERVICES)}, got {service!r}")
        stack = Stack(home_path())
        target = (url or stack.url).rstrip("/")
        bearer = tokens.fetch(target, tokens.PLATFORM, SCOPE, tokens.own_secret(stack.home))
        self._base = f"{target}/{service}/rabbitmq"
        self._headers = {"Authorization": f"Bearer {bearer}"}

    def ask(self, method: str, path: str, body: Document | None = None) -> Any:
        """The answer. Raises QuartetError if the request is refused."""
        options = {} if body is None else {"json": body}
        status, answer = api_client.send(method, f"{self._base}/{path}", headers=self._headers, **options)
        if status not in (200, 202, 204):
            raise api_client.error_of(status, answer)
        return answer


def _filter(
    tenant: str | None, kind: str | None, failure: str | None, since: str | None, until: str | None
) -> dict[str, str]:
    given = {"tenant": tenant, "type": kind, "failure": failure, "since": since, "until": until}
    return {name: text for name, text in given.items() if text is not None}


def _chosen(ids: list[str] | None, given: dict[str, str], expected: int | None, *, dry_run: bool) -> Document:
    """The body that chooses dead letters. Raises QuartetError for ids with filters."""
    if ids and given:
        raise QuartetError("--id cannot be used with other filters")
    return {"dry_run": dry_run, "expected": expected, **({"ids": ids} if ids else {"filter": given})}


def _show_counts(service: str, found: Document) -> None:
    tables.show([{"service": service, **one} for one in found["counts"]], COUNT_COLUMNS, as_json=False)
    print(f"{found['total']:,} dead letters")
