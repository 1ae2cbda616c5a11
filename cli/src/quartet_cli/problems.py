"""What is amiss with the events of a running stack, by the numbers of its workers."""

import re
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from quartet_cli import health
from quartet_cli.status import ProcessStatus

EVENTS_WAIT: Final = "events wait"
NO_CONSUMER: Final = "queue without consumer"
DEAD_LETTERS: Final = "dead letters"
LONG: Final = 10.0
"""Seconds after which an event that waits in the outbox is a problem."""
LINE: Final = re.compile(
    r"^quartet_(outbox_depth|outbox_lag_seconds|queue_messages|queue_consumers)(?:{(.*)})? (\S+)$", re.MULTILINE
)
QUEUE: Final = re.compile(r'queue="([^"]*)"')
DEAD: Final = ".dead"
WORKER: Final = "-worker"


@dataclass
class EventNumbers:
    """What a worker tells: its outbox, and messages and consumers of all queues by name."""

    depth: int = 0
    lag: float = 0.0
    messages: dict[str, int] = field(default_factory=dict)
    consumers: dict[str, int] = field(default_factory=dict)


def added(processes: Sequence[ProcessStatus], token_file: Path) -> list[ProcessStatus]:
    """`processes` with the problems of the events of each service at its worker. Workers that do not answer tell
    nothing; the problems of a service without a worker are at one that does answer.
    """
    workers = [process for process in processes if process.name.endswith(WORKER) and process.pid]
    try:
        token = token_file.read_text().strip()
    except OSError:
        return list(processes)
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda worker: read(worker.url, token), workers)
    numbers = {one.name.removesuffix(WORKER): found for one, found in zip(workers, answers, strict=True) if found}
    names = {process.name for process in processes}
    places: dict[str, tuple[str, ...]] = {}
    ready = {process.name.removesuffix(WORKER) for process in workers if process.healthy}
    for service, texts in of_events(numbers, ready).items():
        name = f"{service}{WORKER}" if f"{service}{WORKER}" in names else f"{next(iter(numbers))}{WORKER}"
        places[name] = (*places.get(name, ()), *texts)
    return [replace(process, problems=places.get(process.name, ())) for process in processes]


def read(url: str, token: str) -> EventNumbers | None:
    """The numbers at a worker's private port; None where it does not answer."""
    try:
        status, body = health.fetch(f"{url}/metrics", {"Authorization": f"Bearer {token}"})
    except health.NO_ANSWER:
        return None
    return parse(body.decode()) if status == 200 else None


def parse(text: str) -> EventNumbers:
    """The numbers in a Prometheus text."""
    found = EventNumbers()
    for name, labels, value in LINE.findall(text):
        queue = QUEUE.search(labels)
        if name == "outbox_depth":
            found.depth = int(float(value))
        elif name == "outbox_lag_seconds":
            found.lag = float(value)
        elif queue is not None:
            numbers = found.messages if name == "queue_messages" else found.consumers
            numbers[queue[1]] = int(float(value))
    return found


def of_events(numbers: Mapping[str, EventNumbers], ready: Collection[str]) -> dict[str, list[str]]:
    """The problems of each service, from what the worker of each service tells.

    All workers count all queues: the queue of a service that does not run has its problem from another's worker. A
    worker that is `ready` consumes: what others have counted is some seconds old.
    """
    problems: dict[str, list[str]] = {}
    for service, own in numbers.items():
        if own.lag > LONG:
            text = f"{EVENTS_WAIT}: {own.depth:,} in the outbox of {service}, the oldest for {own.lag:,.0f} s"
            problems.setdefault(service, []).append(text)
    for queue in sorted({queue for each in numbers.values() for queue in each.messages}):
        service = queue.split(".")[1]
        waiting = max(each.messages.get(queue, 0) for each in numbers.values())
        consumers = max(each.consumers.get(queue, 0) for each in numbers.values())
        if queue.endswith(DEAD):
            if waiting:
                problems.setdefault(service, []).append(f"{DEAD_LETTERS}: {waiting:,} in {queue}")
        elif not consumers and service not in ready:
            text = f"{NO_CONSUMER}: {queue}, in which {waiting:,} messages wait"
            problems.setdefault(service, []).append(text)
    return problems
