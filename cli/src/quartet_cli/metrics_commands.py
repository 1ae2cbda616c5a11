"""The commands of metrics: write the engine's samples again, and compare gauges with the other services."""

import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

import typer

from quartet_cli import tables, tenants, tokens
from quartet_cli.api_client import Document
from quartet_cli.layout import home_path
from quartet_cli.stack import Stack
from quartet_cli.tables import Json

app = typer.Typer(help="Write the samples of metrics again, and compare what is counted.", no_args_is_help=True)
PATH: Final = "/metrics/engine"
RECONCILIATION: Final = "/metrics/reconciliation"
COLUMNS: Final = {
    "tenant": "tenant",
    "metric": "metric",
    "labels": "labels",
    "counted": "counted",
    "exists": "exists",
    "drift": "drift",
}
PAUSE: Final = 1.0

Url = Annotated[str | None, typer.Option(help=tokens.URL_HELP)]


@app.callback()
def metrics() -> None:
    """Write the samples of metrics again, and compare what is counted."""


@app.command()
def rebuild(url: Url = None) -> None:
    """Write all samples of the engine again from PostgreSQL, and show the progress."""
    stack = Stack(home_path())
    secret, base = tokens.own_secret(stack.home), url or stack.url
    follow(lambda method, path: tenants.ask(base, secret, method, path), typer.echo)


def follow(ask: Callable[[str, str], Document], show: Callable[[str], None], pause: float = PAUSE) -> None:
    """Start it, and show how many series are written until all are."""
    state, shown = ask("POST", f"{PATH}/rebuild"), -1
    total = state["waiting"]
    while state["waiting"]:
        written = max(total - state["waiting"], 0)
        if written != shown:
            show(f"{written} of {total} series")
        shown = written
        time.sleep(pause)
        state = ask("GET", PATH)
    show(f"{total} series are written")


@app.command()
def reconcile(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant; by default all that have counts.")] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Correct each gauge that differs by what it differs.")
    ] = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Compare the gauges of tenants with what users, groups and audit have. Ends with 1 if a gauge differs and is not
    corrected, or could not be compared.
    """
    stack = Stack(home_path())
    secret, base = tokens.own_secret(stack.home), url or stack.url

    def ask(method: str, path: str, body: Document | None = None) -> Document:
        return tenants.ask(base, secret, method, path, body)

    found = [
        ask("POST", RECONCILIATION, {"tenant": one, "repair": repair})
        for one in ([tenant] if tenant is not None else all_tenants(ask))
    ]
    tables.show(rows_of(found), COLUMNS, as_json=as_json)
    for one in found:
        for problem in one["problems"]:
            typer.echo(f"{one['tenant']}: {problem}", err=True)
    if any(is_wrong(one) for one in found):
        raise typer.Exit(1)


def all_tenants(ask: Callable[[str, str], Document]) -> list[str]:
    """The ids of all tenants with counts, page by page."""
    found: list[str] = []
    onward: str | None = ""
    while onward is not None:
        page = ask("GET", f"{RECONCILIATION}?count=1000&cursor={onward}")
        found += [one["tenant"] for one in page["tenants"]]
        onward = page["next"]
    return found


def rows_of(found: Sequence[Document]) -> list[dict[str, Any]]:
    """A row for each gauge of each comparison."""
    return [
        {"tenant": one["tenant"], **gauge, "labels": " ".join(gauge["labels"].values())}
        for one in found
        for gauge in one["gauges"]
    ]


def is_wrong(found: Document) -> bool:
    """Whether a gauge still differs, or could not be compared."""
    return bool(found["problems"]) or (not found["repaired"] and any(gauge["drift"] for gauge in found["gauges"]))
