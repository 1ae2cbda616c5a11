"""The command line: `python -m quartet_audit_verifier`."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from quartet_audit_verifier.client import Server, ServerError
from quartet_audit_verifier.encoding import FormatError
from quartet_audit_verifier.notes import parse_vkey
from quartet_audit_verifier.online import verify_server
from quartet_audit_verifier.policy import parse_policy
from quartet_audit_verifier.proof import MAX_PROOF, verify_proof
from quartet_audit_verifier.report import Report
from quartet_audit_verifier.state import State, StateError, default_directory, read_checkpoint
from quartet_audit_verifier.trust import Trust
from quartet_audit_verifier.verify import verify_files

NOT_VERIFIED: Final = 5
EXIT_CODES: Final = (
    "Exit codes: 0 verified; 1 error: nothing could be verified; 2 wrong usage; 5 not verified: the findings say why; "
    "130 interrupted."
)
TOKEN: Final = "QUARTET_AUDIT_TOKEN"  # noqa: S105  # nosec B105  # the name of an environment variable


class UsageError(Exception):
    """An option that cannot be used; the message says which one and why."""


@dataclass(frozen=True)
class Options:
    """What to trust, as options of a command say it."""

    policy: Path | None = None
    vkeys: Sequence[str] = ()
    checkpoints: Sequence[Path] = ()
    state: Path | None = field(default_factory=default_directory)

    def trust(self) -> Trust:
        """The trust that they describe. Raises UsageError and StateError."""
        try:
            policy = parse_policy(self.policy.read_bytes()) if self.policy else None
        except (OSError, FormatError) as error:
            raise UsageError(f"The policy {self.policy} cannot be used: {error}") from error
        try:
            vkeys = [parse_vkey(text) for text in self.vkeys]
        except FormatError as error:
            raise UsageError(f"--vkey cannot be used: {error}") from error
        return Trust(State(self.state), vkeys, policy, [read_checkpoint(path) for path in self.checkpoints])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: see EXIT_CODES."""
    parsed = _parser().parse_args(arguments)
    try:
        report = _run(parsed)
    except UsageError as error:
        return _fail(str(error), 2)
    except (OSError, StateError, ServerError) as error:
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return _fail("Interrupted.", 130)
    return show(report, as_json=parsed.json)


def show(report: Report, *, as_json: bool) -> int:
    """Print a report; returns the exit code."""
    print(json.dumps(report.as_json(), indent=1) if as_json else report.as_text())
    return 0 if report.is_verified else NOT_VERIFIED


def read_proof(path: Path) -> bytes:
    """The bytes of a proof, no more than one can have. Raises OSError."""
    with path.open("rb") as file:
        return file.read(MAX_PROOF + 1)


def _run(parsed: argparse.Namespace) -> Report:
    trust = Options(parsed.policy, parsed.vkey, parsed.checkpoint, parsed.state).trust()
    if parsed.command == "verify-proof":
        return verify_proof(read_proof(parsed.file), trust, parsed.tenant)
    if parsed.bundle:
        return verify_files(parsed.bundle, trust, parsed.tenant)
    if not (parsed.url and parsed.tenant):
        raise UsageError("verify needs --bundle FILE, or --url URL and --tenant TENANT")
    if not (token := os.environ.get(TOKEN)):
        raise UsageError(f"--url needs a token with audit:read and audit:export in {TOKEN}")
    return verify_server(Server(parsed.url, token, parsed.ca), parsed.tenant, trust)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "quartet-audit-verifier", description="Verify an audit log of Quartet.", epilog=EXIT_CODES
    )
    commands = parser.add_subparsers(dest="command", required=True)
    verify = commands.add_parser("verify", help="a bundle, or the log of a running server", epilog=EXIT_CODES)
    verify.add_argument("--bundle", type=Path, action="append", help="a bundle; repeat it for the pieces of one")
    verify.add_argument("--url", help=f"verify the log of this server, with the token in {TOKEN}")
    verify.add_argument("--ca", type=Path, help="certificates (PEM) that the server's is checked with")
    proof = commands.add_parser("verify-proof", help="the proof of one entry", epilog=EXIT_CODES)
    proof.add_argument("file", type=Path, help="a proof: JSON, or text of tlog-proof")
    for command in (verify, proof):
        command.add_argument("--tenant", help="the tenant whose log it must be")
        command.add_argument("--policy", type=Path, help="a file with known logs, witnesses and a quorum (tlog-policy)")
        command.add_argument("--vkey", action="append", default=[], help="a key of the log; may be repeated")
        command.add_argument(
            "--checkpoint", type=Path, action="append", default=[], help="a checkpoint that another reader has got"
        )
        command.add_argument(
            "--state", type=Path, default=default_directory(), help="folder of seen checkpoints (%(default)s)"
        )
        command.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _fail(message: str, code: int) -> int:
    print(f"quartet-audit-verifier: {message}", file=sys.stderr)
    return code
