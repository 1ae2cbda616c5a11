"""Progress output: a live table on a terminal, plain lines otherwise."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from quartet_cli.bringup import Report

DONE = ("ready", "migrated", "started again", "running", "stopped")


class Progress:
    """A table of parts and their states, in the order of their first reports."""

    def __init__(self) -> None:
        self.parts: dict[str, str] = {}

    def show(self, part: str, state: str) -> None:
        """Show the state of a part."""
        self.parts[part] = state

    def __rich__(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for part, state in self.parts.items():
            done = state.startswith(DONE)
            mark = Text("✓", style="green") if done else Spinner("dots")
            table.add_row(mark, part, Text(state, style="" if done else "dim"))
        return table


@contextmanager
def progress(console: Console) -> Iterator[Report]:
    """A report function that shows the progress."""
    shown = Progress()
    if not console.is_terminal:
        begun = time.monotonic()
        yield lambda part, state: console.print(f"{time.monotonic() - begun:6.1f} s  {part}: {state}", highlight=False)
        return
    with Live(shown, console=console, refresh_per_second=10):
        yield shown.show
