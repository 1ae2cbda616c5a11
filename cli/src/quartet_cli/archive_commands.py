"""The commands `archive`: a tenant into one file, and back in another deployment."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated
from urllib.parse import quote

import typer

from quartet_cli.api import Api, command
from quartet_cli.archive_file import ORDER, ArchiveError, Manifest, verify_archive, write_archive
from quartet_cli.archive_transfer import Restorer, download

app = typer.Typer(help="Archive a tenant into a file, and restore it in another deployment.", no_args_is_help=True)


@command(app, platform=True)
def create(
    api: Api,
    tenant: Annotated[str, typer.Option(help="The tenant.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The new file: .tar, or .tar.gz.")],
) -> None:
    """Archive a tenant. The file has password hashes and the audit log: keep it as you keep backups."""
    if output.exists():
        raise ArchiveError(f"{output} exists. Choose another name, or remove it.")
    if api.ask("GET", f"/users/tenants/{quote(tenant, safe='')}")["status"] == "active":
        note = f"Tenant {tenant} is active: what changes meanwhile may be in parts of the archive only."
        print(f"{note} To avoid it, suspend the tenant first.", file=sys.stderr)
    with TemporaryDirectory(prefix=".quartet-archive-", dir=output.parent) as folder:
        manifest = download(api, tenant, Path(folder))
        write_archive(output, manifest, Path(folder))
    _show(manifest)
    print(f"Tenant {tenant} is archived in {output}.")


@command(app, platform=True)
def restore(
    api: Api,
    file: Annotated[Path, typer.Argument(help="An archive.")],
    tenant: Annotated[str | None, typer.Option(help="The tenant that it must be of.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only verify the file.")] = False,
) -> None:
    """Restore a tenant in a deployment that never had it. Repeat the command to continue after an interruption."""
    manifest = verify_archive(file)
    if tenant is not None and tenant != manifest.tenant:
        raise ArchiveError(f"{file} is an archive of the tenant {manifest.tenant}, not of {tenant}.")
    _show(manifest)
    if dry_run:
        print(f"{file} is complete. Nothing was restored.")
        return
    restorer = Restorer(api, file, manifest)
    restorer.reserve()
    for service in ORDER:
        print(f"{service}: {restorer.restore(service)} lines are restored.")
    print(f"Tenant {manifest.tenant} is restored. API clients need new secrets, and SCIM tokens must be made anew.")


def _show(manifest: Manifest) -> None:
    for part in manifest.parts:
        print(f"{part.name:32} {part.count:>10} lines {part.bytes:>14} bytes")
