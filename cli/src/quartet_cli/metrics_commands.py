"""The commands of metrics: write the engine's samples again, and compare gauges with the other services."""

import json
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

import typer

from quartet_cli import tables
from quartet_cli.api import Api, command
from quartet_cli.api_client import Document
from quartet_cli.tables import Json

app = typer.Typer(
    help="Query metrics; for operators: compare what is counted, and write samples again.", no_args_is_help=True
)
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
CATALOG: Final = {"metric": "name", "type": "type", "unit": "unit", "labels": "labels", "meaning": "meaning"}
POINTS: Final = {"time": "time", "series": "series", "value": "value"}
PAUSE: Final = 1.0


@command(app)
def query(
    api: Api,
    metric: Annotated[str, typer.Argument(help="A name of `metrics catalog`.")],
    since: Annotated[str | None, typer.Option("--from", metavar="TIME", help="RFC 3339 time, inclusive.")] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="TIME", help="RFC 3339 time, exclusive.")] = None,
    step: Annotated[str | None, typer.Option(help="minute, hour, day, week or month.")] = None,
    by: Annotated[str | None, typer.Option(metavar="LABEL", help="One series for each value of a label.")] = None,
    tz: Annotated[str | None, typer.Option(metavar="ZONE", help="Where days begin, such as Europe/Berlin.")] = None,
    as_json: Json = False,
) -> None:
    """Show the values of a metric of the tenant. Times without a value are left out of the table."""
    given = {"metric": metric, "from": since, "to": until, "step": step, "by": by, "tz": tz}
    found = api.ask("GET", "/metrics/query", params={name: value for name, value in given.items() if value})
    if as_json:
        print(json.dumps(found, indent=1))
        return
    rows = [
        {"time": point["time"], "series": one["key"], "value": point["value"]}
        for one in found["series"]
        for point in one["points"]
        if point["value"]
    ]
    tables.show(rows, POINTS, as_json=False)
    print(f"total {found['total']}, from {found['from']} to {found['to']}")


@command(app)
def catalog(api: Api, as_json: Json = False) -> None:
    """List the metrics that `metrics query` has."""
    tables.show(api.ask("GET", "/metrics/catalog")["metrics"], CATALOG, as_json=as_json)


@command(app, platform=True)
def rebuild(api: Api) -> None:
    """Write all samples of the engine again from PostgreSQL, and show the progress."""
    follow(api.ask, typer.echo)


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


@command(app, platform=True)
def reconcile(
    api: Api,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant; by default all that have counts.")] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Correct each gauge that differs by what it differs.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare the gauges of tenants with what users, groups and audit have. Ends with 1 if a gauge differs and is not
    corrected, or could not be compared.
    """
    found = [
        api.ask("POST", RECONCILIATION, json={"tenant": one, "repair": repair})
        for one in ([tenant] if tenant is not None else _all_tenants(api))
    ]
    tables.show(rows_of(found), COLUMNS, as_json=as_json)
    for one in found:
        for problem in one["problems"]:
            typer.echo(f"{one['tenant']}: {problem}", err=True)
    if any(is_wrong(one) for one in found):
        raise typer.Exit(1)


def _all_tenants(api: Api) -> list[str]:
    """The ids of all tenants with counts."""
    return [one["tenant"] for one in api.list_all(RECONCILIATION, "tenants")]


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
