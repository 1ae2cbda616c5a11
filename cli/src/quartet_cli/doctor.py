"""The command `doctor`: what is wrong with an installation, seen from here."""

from typing import Final

import typer

from quartet_cli import server_checks, tables
from quartet_cli.api import Tenant, Url, connect
from quartet_cli.layout import IS_CHECKOUT
from quartet_cli.profiles import ProfileName, by_default
from quartet_cli.server_checks import PROBLEM, Finding
from quartet_cli.tables import Json

WRONG: Final = 7
"""The exit code when something is wrong."""
COLUMNS: Final = {"result": "result", "check": "check", "found": "text", "what to do": "advice"}


def doctor(url: Url = None, profile: ProfileName = None, tenant: Tenant = None, as_json: Json = False) -> None:
    """Look for problems: of a server, or of the checkout's stack and this machine. Exit code 7: something is wrong."""
    found: list[Finding] = []
    if IS_CHECKOUT and not url and not profile and by_default() is None:
        from quartet_cli import stack_checks

        found += stack_checks.run()
    if not any(one.is_final for one in found):
        found += server_checks.run(lambda: connect(url, profile, tenant))
    tables.show([one.row for one in found], COLUMNS, as_json=as_json)
    if any(one.result == PROBLEM for one in found):
        raise typer.Exit(WRONG)
