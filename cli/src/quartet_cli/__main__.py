"""The command line: one function for each command, which calls the stack and prints the result."""

import json
import signal
import sys
import time
from importlib.metadata import version as own_version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Column, Table

from quartet_cli import (
    api_client,
    archive_commands,
    audit_commands,
    client_commands,
    completion,
    doctor,
    event_commands,
    group_commands,
    job_commands,
    key_commands,
    logins,
    member_commands,
    metrics_commands,
    origin_commands,
    scim_token_commands,
    tables,
    tenant_commands,
    user_commands,
)
from quartet_cli.api import Api, Url
from quartet_cli.api import command as api_command
from quartet_cli.errors import NotRunningError, ProcessFailedError, QuartetError, SettingsDifferError
from quartet_cli.layout import IS_CHECKOUT, PROGRAM, Home, home_path

if TYPE_CHECKING:  # only the commands of a checkout pay for what they run
    from quartet_cli.status import ProcessStatus

EXIT_CODES: Final = (
    "Exit codes: 0 success; 1 error; 2 wrong usage; 3 the stack, or a part of it, is not running; "
    "4 the running stack has other settings; 5 an audit log is not verified; 6 `check`: the user is not in the group; "
    "7 `doctor`: something is wrong; 130 interrupted."
)

OF_A_CHECKOUT: Final = ("up", "status", "logs", "restart", "down", "reset", "demo", "test", "lint")
"""Commands that run or change the stack of a checkout; the others are clients of a server."""

app = typer.Typer(
    name="quartet",
    help="Quartet: users, groups, audit log and metrics as four small services. "
    + ("To start it, run: ./quartet up" if IS_CHECKOUT else "To use a server, run: quartet login --url URL USER"),
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 160)
app.add_typer(user_commands.app, name="users")
app.add_typer(group_commands.app, name="groups")
app.add_typer(member_commands.app, name="members")
api_command(app)(member_commands.check)
api_command(app)(job_commands.import_)
api_command(app)(job_commands.export)
app.add_typer(job_commands.app, name="jobs")
app.add_typer(origin_commands.app, name="origins")
app.add_typer(tenant_commands.app, name="tenants")
app.add_typer(client_commands.app, name="clients")
app.add_typer(key_commands.app, name="keys")
app.add_typer(metrics_commands.app, name="metrics")
app.add_typer(scim_token_commands.app, name="scim-tokens")
app.add_typer(event_commands.app, name="events")
app.add_typer(audit_commands.app, name="audit")
app.add_typer(archive_commands.app, name="archive")
for name, group in (
    ("tenant", tenant_commands.app),
    ("client", client_commands.app),
    ("scim-token", scim_token_commands.app),
):
    app.add_typer(group, name=name, hidden=True)  # the names of 0.1.0, for scripts
for command in (logins.login, logins.whoami, logins.logout, doctor.doctor, completion.completion):
    app.command()(command)
app.command(name="profiles")(logins.list_profiles)
COLOURS = {"running": "green", "starting": "yellow", "stopping": "yellow", "stopped": "dim"}


def show_version(wanted: bool) -> None:
    """Print the version and exit."""
    if wanted:
        print(f"quartet {own_version('quartet-cli')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    _: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """The options before a command."""
    if not IS_CHECKOUT and context.invoked_subcommand in OF_A_CHECKOUT:
        raise QuartetError(
            f"`{context.invoked_subcommand}` needs a checkout of Quartet: run it there as ./quartet. "
            f"For a server that runs elsewhere: {PROGRAM} login --url URL USER"
        )


@app.command()
def up() -> None:
    """Start everything that is not running. Exit code 0: all of it is healthy."""
    from quartet_cli import settings
    from quartet_cli.console import progress
    from quartet_cli.stack import Stack
    from quartet_cli.state import State

    begun = time.monotonic()
    home = Home(home_path())
    given = settings.port(settings.current(home.settings_file))
    kept = State.load(home.state_file).ports.get("proxy", settings.DEFAULT_PORT)
    stack = Stack(home.path, port=given or kept)
    with progress(out) as report:
        started = stack.up(report)
    settings.write_example(home.settings_file)
    seconds = time.monotonic() - begun
    state = f"healthy after {seconds:.1f} s" if started else "already running"
    out.print(f"\n[green bold]Quartet is {state}[/].\n", highlight=False)
    lines = {
        "SCIM base URL": f"{stack.extra_environment.get('QUARTET_PUBLIC_URL') or stack.url}/scim/v2",
        "API documentation": ", ".join(f"{stack.url}/{service}/docs" for service in stack.services[:1])
        + " (each service)",
        "token": "./quartet token",  # the command that makes one
        "try it": "./quartet demo",
        "logs": f"{stack.home.logs} (./quartet logs [NAME] [-f])",
        "database": stack.state.postgres_data,
        "settings": str(home.settings_file),
    }
    for name, text in lines.items():
        out.print(f"  {name:18} {text}", highlight=False, markup=False)


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show the state, pid and URL of every process. Exit code 0: all are healthy; 3: one is not running."""
    from quartet_cli.stack import Stack

    stack = Stack(home_path())
    processes = stack.status()
    if as_json:
        print(json.dumps([vars(process) for process in processes], indent=1))
    elif not processes:
        out.print("Quartet has not been started here. Run: ./quartet up")
    else:
        tables.console().print(table_of(processes))
        show_problems(processes)
        out.print(f"home {stack.home.path}, database {stack.state.postgres_data}", style="dim", highlight=False)
    if not processes or not all(process.healthy for process in processes):
        raise typer.Exit(3)


@app.command()
def logs(
    name: Annotated[str | None, typer.Argument(help="A process or a service; default: all.")] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Wait for new lines and show them.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="Number of last lines of each log.")] = 20,
) -> None:
    """Show logs."""
    from quartet_cli import logs as log_files
    from quartet_cli.stack import Stack

    paths = log_files.files(Stack(home_path()).home, name)
    width = max((len(each) for each in paths), default=0) if len(paths) > 1 else 0

    def show(each: str, line: str) -> None:
        print(f"{each:{width}} | {line}" if width else line, flush=follow)

    for each, line in log_files.last(paths, lines):
        show(each, line)
    for each, line in log_files.follow(paths) if follow else ():
        show(each, line)


@app.command()
def restart(
    name: Annotated[
        str | None, typer.Argument(help="A process, or a service or users-api and the like for all of its processes.")
    ] = None,
    rolling: Annotated[
        bool, typer.Option("--rolling", help="One process after the other, without a failed request.")
    ] = False,
) -> None:
    """Stop processes gracefully and start them again. Their settings stay those of the last `up`.

    --rolling without a name runs the migrations, then restarts all apis and workers.
    """
    if name is None and not rolling:
        raise typer.BadParameter("name a process or a service, or add --rolling for all apis and workers")
    from quartet_cli.console import progress
    from quartet_cli.stack import Stack

    with progress(out) as report:
        stack = Stack(home_path())
        if rolling:
            stack.restart_rolling(name, report)
        elif name is not None:
            stack.restart(name, report)


@app.command()
def down() -> None:
    """Stop everything in order and gracefully. Data stays."""
    from quartet_cli.console import progress
    from quartet_cli.stack import Stack

    with progress(out) as report:
        stopped = Stack(home_path()).down(report)
    out.print("Quartet is stopped. Its data stays." if stopped else "Quartet was not running.")


@app.command()
def reset(yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Stop everything and remove its data, secrets and logs."""
    from quartet_cli import reset as removal
    from quartet_cli.console import progress

    stack = removal.open_stack(home_path())
    belongings = removal.belongings(stack.home)
    if not belongings:
        out.print("Nothing to remove.")
        return
    out.print("To be removed:", *(f"  {path}" for path in belongings), sep="\n", highlight=False)
    if not yes and not (sys.stdin.isatty() and typer.confirm("Remove them?")):
        raise QuartetError(
            "Nothing was removed." + ("" if sys.stdin.isatty() else " Without a terminal, use: reset --yes")
        )
    with progress(out) as report:
        stack.down(report)
    removal.remove(stack.home)
    out.print("Data, secrets and logs are removed.")


@api_command(app)
def token(
    api: Api,
    scope: Annotated[str | None, typer.Option(help="Scopes, separated by spaces; default: all.")] = None,
) -> None:
    """Print a bearer token and nothing else."""
    if scope is not None and not api.profile.client_id:
        raise QuartetError("--scope is for API clients; the token of a user has the scopes of its roles.")
    api.scope = scope
    print(api.token())


@api_command(app)
def version(api: Api, as_json: tables.Json = False) -> None:
    """Show the versions of this command and of the server."""
    server = api_client.send("GET", f"{api.url}/users/openapi.json", ca=api.profile.ca)[1]["info"]["version"]
    tables.show_one({"quartet": own_version("quartet-cli"), "server": server, "url": api.url}, as_json=as_json)


@app.command()
def demo(
    files: Annotated[list[Path] | None, typer.Argument(help="Payload files; default: all in examples/.")] = None,
    tenant: Annotated[str | None, typer.Option(help="The tenant to send them to; default: a new one.")] = None,
    url: Url = None,
) -> None:
    """Send real payloads through the proxy and show the effects of each."""
    from quartet_cli import demo as demonstration
    from quartet_cli import tenants, tokens
    from quartet_cli.stack import Stack

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
        str | None,
        typer.Argument(help="quick, unit, integration, e2e, chaos, slow or a service; default: all but slow."),
    ] = None,
    url: Annotated[str | None, typer.Option(help="Run e2e against this stack instead of a private one.")] = None,
    bearer: Annotated[str | None, typer.Option("--token", help="A bearer token for --url, with all scopes.")] = None,
    repeat: Annotated[int, typer.Option(min=1, help="chaos: number of runs of the fault tests.")] = 10,
    no_lint: Annotated[bool, typer.Option("--no-lint", help="Do not lint.")] = False,
) -> None:
    """Run lint, then tests. Arguments after -- go to pytest.

    quick takes less than a minute: lint without bandit, unit tests, and the integration tests of the files that
    differ from main.
    """
    from quartet_cli import quality

    if what is not None and what.startswith("-"):  # what follows -- and no part
        context.args = [what, *context.args]
        what = None
    parts = quality.parts(what, context.args, url=url, token=bearer)
    if not no_lint and not quality.lint(out, quick=what == "quick"):
        raise typer.Exit(1)
    raise typer.Exit(quality.run_tests(out, parts, repeat=repeat if what == "chaos" else 1))


@app.command()
def lint() -> None:
    """Run ruff (rules and format), bandit and mypy --strict."""
    from quartet_cli import quality

    if not quality.lint(out):
        raise typer.Exit(1)


for registered in app.registered_commands:
    own = registered.name or getattr(registered.callback, "__name__", "")
    registered.hidden = not IS_CHECKOUT and own in OF_A_CHECKOUT


def table_of(processes: "list[ProcessStatus]") -> Table:
    """The status as a table."""
    from quartet_cli.status import age

    table = Table(
        "process", "state", "pid", "uptime", "restarts", Column("url", no_wrap=True), box=None, pad_edge=False
    )
    for process in processes:
        state = f"[{COLOURS.get(process.state, 'red')}]{process.state}[/]"
        pid = str(process.pid or "-")
        uptime = age(process.uptime) if process.pid else "-"
        table.add_row(process.name, state, pid, uptime, str(process.restarts), process.url)
    return table


def show_problems(processes: "list[ProcessStatus]") -> None:
    """Print each problem with the processes that report it."""
    from quartet_cli.status import problems_of

    found = problems_of(processes)
    if found:
        print("\nproblems (what to do: docs/operations.md, Problems)")
    for text, names in found.items():
        tables.console().print(f"  {text} ({', '.join(names)})", style="red", markup=False)


def complain(error: QuartetError) -> None:
    """Print an error, and for a failed process the last lines of its log."""
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    if isinstance(error, ProcessFailedError) and error.log:
        errors.print(f"--- last lines of the log of {error.name} ---", style="dim")
        errors.print("\n".join(error.log), markup=False)
    errors.print(f"quartet: {error}", style="red", markup=False)


def main() -> None:
    """Run the command. An expected failure is a message and an exit code: see EXIT_CODES."""
    completion.enable()
    for ending in (signal.SIGTERM, signal.SIGHUP):  # like Ctrl-C: `up` stops the processes that it has started
        signal.signal(ending, signal.default_int_handler)
    try:
        app(prog_name=PROGRAM, complete_var=completion.VARIABLE)
    except NotRunningError as error:
        complain(error)
        sys.exit(3)
    except SettingsDifferError as error:
        complain(error)
        sys.exit(4)
    except QuartetError as error:
        complain(error)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(0)


if __name__ == "__main__":
    main()
