"""The commands `audit`: verify a tenant's log, a bundle or a proof, with libs/audit_verifier."""

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from quartet_audit_verifier import command_line
from quartet_audit_verifier.client import Server, ServerError
from quartet_audit_verifier.command_line import EXIT_CODES, TOKEN, Options, UsageError
from quartet_audit_verifier.online import verify_server
from quartet_audit_verifier.proof import verify_proof
from quartet_audit_verifier.report import Report
from quartet_audit_verifier.state import StateError, default_directory
from quartet_audit_verifier.trust import Trust
from quartet_audit_verifier.verify import verify_files
from quartet_cli import tokens
from quartet_cli.errors import QuartetError
from quartet_cli.layout import home_path
from quartet_cli.stack import Stack

app = typer.Typer(help="Verify audit logs.", no_args_is_help=True)
SCOPE: Final = "audit:read audit:export"

Policy = Annotated[Path | None, typer.Option(help="A file with known logs, witnesses and their quorum (tlog-policy).")]
Vkeys = Annotated[list[str] | None, typer.Option("--vkey", help="A key of the log; may be repeated.")]
Checkpoints = Annotated[
    list[Path] | None, typer.Option("--checkpoint", help="A checkpoint that another reader has got; may be repeated.")
]
State = Annotated[Path | None, typer.Option(help="Folder of seen checkpoints; default: in the user's data directory.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def audit() -> None:
    """Verify audit logs."""


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
    trust = _trust(policy, vkey, checkpoint, state)
    try:
        report = verify_files(bundle, trust, tenant) if bundle else _verify_stack(url, ca, tenant or "default", trust)
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
    trust = _trust(policy, vkey, checkpoint, state)
    try:
        report = verify_proof(command_line.read_proof(file), trust, tenant)
    except (OSError, StateError) as error:
        raise QuartetError(str(error)) from error
    _show(report, as_json=as_json)


def _trust(policy: Path | None, vkeys: list[str] | None, checkpoints: list[Path] | None, state: Path | None) -> Trust:
    options = Options(policy, vkeys or (), checkpoints or (), state or default_directory())
    try:
        return options.trust()
    except UsageError as error:
        raise typer.BadParameter(str(error)) from error
    except StateError as error:
        raise QuartetError(str(error)) from error


def _verify_stack(url: str | None, ca: Path | None, tenant: str, trust: Trust) -> Report:
    stack = Stack(home_path())
    target = (url or stack.url).rstrip("/")
    own = os.environ.get(TOKEN) if url else None
    bearer = own or tokens.fetch(target, tenant, SCOPE, tokens.own_secret(stack.home))
    return verify_server(Server(target, bearer, ca), tenant, trust)


def _show(report: Report, *, as_json: bool) -> None:
    if code := command_line.show(report, as_json=as_json):
        raise typer.Exit(code)
