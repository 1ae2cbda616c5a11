"""The commands of metrics: `./quartet metrics rebuild` writes the engine's samples again."""

import time
from collections.abc import Callable
from typing import Annotated, Final

import typer

from quartet_cli import tenants, tokens
from quartet_cli.api_client import Document
from quartet_cli.layout import home_path
from quartet_cli.stack import Stack

app = typer.Typer(help="Write the samples of metrics again.", no_args_is_help=True)
PATH: Final = "/metrics/engine"
PAUSE: Final = 1.0

Url = Annotated[str | None, typer.Option(help=tokens.URL_HELP)]


@app.callback()
def metrics() -> None:
    """Write the samples of metrics again."""


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
