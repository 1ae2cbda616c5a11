"""The command `doctor`: what is wrong with an installation, seen from here."""

import json
from collections.abc import Sequence
from typing import Final

import typer
from rich.markup import escape

from quartet_cli import server_checks, tables
from quartet_cli.api import Tenant, Url, connect
from quartet_cli.layout import IS_CHECKOUT
from quartet_cli.profiles import ProfileName, by_default
from quartet_cli.server_checks import OK, PROBLEM, WARNING, Finding
from quartet_cli.tables import Json

WRONG: Final = 7
"""The exit code when something is wrong."""
STYLES: Final = {OK: "green", WARNING: "yellow", PROBLEM: "red"}


def doctor(url: Url = None, profile: ProfileName = None, tenant: Tenant = None, as_json: Json = False) -> None:
    """Look for problems: of a server, or of the checkout's stack and this machine. Exit code 7: something is wrong."""
    found: list[Finding] = []
    if IS_CHECKOUT and not url and not profile and by_default() is None:
        from quartet_cli import stack_checks

        found += stack_checks.run()
    if not any(one.is_final for one in found):
        found += server_checks.run(lambda: connect(url, profile, tenant))
    if as_json:
        print(json.dumps([one.row for one in found], indent=1))
    else:
        show(found)
    if any(one.result == PROBLEM for one in found):
        raise typer.Exit(WRONG)


def show(found: Sequence[Finding]) -> None:
    """Print a line for each finding, and below it what to do."""
    screen = tables.console()
    for one in found:
        screen.print(f"[{STYLES[one.result]}]{one.result:8}[/] {one.check:12} {escape(one.text)}")
        if one.advice:
            screen.print(f"{'':21} {one.advice}", markup=False, style="bold")
