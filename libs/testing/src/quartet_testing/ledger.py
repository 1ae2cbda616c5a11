"""The ledger: writers record the answer to each write; afterwards the directory, the audit log and the metrics
must agree with that and with each other.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum

import httpx

from quartet_testing.client import GROUPS, USERS, Api, Document, group_document, unique, user_document
from quartet_testing.conditions import PATIENCE, eventually

SERVICES = ("users", "groups", "audit", "metrics")
PAGE = 500
PAUSE = 0.05
"""Seconds that a writer leaves a server alone which has just failed."""


class Outcome(Enum):
    """What a writer knows of a write: DONE must be there, REFUSED must not, UNKNOWN may."""

    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass
class Subject:
    """A user or a group: what became of its creation, of each change of its displayName, and of its end."""

    created: Outcome
    names: dict[str, Outcome] = field(default_factory=dict)
    deleted: Outcome | None = None


class Ledger:
    """Writes users and groups of one tenant, and what the answers were. The tenant must be the test's own."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.users: dict[str, Subject] = {}
        self.groups: dict[str, Subject] = {}
        self.outcomes: Counter[Outcome] = Counter()

    @asynccontextmanager
    async def writing(self, writers: int = 4) -> AsyncIterator[None]:
        """Writers write inside the block; each finishes what it has begun."""
        ends = asyncio.Event()
        tasks = [asyncio.ensure_future(self._write(ends)) for _ in range(writers)]
        try:
            yield
        finally:
            ends.set()
            await asyncio.gather(*tasks)

    async def reached(self, more: int) -> None:
        """Wait until that many more writes are done."""
        wanted = self.outcomes[Outcome.DONE] + more

        async def probe() -> bool:
            return self.outcomes[Outcome.DONE] >= wanted

        await eventually(probe, f"{more} more writes", PATIENCE)

    async def agrees(self) -> None:
        """Wait until everything has arrived, and compare. Raises AssertionError."""
        await eventually(self._has_arrived, "all events to be published and taken in", PATIENCE)
        await eventually(self._compare, "directory, audit log and counts to agree", PATIENCE)

    # ---- writing --------------------------------------------------------------------------------------------------

    async def _write(self, ends: asyncio.Event) -> None:
        """Make users, rename each twice, delete every other one, suspend the rest and put them into groups; some are
        refused.
        """
        number = 0
        while not ends.is_set():
            number += 1
            document = user_document()
            if number % 5 == 1:
                document["active"] = "perhaps"
            outcome, made = await self._send("POST", USERS, document)
            user = self.users[document["userName"]] = Subject(outcome)
            if outcome is Outcome.DONE:
                await self._live(user, made, is_deleted=number % 2 == 0)

    async def _live(self, user: Subject, made: Document, *, is_deleted: bool) -> None:
        path = f"{USERS}/{made['id']}"
        for name, is_active in ((unique("name"), True), (unique("name"), is_deleted)):
            document = user_document(userName=made["userName"], displayName=name, active=is_active)
            user.names[name], _ = await self._send("PUT", path, document)
        if is_deleted:
            user.deleted, _ = await self._send("DELETE", path)
        else:
            group = group_document([made["id"]])
            outcome, _ = await self._send("POST", GROUPS, group)
            self.groups[group["displayName"]] = Subject(outcome)

    async def _send(self, method: str, path: str, document: Document | None = None) -> tuple[Outcome, Document]:
        try:
            answer = await self._api.request(method, path, json=document)
        except httpx.TransportError:
            outcome, body = Outcome.UNKNOWN, Document()
        else:
            outcome = _outcome(method, answer.status_code)
            body = answer.json() if answer.content and outcome is Outcome.DONE else {}
        self.outcomes[outcome] += 1
        if outcome is Outcome.UNKNOWN:
            await asyncio.sleep(PAUSE)
        return outcome, body

    # ---- comparing ------------------------------------------------------------------------------------------------

    async def _has_arrived(self) -> bool:
        """Whether the outboxes and the queues of all services are empty."""
        for service in SERVICES:
            outbox = await self._read(f"/{service}/rabbitmq/outbox")
            assert outbox["depth"] == 0, f"{outbox} in the outbox of {service}"
            queues = (await self._read(f"/{service}/rabbitmq/queues"))["queues"]
            waiting = [queue for queue in queues if queue["messages"] and not queue["name"].endswith(".dead")]
            assert not waiting, waiting
            dead = (await self._read(f"/{service}/rabbitmq/dead-letters"))["dead_letters"]  # of this tenant
            assert not dead, dead
        return True

    async def _compare(self) -> bool:
        log = await self._api.entries()
        numbers = sorted(entry["sequence"] for entry in log)
        assert numbers == list(range(numbers[0], numbers[0] + len(log))), "the numbers of the log have no gap"
        assert len({entry["id"] for entry in log}) == len(log), "an event is in the log once"
        counted = await self._counts()
        logged = Counter(entry["action"] for entry in log)
        assert counted == logged, f"counted too many: {counted - logged}, too few: {logged - counted}"
        assert logged["groups.membership.added"] == logged["groups.group.created"], "each group is made with a member"
        users = {user["userName"]: user for user in await self._all(USERS)}
        groups = {group["displayName"]: group for group in await self._all(GROUPS)}
        _agree(self.users, users, _by_name(log, "users.user", "userName"))
        _agree(self.groups, groups, _by_name(log, "groups.group", "displayName"))
        await self._compare_gauges(list(users.values()), list(groups.values()), len(log))
        return True

    async def _compare_gauges(self, users: list[Document], groups: list[Document], entries: int) -> None:
        states = Counter("active" if user["active"] else "suspended" for user in users)
        assert Counter(await self._values("quartet_users", "state")) == states
        members = Counter(member["type"].lower() for group in groups for member in group.get("members", []))
        assert Counter(await self._values("quartet_memberships", "type")) == members
        assert await self._values("quartet_groups", "none") == {"all": len(groups)}
        assert await self._values("quartet_audit_entries", "none") == {"all": entries}

    async def _values(self, metric: str, by: str) -> dict[str, int]:
        """The present values of a gauge."""
        answer = await self._read("/metrics/query", metric=metric, by=by)
        return {one["key"]: one["points"][-1]["value"] for one in answer["series"]}

    async def _counts(self) -> Counter[str]:
        answer = await self._read("/metrics/query", **self._api.window, metric="events", by="type")
        found = Counter({one["key"]: sum(point["value"] for point in one["points"]) for one in answer["series"]})
        return +found

    async def _all(self, path: str) -> list[Document]:
        found: list[Document] = []
        while True:
            page = await self._read(path, startIndex=len(found) + 1, count=PAGE)
            found += page.get("Resources", [])
            if len(found) >= page["totalResults"]:
                return found

    async def _read(self, path: str, **parameters: str | int) -> Document:
        answer = await self._api.get(path, params=parameters)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        body: Document = answer.json()
        return body


def _outcome(method: str, status: int) -> Outcome:
    if status < 300 or (method == "DELETE" and status == 404):  # the proxy sends a DELETE again that got no answer
        return Outcome.DONE
    return Outcome.REFUSED if status < 500 else Outcome.UNKNOWN


def _by_name(log: list[Document], kind: str, name: str) -> dict[str, list[Document]]:
    """The entries of `kind` by the name that the resource got when it was made, oldest first."""
    names = {one["resource"]["id"]: one["data"][name] for one in log if one["action"] == f"{kind}.created"}
    found: dict[str, list[Document]] = defaultdict(list)
    for entry in sorted(log, key=lambda one: one["sequence"]):
        if entry["action"].startswith(f"{kind}."):
            found[names[entry["resource"]["id"]]].append(entry)
    return found


def _agree(ledger: dict[str, Subject], directory: dict[str, Document], log: dict[str, list[Document]]) -> None:
    """Raises AssertionError unless each of them fits to the others."""
    assert directory.keys() <= ledger.keys()
    assert log.keys() <= ledger.keys()
    for name, subject in ledger.items():
        entries, found = log.get(name, []), directory.get(name)
        actions = Counter(entry["action"].rpartition(".")[2] for entry in entries)
        published = f"{name}: {subject}, in the directory {found}, in the log {actions}"
        assert (actions["created"], actions["deleted"]) in {(0, 0), (1, 0), (1, 1)}, published
        assert (found is not None) == (actions["created"] > actions["deleted"]), published
        _fits(subject.created, actions["created"], published)
        _fits(subject.deleted or Outcome.REFUSED, actions["deleted"], published)
        given = Counter(entry["data"]["displayName"] for entry in entries if entry["action"].endswith(".updated"))
        assert given.keys() <= subject.names.keys(), published
        for display_name, outcome in subject.names.items():
            _fits(outcome, given[display_name], published)
        applied = [display_name for display_name in subject.names if given[display_name]]
        if found is not None and applied:
            assert found["displayName"] == applied[-1], published


def _fits(outcome: Outcome, times: int, published: str) -> None:
    allowed = {Outcome.DONE: (1,), Outcome.REFUSED: (0,), Outcome.UNKNOWN: (0, 1)}[outcome]
    assert times in allowed, published
