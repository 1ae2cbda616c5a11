"""Problems with the events of a running stack, from the metrics of its workers and their health."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from quartet_cli import health
from quartet_cli.instances import kind_of, service_of
from quartet_cli.status import ProcessStatus

EVENTS_WAIT: Final = "events wait"
NO_CONSUMER: Final = "queue without consumer"
DEAD_LETTERS: Final = "dead letters"
PAUSED: Final = "consumer paused"
LOGGING_FAILS: Final = "logging fails"
LONG: Final = 10.0
"""Seconds after which a waiting event in the outbox is a problem."""
LINE: Final = re.compile(
    r"^quartet_(outbox_depth|outbox_lag_seconds|queue_messages|queue_consumers)(?:{(.*)})? (\S+)$", re.MULTILINE
)
QUEUE: Final = re.compile(r'queue="([^"]*)"')
DEAD: Final = ".dead"


@dataclass
class EventNumbers:
    """The numbers of a worker: its outbox, messages and consumers of queues by name, failures of logging by kind,
    paused consumers by queue.
    """

    depth: int = 0
    lag: float = 0.0
    messages: dict[str, int] = field(default_factory=dict)
    consumers: dict[str, int] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    paused: dict[str, str] = field(default_factory=dict)


def added(processes: Sequence[ProcessStatus], token_file: Path) -> list[ProcessStatus]:
    """`processes` with the problems of events of each service at its worker. Without a worker, the problems of a
    service are at another worker.
    """
    workers = [process for process in processes if kind_of(process.name) == "worker" and process.pid]
    try:
        token = token_file.read_text().strip()
    except OSError:
        return list(processes)
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda worker: read(worker.url, token), workers)
    answering: dict[str, tuple[str, EventNumbers]] = {}  # of several workers of a service, the first one
    for worker, numbers in zip(workers, answers, strict=True):
        if numbers:
            answering.setdefault(service_of(worker.name), (worker.name, numbers))
    places: dict[str, tuple[str, ...]] = {}
    ready = {service_of(process.name) for process in workers if process.healthy}
    for service, texts in of_events({name: found for name, (_, found) in answering.items()}, ready).items():
        own = [process.name for process in processes if is_worker_of(service, process.name)]
        name = answering[service][0] if service in answering else (own or [next(iter(answering.values()))[0]])[0]
        places[name] = (*places.get(name, ()), *texts)
    return [replace(process, problems=places.get(process.name, ())) for process in processes]


def is_worker_of(service: str, name: str) -> bool:
    """Whether a process is a worker of a service."""
    return kind_of(name) == "worker" and service_of(name) == service


def read(url: str, token: str) -> EventNumbers | None:
    """The metrics and the health of a worker's private port; None if it does not answer."""
    try:
        status, body = health.fetch(f"{url}/metrics", {"Authorization": f"Bearer {token}"})
        _, ready = health.fetch(f"{url}/health/ready")
    except health.NO_ANSWER:
        return None
    if status != 200:
        return None
    failures, paused = details_of(ready, "logging_failures"), details_of(ready, "paused")
    return replace(parse(body.decode()), failures=failures, paused=paused)


def details_of(body: bytes, name: str) -> dict[str, str]:
    """The texts of a detail in a health response, by kind or queue."""
    try:
        found = json.loads(body).get(name, {})
        return {str(kind): str(problem) for kind, problem in found.items()}
    except (ValueError, AttributeError):
        return {}


def parse(text: str) -> EventNumbers:
    """The metrics in a Prometheus text."""
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
    """The problems of each service, from the metrics of all workers.

    Every worker counts all queues, so the queue of a service that does not run is known from another worker. A `ready`
    worker does consume: the counts of other workers may be some seconds old.
    """
    problems: dict[str, list[str]] = {}
    for service, own in numbers.items():
        if own.lag > LONG:
            text = f"{EVENTS_WAIT}: {own.depth:,} in the outbox of {service}, the oldest for {own.lag:,.0f} s"
            problems.setdefault(service, []).append(text)
        for kind, problem in own.failures.items():
            problems.setdefault(service, []).append(f"{LOGGING_FAILS} ({kind}): {problem}")
        for queue, text in own.paused.items():
            problems.setdefault(service, []).append(f"{PAUSED}: {queue}, {text}")
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
