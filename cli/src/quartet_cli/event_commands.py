"""The commands `events`: dead letters, and the replay of events that RabbitMQ has lost after it had confirmed them."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer

from quartet_cli import dead_letter_commands
from quartet_cli.api import Api, command
from quartet_cli.errors import QuartetError
from quartet_cli.layout import SERVICES

app = typer.Typer(help="Handle dead letters, and publish events again that RabbitMQ has lost.", no_args_is_help=True)
app.add_typer(dead_letter_commands.app)
UNITS: Final = {"d": 86400, "h": 3600, "m": 60, "s": 1}
DURATION: Final = re.compile(r"(?=.)" + "".join(rf"(?:([0-9]{{1,6}}){unit})?" for unit in UNITS))
RULE: Final = "an RFC 3339 time with a time zone such as 2026-01-31T09:00:00Z, or a duration such as 2h or 1d12h"
REPLAY_SECONDS: Final = 300.0
"""Timeout in seconds: 10,000 events take about 0.25 s."""


@app.callback()
def events() -> None:
    """Handle dead letters, and publish events again that RabbitMQ has lost."""


@command(app, platform=True)
def replay(
    api: Api,
    since: Annotated[str, typer.Option(help=f"From which publishing time on: {RULE}.")],
    service: Annotated[
        list[str] | None, typer.Option(help="Only what this service has published; may be repeated. Default: all.")
    ] = None,
) -> None:
    """Publish again what was published since a time. What a service has taken in already has no second effect."""
    begin = time_of(since, datetime.now(UTC))
    chosen = _known(service or SERVICES)
    failed = []
    for name in chosen:
        try:
            print(f"{name:10} {_replay(api, name, begin)}", flush=True)
        except QuartetError as error:
            failed.append(f"{name}: {error}")
    if failed:
        raise QuartetError("Some events were not published again. Repeat the command.\n" + "\n".join(failed))


def time_of(text: str, now: datetime) -> datetime:
    """The time that `text` names, in UTC; a duration counts back from `now`. Raises QuartetError."""
    try:
        duration = _duration(text)
        begin = datetime.fromisoformat(text.upper()) if duration is None else now - duration
        if begin.tzinfo is None:
            raise ValueError("it has no time zone")
        begin = begin.astimezone(UTC)
    except (ValueError, OverflowError):
        raise QuartetError(f"--since must be {RULE}, got {text!r}") from None
    if begin > now:
        raise QuartetError(f"--since must be a time in the past, got {text}; now it is {now:%Y-%m-%dT%H:%M:%SZ}")
    return begin


def _duration(text: str) -> timedelta | None:
    found = DURATION.fullmatch(text)
    if found is None:
        return None
    return timedelta(seconds=sum(int(n or 0) * size for n, size in zip(found.groups(), UNITS.values(), strict=True)))


def _known(names: Sequence[str]) -> list[str]:
    for name in names:
        if name not in SERVICES:
            raise QuartetError(f"--service must be one of {', '.join(SERVICES)}, got {name!r}")
    return list(dict.fromkeys(names))


def _replay(api: Api, service: str, begin: datetime) -> int:
    """Replay events of `service` and return their number. Raises QuartetError."""
    path, since = f"/{service}/rabbitmq/replay", {"since": begin.isoformat()}
    return int(api.ask("POST", path, params=since, timeout=REPLAY_SECONDS)["replayed"])
