"""The commands `events`: list, count, show, redrive and discard dead letters; pause and resume consumers."""

import json
import time
from typing import Annotated, Final

import typer

from quartet_cli import tables
from quartet_cli.api import Api, command
from quartet_cli.api_client import Document
from quartet_cli.errors import QuartetError
from quartet_cli.layout import SERVICES
from quartet_cli.tables import Json

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


@command(app, "list", platform=True)
def list_(
    api: Api,
    service: Service,
    tenant: Tenant = None,
    type_: Type = None,
    failure: Failure = None,
    since: Since = None,
    until: Until = None,
    as_json: Json = False,
) -> None:
    """List the dead letters of a service, oldest first."""
    given = _filter(tenant, type_, failure, since, until)
    found = api.list_all(_path(service, "dead-letters"), "dead_letters", 0, **given)
    tables.show(found, COLUMNS, as_json=as_json)


@command(app, platform=True)
def count(api: Api, as_json: Json = False) -> None:
    """Count the dead letters of all services by type and failure."""
    found = [
        {"service": service, **one}
        for service in SERVICES
        for one in api.ask("GET", _path(service, "dead-letters/counts"))["counts"]
    ]
    tables.show(found, COUNT_COLUMNS, as_json=as_json)


@command(app, platform=True)
def show(api: Api, service: Service, letter: Id) -> None:
    """Print a dead letter with its payload, as JSON."""
    print(json.dumps(api.ask("GET", _path(service, f"dead-letters/{letter}")), indent=2))


@command(app, platform=True)
def redrive(
    api: Api,
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
) -> None:
    """Send dead letters back into the queue of their service, and wait until all are sent."""
    body = _chosen(ids, _filter(tenant, type_, failure, since, until), expected, dry_run=dry_run)
    made = api.ask("POST", _path(service, "redrives"), json={**body, "rate": rate})
    if dry_run:
        _show_counts(service, made)
        return
    while made["status"] == "running":
        print(f"{made['sent']:,} of {made['selected']:,} sent", flush=True)
        time.sleep(PAUSE)
        made = api.ask("GET", _path(service, f"redrives/{made['id']}"))
    print(f"{made['sent']:,} of {made['selected']:,} sent: redrive {made['id']} is {made['status']}")


@command(app, platform=True)
def discard(
    api: Api,
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
) -> None:
    """Delete dead letters, at most 200; the audit log keeps a copy of each."""
    body = _chosen(ids, _filter(tenant, type_, failure, since, until), expected, dry_run=dry_run)
    path = _path(service, "dead-letters/discard")
    _show_counts(service, api.ask("POST", path, json={**body, "reason": reason}))


@command(app, platform=True)
def pause(
    api: Api,
    consumer: Annotated[str, typer.Argument(help="A service, or SERVICE.revocations.")],
    reason: Annotated[str, typer.Option(help="Why; the status shows it.")],
) -> None:
    """Stop a consumer in all workers of its service until it is resumed. Its events wait."""
    path = _path(consumer.partition(".")[0], f"consumers/{consumer}/pause")
    api.ask("POST", path, json={"reason": reason})
    print(f"Consumer {consumer} is paused.")


@command(app, platform=True)
def resume(
    api: Api,
    consumer: Annotated[str, typer.Argument(help="A service, or SERVICE.revocations.")],
) -> None:
    """Let a paused consumer take events again."""
    api.ask("POST", _path(consumer.partition(".")[0], f"consumers/{consumer}/resume"))
    print(f"Consumer {consumer} takes events.")


def _path(service: str, path: str) -> str:
    """The path of a route of a service. Raises QuartetError."""
    if service not in SERVICES:
        raise QuartetError(f"SERVICE must be one of {', '.join(SERVICES)}, got {service!r}")
    return f"/{service}/rabbitmq/{path}"


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
