"""The commands `archive`: a tenant into one file, and back in another deployment."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from quartet_cli import tokens
from quartet_cli.archive_file import ORDER, ArchiveError, Manifest, verify_archive, write_archive
from quartet_cli.archive_transfer import Restorer, download
from quartet_cli.layout import home_path
from quartet_cli.stack import Stack

app = typer.Typer(help="Archive a tenant into a file, and restore it in another deployment.", no_args_is_help=True)
Url = Annotated[str | None, typer.Option(help=tokens.URL_HELP)]
LIFETIME = 300.0
"""Seconds for which a token is used."""


@app.command()
def create(
    tenant: Annotated[str, typer.Option(help="The tenant.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The new file: .tar, or .tar.gz.")],
    url: Url = None,
) -> None:
    """Archive a tenant. The file has password hashes and the audit log: keep it as you keep backups."""
    if output.exists():
        raise ArchiveError(f"{output} exists. Choose another name, or remove it.")
    target, token = _administrator(url)
    stack = Stack(home_path())
    state = tokens.tenant_state(target, tenant, tokens.own_secret(stack.home))
    if state == "active":
        note = f"Tenant {tenant} is active: what changes meanwhile may be in parts of the archive only."
        print(f"{note} To avoid it, suspend the tenant first.", file=sys.stderr)
    with TemporaryDirectory(prefix=".quartet-archive-", dir=output.parent) as folder:
        manifest = download(target, token, tenant, Path(folder))
        write_archive(output, manifest, Path(folder))
    _show(manifest)
    print(f"Tenant {tenant} is archived in {output}.")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="An archive.")],
    tenant: Annotated[str | None, typer.Option(help="The tenant that it must be of.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only verify the file.")] = False,
    url: Url = None,
) -> None:
    """Restore a tenant in a deployment that never had it. Repeat the command to continue after an interruption."""
    manifest = verify_archive(file)
    if tenant is not None and tenant != manifest.tenant:
        raise ArchiveError(f"{file} is an archive of the tenant {manifest.tenant}, not of {tenant}.")
    _show(manifest)
    if dry_run:
        print(f"{file} is complete. Nothing was restored.")
        return
    target, token = _administrator(url)
    restorer = Restorer(target, token, file, manifest)
    restorer.reserve()
    for service in ORDER:
        print(f"{service}: {restorer.restore(service)} lines are restored.")
    print(f"Tenant {manifest.tenant} is restored. API clients need new secrets, and SCIM tokens must be made anew.")


def _administrator(url: str | None) -> tuple[str, Callable[[], str]]:
    """The URL, and what gives a token of the platform's administrator, which is kept for LIFETIME."""
    stack = Stack(home_path())
    target = (url or stack.url).rstrip("/")
    secret = tokens.own_secret(stack.home)
    kept: list[tuple[float, str]] = []

    def token() -> str:
        if not kept or time.monotonic() - kept[-1][0] > LIFETIME:
            kept[:] = [(time.monotonic(), tokens.fetch(target, tokens.PLATFORM, tokens.SCOPE, secret))]
        return kept[-1][1]

    return target, token


def _show(manifest: Manifest) -> None:
    for part in manifest.parts:
        print(f"{part.name:32} {part.count:>10} lines {part.bytes:>14} bytes")
