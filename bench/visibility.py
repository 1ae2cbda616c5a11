"""Visibility: how long after its commit a write is in the audit log, under 100 writes/s through the proxy.

Run `.venv/bin/python bench/visibility.py` (makes a stack of its own and removes it), or with --url and --token against
a running one. A write is taken as committed when its answer has come; from then on the newest page of /audit/events is
asked for again and again, one question at a time, until the entry is there. So a figure is late by up to the time that
one question takes (printed as the resolution) and 10 ms; it can be below zero when the entry was there before the
answer. "Event time -> entry recorded" is what the log itself says: from inside the write's transaction to inside the
audit worker's. With --metrics it asks /metrics/query for the number of users instead, and with --promql the Prometheus
API: the n-th answer counts until n users are there. With --provable it asks for the proof of each tenth write, which
waits for its checkpoint (`wait=5`).
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from quartet_cli.reset import remove
from quartet_cli.stack import Stack
from quartet_testing.client import USERS, Api, user_document
from quartet_testing.limits import WIDE

CREATED = "users.user.created"
PAGE = 20
PAUSE = 0.01
"""Seconds between two looks at the log: without it the looking itself would be most of the load on a small machine."""
PATIENCE = 60.0
QUIET = 3.0
"""Seconds until the users that were there before are counted."""
PROVEN = 10
"""Of so many writes the proof of one is asked for."""
OVERDUE = 0.3
"""Seconds after the answer from which an entry is looked for by its user's id."""


@dataclass
class Run:
    """What was seen: times are seconds of one clock, by the id of the user."""

    answered: dict[str, float] = field(default_factory=dict)
    took: list[float] = field(default_factory=list)
    seen: dict[str, float] = field(default_factory=dict)
    recorded: dict[str, float] = field(default_factory=dict)
    counted: list[float] = field(default_factory=list)
    """When the first, second, ... user was in the metrics."""
    proven: list[float] = field(default_factory=list)
    """Seconds from answers until proofs."""
    questions: list[float] = field(default_factory=list)
    written: bool = False
    refused: int = 0

    @property
    def complete(self) -> bool:
        """Whether everything that was written was seen."""
        return self.written and self.answered.keys() <= self.seen.keys()


async def write(api: Api, run: Run, rate: float, seconds: float, prover: Api | None = None) -> None:
    """Create users at an even rate, however long each takes; `prover` asks for proofs."""
    begun = time.monotonic()
    tasks = []
    for number in range(round(rate * seconds)):
        await asyncio.sleep(max(0.0, begun + number / rate - time.monotonic()))
        asks = prover if number % PROVEN == 0 else None
        tasks.append(asyncio.ensure_future(write_one(api, run, asks)))
    await asyncio.gather(*tasks)
    run.written = True


async def write_one(api: Api, run: Run, prover: Api | None = None) -> None:
    """Create one user and note when the answer came; then when `prover` gets the proof of its event."""
    sent = time.monotonic()
    answer = await api.post(USERS, json=user_document(displayName="Barbara Jensen"))
    now = time.monotonic()
    if answer.status_code != 201:
        run.refused += 1
        return
    run.answered[answer.json()["id"]] = now
    run.took.append(now - sent)
    if prover is not None:
        await wait_for_proof(prover, answer.headers["Quartet-Event"])
        run.proven.append(time.monotonic() - now)


async def wait_for_proof(api: Api, event: str) -> None:
    """Return once the proof of an event is there. Raises SystemExit after PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while (answer := await api.get(f"/audit/events/{event}/proof", params={"wait": 5})).status_code != 200:
        if time.monotonic() > deadline:
            raise SystemExit(f"there is no proof of {event}: {answer.status_code} {answer.text[:200]}")
        await asyncio.sleep(PAUSE)


async def watch(api: Api, run: Run) -> None:
    """Ask for the newest entries until all users were seen; follow the pages down to what is known."""
    deadline = time.monotonic() + PATIENCE
    parameters: dict[str, str | int] = {"action": CREATED, "limit": PAGE}
    while not run.complete:
        begun = time.monotonic()
        answer = await api.get("/audit/events", params=parameters)
        now = time.monotonic()
        answer.raise_for_status()
        page = answer.json()
        fresh = [entry for entry in page["events"] if entry["resource"]["id"] not in run.seen]
        for entry in fresh:
            run.seen[entry["resource"]["id"]] = now
            run.recorded[entry["resource"]["id"]] = seconds_between(entry["time"], entry["recorded_time"])
        run.questions.append(now - begun)
        more = page["next"] if fresh and len(fresh) == len(page["events"]) else None
        parameters = {"action": CREATED, "limit": PAGE, **({"cursor": more} if more else {})}
        if fresh or await look_for_overdue(api, run):
            deadline = now + PATIENCE
        else:
            await asyncio.sleep(PAUSE)
        if now > deadline:
            raise SystemExit(f"{len(run.answered.keys() - run.seen.keys())} entries did not appear")


async def watch_metrics(api: Api, run: Run, source: str, before: int) -> None:
    """Ask for the number of users until all are counted; `before` were there already."""
    deadline = time.monotonic() + PATIENCE
    while not (run.written and len(run.counted) >= len(run.answered)):
        begun = time.monotonic()
        users = await SOURCES[source](api) - before
        now = time.monotonic()
        run.questions.append(now - begun)
        if users > len(run.counted):
            deadline = now + PATIENCE
            run.counted += [now] * (users - len(run.counted))
        if now > deadline:
            raise SystemExit(f"{len(run.answered) - len(run.counted)} users were not counted")
        await asyncio.sleep(PAUSE)


async def users_in_metrics(api: Api) -> int:
    """The number of users that the metrics service has counted."""
    answer = await api.get("/metrics/query", params={"metric": "quartet_users"})
    answer.raise_for_status()
    return int(answer.json()["total"])


async def users_in_promql(api: Api) -> int:
    """The number of users that the engine has."""
    answer = await api.get("/metrics/prometheus/api/v1/query", params={"query": "sum(quartet_users)"})
    answer.raise_for_status()
    result = answer.json()["data"]["result"]
    return int(result[0]["value"][1]) if result else 0


SOURCES = {"/metrics/query": users_in_metrics, "PromQL": users_in_promql}


async def look_for_overdue(api: Api, run: Run) -> bool:
    """Ask for one user by its id that should have been seen by now; True if it is there.

    Pages are in the order of the events' own times, which are taken before the commit: a write that took long appears
    among older ones, below the newest page.
    """
    now = time.monotonic()
    overdue = [one for one, answered in run.answered.items() if one not in run.seen and now - answered > OVERDUE]
    if not overdue:
        return False
    answer = await api.get("/audit/events", params={"action": CREATED, "resource": overdue[0]})
    answer.raise_for_status()
    for entry in answer.json()["events"]:
        run.seen[overdue[0]] = time.monotonic()
        run.recorded[overdue[0]] = seconds_between(entry["time"], entry["recorded_time"])
    return overdue[0] in run.seen


def seconds_between(first: str, second: str) -> float:
    """Seconds from one RFC 3339 time to another."""
    return (datetime.fromisoformat(second) - datetime.fromisoformat(first)).total_seconds()


def row(name: str, values: Sequence[float]) -> str:
    """One line of the table, in milliseconds."""
    ordered = sorted(values)
    points = [ordered[min(len(ordered) - 1, round(len(ordered) * share))] for share in (0.5, 0.9, 0.99)]
    cells = "".join(f"{value * 1000:9.1f}" for value in (*points, ordered[-1]))
    return f"{name:<36}{len(ordered):>6}{cells}"


def report(run: Run, source: str | None) -> None:
    """Print the table."""
    print(f"{'milliseconds':<36}{'n':>6}{'p50':>9}{'p90':>9}{'p99':>9}{'max':>9}")
    if run.proven:
        print(row("answer -> proof", run.proven))
    elif run.counted:
        late = [seen - answered for seen, answered in zip(run.counted, sorted(run.answered.values()), strict=False)]
        print(row(f"answer -> counted in {source}", late))
    else:
        print(row("answer -> entry visible", [run.seen[one] - run.answered[one] for one in run.answered]))
        print(row("event time -> entry recorded", [run.recorded[one] for one in run.answered]))
    print(row("POST /scim/v2/Users", run.took))
    if run.questions:
        print(row("resolution: one look", run.questions))
    if run.refused:
        print(f"{run.refused} writes were refused: they are in none of the figures")


async def measure_proofs(url: str, token: str, rate: float, seconds: float) -> None:
    """Write, and ask for proofs at once, over connections of their own."""
    run = Run()
    async with Api(url, token) as writer, Api(url, token) as prover:
        await wait_for_proof(prover, (await writer.post(USERS, json=user_document())).headers["Quartet-Event"])
        await write(writer, run, rate, seconds, prover)
    report(run, None)


async def measure(url: str, token: str, rate: float, seconds: float, source: str | None) -> None:
    """Write and watch at once, over connections of their own: the audit log, or one of SOURCES."""
    run = Run()
    async with Api(url, token) as writer, Api(url, token) as watcher:
        await writer.create_user()  # the connection and the first token check are no part of it
        if source is not None:
            await asyncio.sleep(QUIET)
            watching = watch_metrics(watcher, run, source, await SOURCES[source](watcher))
        else:
            watching = watch(watcher, run)
        run_watch = asyncio.ensure_future(watching)
        await write(writer, run, rate, seconds)
        await run_watch
    report(run, source)
    print(f"load {os.getloadavg()[0]:.1f}")


@contextmanager
def target(url: str | None, token: str | None) -> Iterator[tuple[str, str]]:
    """The stack that was named, or one of our own."""
    if url and token:
        yield url, token
        return
    with tempfile.TemporaryDirectory(prefix="quartet-bench-", ignore_cleanup_errors=True) as home:
        stack = Stack(Path(home), None, extra_environment=WIDE, temporary=True)
        try:
            stack.up()
            yield stack.url, stack.token("bench")
        finally:
            stack.down()
            remove(stack.home)


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description="How long after its commit a write is in the audit log.")
    parser.add_argument("--url", help="the proxy of a running stack")
    parser.add_argument("--token", help="a bearer token with users:write, and audit:read or metrics:read")
    parser.add_argument("--rate", type=float, default=100, help="writes per second")
    parser.add_argument("--seconds", type=float, default=30)
    seen = parser.add_mutually_exclusive_group()
    seen.add_argument("--metrics", dest="source", action="store_const", const="/metrics/query", help="of counts")
    seen.add_argument("--promql", dest="source", action="store_const", const="PromQL", help="of counts in PromQL")
    seen.add_argument("--provable", action="store_true", help="how long until it can be proven, instead")
    arguments = parser.parse_args()
    if bool(arguments.url) != bool(arguments.token):
        parser.error("--url and --token go together")
    with target(arguments.url, arguments.token) as (url, token):
        if arguments.provable:
            asyncio.run(measure_proofs(url, token, arguments.rate, arguments.seconds))
        else:
            asyncio.run(measure(url, token, arguments.rate, arguments.seconds, arguments.source))


if __name__ == "__main__":
    main()
