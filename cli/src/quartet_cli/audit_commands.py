"""The commands `audit`: search and follow a tenant's log; verify it, a bundle or a proof with libs/audit_verifier."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from quartet_cli import tables
from quartet_cli.api import Api, command, connect
from quartet_cli.errors import QuartetError
from quartet_cli.live_entries import Tail
from quartet_cli.profiles import ProfileName
from quartet_cli.tables import Json

if TYPE_CHECKING:  # commands that verify nothing start a fifth of a second earlier
    from quartet_audit_verifier.report import Report
    from quartet_audit_verifier.trust import Trust

app = typer.Typer(help="Search, follow and verify audit logs.", no_args_is_help=True)
SCOPE: Final = "audit:read audit:export"
TOKEN: Final = "QUARTET_AUDIT_TOKEN"  # noqa: S105  # the name of an environment variable
EXIT_CODES: Final = "Exit codes: 0 verified; 1 error: nothing could be verified; 5 not verified: the findings say why."
COLUMNS: Final = {
    "time": "when", "sequence": "sequence", "action": "action", "actor": "who", "resource": "what",
    "outcome": "outcome",
}  # fmt: skip
PAGE: Final = 500

Action = Annotated[str | None, typer.Option(help="The action, or its beginning and *, such as users.user.*")]
Actor = Annotated[str | None, typer.Option(help="The id of the user or client that caused the event.")]
Resource = Annotated[str | None, typer.Option(help="The id of the resource that was changed.")]
ResourceType = Annotated[str | None, typer.Option("--type", help="The collection of the resource, such as users.")]
Outcome = Annotated[str | None, typer.Option(help="success or denied.")]
Address = Annotated[str | None, typer.Option(help="The source address, or a network.")]
Text = Annotated[str | None, typer.Option(help="Words in ids, names and data.")]
Policy = Annotated[Path | None, typer.Option(help="A file with known logs, witnesses and their quorum (tlog-policy).")]
Vkeys = Annotated[list[str] | None, typer.Option("--vkey", help="A key of the log; may be repeated.")]
Checkpoints = Annotated[
    list[Path] | None, typer.Option("--checkpoint", help="A checkpoint that another reader has got; may be repeated.")
]
State = Annotated[Path | None, typer.Option(help="Folder of seen checkpoints; default: in the user's data directory.")]


@command(app)
def search(
    api: Api,
    action: Action = None,
    actor: Actor = None,
    resource: Resource = None,
    resource_type: ResourceType = None,
    outcome: Outcome = None,
    address: Address = None,
    text: Text = None,
    since: Annotated[str | None, typer.Option("--from", metavar="TIME", help="RFC 3339 time, inclusive.")] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="RFC 3339 time, exclusive.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="The largest number of entries; 0: all.")] = 50,
    as_json: Json = False,
) -> None:
    """Search the tenant's log, newest entries first."""
    filters = _filters(action, actor, resource, resource_type, outcome, address, text) | _given(
        {"from": since, "to": until}
    )
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None and (not limit or len(found) < limit):
        size = str(min(limit - len(found), PAGE) if limit else PAGE)
        page = api.ask("GET", "/audit/events", params={**filters, "limit": size, "cursor": cursor})
        found += page["events"]
        cursor = page["next"]
    tables.show(found if as_json else [row_of(one) for one in found], COLUMNS, as_json=as_json)
    if not as_json and cursor is not None:
        tables.note_limit(len(found), limit)


@command(app)
def tail(
    api: Api,
    action: Action = None,
    actor: Actor = None,
    resource: Resource = None,
    resource_type: ResourceType = None,
    outcome: Outcome = None,
    address: Address = None,
    text: Text = None,
    after: Annotated[int | None, typer.Option(help="Begin after the entry with this sequence number.")] = None,
    number: Annotated[int, typer.Option("-n", "--lines", min=0, help="End after so many entries; 0: go on.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object for each entry.")] = False,
) -> None:
    """Show entries of the tenant's log as they are recorded, until Ctrl-C. Lost connections are opened again."""
    filters = _filters(action, actor, resource, resource_type, outcome, address, text)
    for count, entry in enumerate(Tail(api, filters, after).follow(), 1):
        print(json.dumps(entry) if as_json else "  ".join(map(str, row_of(entry).values())), flush=True)
        if count == number:
            return


def row_of(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry in the columns of a table."""
    resource = entry.get("resource") or {}
    return {
        "when": str(entry["time"])[:19].replace("T", " "),
        "sequence": entry["sequence"],
        "action": entry["action"],
        "who": entry.get("actor_name") or entry["actor"],
        "what": entry.get("resource_name") or f"{resource.get('type')}/{resource.get('id')}",
        "outcome": entry["outcome"],
    }


def _filters(*values: str | None) -> dict[str, str]:
    names = ("action", "actor", "resource", "resource_type", "outcome", "address", "text")
    return _given(dict(zip(names, values, strict=True)))


def _given(filters: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in filters.items() if value}


@app.command(epilog=EXIT_CODES)
def verify(
    bundle: Annotated[
        list[Path] | None, typer.Option(help="A bundle; repeated, its pieces. Default: the log of the running stack.")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(help="The tenant whose log it must be. Default without a bundle: default.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help=f"URL of another stack, with a token in {TOKEN} or its client's secret.")
    ] = None,
    profile: ProfileName = None,
    ca: Annotated[Path | None, typer.Option(help="Certificates (PEM) that the server's is checked with.")] = None,
    policy: Policy = None,
    vkey: Vkeys = None,
    checkpoint: Checkpoints = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Read every entry of a log and check all: parts, leaves, tree, signatures, checkpoints that were seen before."""
    if bundle and url:
        raise typer.BadParameter("give --bundle or --url, not both")
    from quartet_audit_verifier.client import ServerError
    from quartet_audit_verifier.state import StateError
    from quartet_audit_verifier.verify import verify_files

    trust = _trust(policy, vkey, checkpoint, state)
    try:
        report = verify_files(bundle, trust, tenant) if bundle else _verify_server(url, profile, ca, tenant, trust)
    except (OSError, StateError, ServerError) as error:
        raise QuartetError(str(error)) from error
    _show(report, as_json=as_json)


@app.command(name="verify-proof", epilog=EXIT_CODES)
def verify_proof_(
    file: Annotated[Path, typer.Argument(help="A proof: JSON, or text of tlog-proof.")],
    tenant: Annotated[str | None, typer.Option(help="The tenant whose log it must be of.")] = None,
    policy: Policy = None,
    vkey: Vkeys = None,
    checkpoint: Checkpoints = None,
    state: State = None,
    as_json: Json = False,
) -> None:
    """Check the proof of one entry."""
    from quartet_audit_verifier import command_line
    from quartet_audit_verifier.proof import verify_proof
    from quartet_audit_verifier.state import StateError

    trust = _trust(policy, vkey, checkpoint, state)
    try:
        report = verify_proof(command_line.read_proof(file), trust, tenant)
    except (OSError, StateError) as error:
        raise QuartetError(str(error)) from error
    _show(report, as_json=as_json)


def _trust(policy: Path | None, vkeys: list[str] | None, checkpoints: list[Path] | None, state: Path | None) -> "Trust":
    from quartet_audit_verifier.command_line import Options, UsageError
    from quartet_audit_verifier.state import StateError, default_directory

    options = Options(policy, vkeys or (), checkpoints or (), state or default_directory())
    try:
        return options.trust()
    except UsageError as error:
        raise typer.BadParameter(str(error)) from error
    except StateError as error:
        raise QuartetError(str(error)) from error


def _verify_server(
    url: str | None, profile: str | None, ca: Path | None, tenant: str | None, trust: "Trust"
) -> "Report":
    from quartet_audit_verifier.client import Server
    from quartet_audit_verifier.online import verify_server

    if url and (token := os.environ.get(TOKEN)):
        return verify_server(Server(url.rstrip("/"), token, ca), tenant or "default", trust)
    api = connect(url, profile, tenant)
    api.scope, api.profile.ca = SCOPE, str(ca) if ca else api.profile.ca
    trusted = Path(api.profile.ca) if api.profile.ca else None
    return verify_server(Server(api.url, api.token(), trusted), str(api.profile.tenant), trust)


def _show(report: "Report", *, as_json: bool) -> None:
    from quartet_audit_verifier import command_line

    if code := command_line.show(report, as_json=as_json):
        raise typer.Exit(code)
