"""The command line: each command is one function that asks the stack and shows the answer."""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from quartet_cli import (
    client_commands,
    key_commands,
    logins,
    quality,
    scim_token_commands,
    tenant_commands,
    tenants,
    tokens,
)
from quartet_cli import logs as log_files
from quartet_cli import reset as removal
from quartet_cli.console import progress
from quartet_cli.errors import NotRunningError, ProcessFailedError, QuartetError
from quartet_cli.layout import home_path
from quartet_cli.stack import Stack
from quartet_cli.status import ProcessStatus, age

app = typer.Typer(
    name="quartet",
    help="Quartet: users, groups, audit trail and metrics as four small services. Start with: ./quartet up",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 160)  # nothing is cut off in a pipe
app.add_typer(tenant_commands.app, name="tenant")
app.add_typer(client_commands.app, name="client")
app.add_typer(key_commands.app, name="keys")
app.add_typer(scim_token_commands.app, name="scim-token")
for command in (logins.login, logins.whoami, logins.logout):
    app.command()(command)
COLOURS = {"running": "green", "starting": "yellow", "stopping": "yellow", "stopped": "dim"}


@app.command()
def up() -> None:
    """Start everything that is not running; exit 0 when all of it is healthy."""
    begun = time.monotonic()
    stack = Stack(home_path(), port=port_wanted())
    with progress(out) as report:
        started = stack.up(report)
    seconds = time.monotonic() - begun
    state = f"healthy after {seconds:.1f} s" if started else "already running"
    out.print(f"\n[green bold]Quartet is {state}[/].\n", highlight=False)
    lines = {
        "SCIM base URL": f"{stack.url}/scim/v2",
        "API documentation": ", ".join(f"{stack.url}/{service}/docs" for service in stack.services[:1])
        + " (each service)",
        "token": "./quartet token",  # the command that makes one
        "try it": "./quartet demo",
        "logs": f"{stack.home.logs} (./quartet logs [NAME] [-f])",
        "database": stack.state.postgres_data,
    }
    for name, text in lines.items():
        out.print(f"  {name:18} {text}", highlight=False, markup=False)


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show every process: state, pid and own address. Exit 0: all healthy; 3: something is not running."""
    stack = Stack(home_path())
    processes = stack.status()
    if as_json:
        print(json.dumps([vars(process) for process in processes], indent=1))
    elif not processes:
        out.print("Quartet has not been started here; start it with: ./quartet up")
    else:
        out.print(table_of(processes))
        out.print(f"home {stack.home.path}, database {stack.state.postgres_data}", style="dim", highlight=False)
    if not processes or not all(process.healthy for process in processes):
        raise typer.Exit(3)


@app.command()
def logs(
    name: Annotated[str | None, typer.Argument(help="A process or a service; all where none is named.")] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with what is written.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="So many last lines of each.")] = 20,
) -> None:
    """Show logs."""
    paths = log_files.files(Stack(home_path()).home, name)
    width = max((len(each) for each in paths), default=0) if len(paths) > 1 else 0

    def show(each: str, line: str) -> None:
        print(f"{each:{width}} | {line}" if width else line, flush=follow)

    for each, line in log_files.last(paths, lines):
        show(each, line)
    for each, line in log_files.follow(paths) if follow else ():
        show(each, line)


@app.command()
def restart(name: Annotated[str, typer.Argument(help="A process, or a service for both of its processes.")]) -> None:
    """Stop one process gracefully and start it again."""
    with progress(out) as report:
        Stack(home_path()).restart(name, report)


@app.command()
def down() -> None:
    """Stop everything that was started here, in order and gracefully."""
    with progress(out) as report:
        stopped = Stack(home_path()).down(report)
    out.print("Quartet is stopped; its data stays." if stopped else "Quartet was not running.")


@app.command()
def reset(yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Stop everything and remove its data, secrets and logs."""
    stack = removal.open_stack(home_path())
    belongings = removal.belongings(stack.home)
    if not belongings:
        out.print("There is nothing to remove.")
        return
    out.print("This removes:", *(f"  {path}" for path in belongings), sep="\n", highlight=False)
    if not yes and not (sys.stdin.isatty() and typer.confirm("Remove it?")):
        raise QuartetError(
            "nothing was removed" + ("" if sys.stdin.isatty() else "; without a terminal say: reset --yes")
        )
    with progress(out) as report:
        stack.down(report)
    removal.remove(stack.home)
    out.print("Everything is removed.")


@app.command()
def token(
    tenant: Annotated[str, typer.Option(help="The tenant that the token is for.")] = "default",
    scope: Annotated[str | None, typer.Option(help="Scopes, separated by spaces; all where none are named.")] = None,
    url: Annotated[str | None, typer.Option(help="Another stack's URL (its admin secret stands in this home).")] = None,
) -> None:
    """Print a bearer token, and nothing else."""
    stack = Stack(home_path())
    print(tokens.fetch(url or stack.url, tenant, scope, tokens.own_secret(stack.home)))


@app.command()
def demo(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Payload files; all of examples/ where none is named.")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(help="The tenant to send them to; a fresh one where none is named.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Another stack's URL (its admin secret stands in this home).")] = None,
) -> None:
    """Send real payloads through the proxy and show what became of each."""
    from quartet_cli import demo as demonstration

    stack = Stack(home_path())
    target = url or stack.url
    wanted = tenant or demonstration.fresh_tenant()
    bearer = tenants.token_of(target, wanted, None, tokens.own_secret(stack.home))
    if not demonstration.run(out, target, bearer, wanted, files or []):
        raise typer.Exit(1)


@app.command(name="test", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def run_tests(
    context: typer.Context,
    what: Annotated[
        str | None, typer.Argument(help="unit, integration, e2e, chaos, slow or a service; all but slow where none.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Run e2e against this stack instead of one of our own.")] = None,
    bearer: Annotated[str | None, typer.Option("--token", help="A bearer token for --url, with all scopes.")] = None,
    repeat: Annotated[int, typer.Option(min=1, help="chaos: run the fault tests so often.")] = 10,
    no_lint: Annotated[bool, typer.Option("--no-lint", help="Tests only.")] = False,
) -> None:
    """Run lint, then tests; what follows -- goes to pytest."""
    if what is not None and what.startswith("-"):  # what follows -- and no part
        context.args = [what, *context.args]
        what = None
    selection = quality.selection(what, context.args, url=url, token=bearer)
    if not no_lint and not quality.lint(out):
        raise typer.Exit(1)
    raise typer.Exit(quality.run_tests(out, selection, repeat=repeat if what == "chaos" else 1))


@app.command()
def lint() -> None:
    """Run ruff (rules and format), bandit and mypy --strict over everything."""
    if not quality.lint(out):
        raise typer.Exit(1)


def port_wanted() -> int:
    """`QUARTET_PORT`, 8080 where it is not set."""
    given = os.environ.get("QUARTET_PORT") or "8080"
    if not given.isdecimal() or not 0 < int(given) < 65536:
        raise QuartetError(f"QUARTET_PORT is no port: {given}")
    return int(given)


def table_of(processes: list[ProcessStatus]) -> Table:
    """The status for people."""
    table = Table(
        "process", "state", "pid", "uptime", "restarts", Column("url", no_wrap=True), box=None, pad_edge=False
    )
    for process in processes:
        state = f"[{COLOURS.get(process.state, 'red')}]{process.state}[/]"
        pid = str(process.pid or "-")
        uptime = age(process.uptime) if process.pid else "-"
        table.add_row(process.name, state, pid, uptime, str(process.restarts), process.url)
        if process.detail:
            table.add_row("", f"[red]{process.detail}[/]")
    return table


def complain(error: QuartetError) -> None:
    """One clear line, and for a failed process the last lines of its log."""
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    if isinstance(error, ProcessFailedError) and error.log:
        errors.print(f"--- the last lines of {error.name}'s log ---", style="dim")
        errors.print("\n".join(error.log), markup=False)
    errors.print(f"quartet: {error}", style="red", markup=False)


def main() -> None:
    """Runs the command; expected failures are a line and exit code 1 (3 where the stack is not running)."""
    for ending in (signal.SIGTERM, signal.SIGHUP):  # as a Ctrl-C: what `up` has begun to start is stopped again
        signal.signal(ending, signal.default_int_handler)
    try:
        app(prog_name="./quartet")
    except NotRunningError as error:
        complain(error)
        sys.exit(3)
    except QuartetError as error:
        complain(error)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(0)


if __name__ == "__main__":
    main()
