"""One request, one trace: the edges from the client to the last worker, as the spans that the processes export."""

from collections.abc import Awaitable, Callable

import pytest

from quartet_cli.stack import Stack
from quartet_testing.client import GROUPS, USERS, Api, group_document, user_document
from quartet_testing.conditions import eventually
from quartet_testing.faults import paused
from quartet_testing.traces import Parent, Span, TraceReceiver, new_parent

pytestmark = pytest.mark.local_stack


MESSAGING = ("PRODUCER", "CONSUMER")


class SharedError(Exception):
    """Other events were in one message or batch with those of this trace, so spans link to it instead."""


async def alone(receiver: TraceReceiver, check: Callable[["Trace"], Awaitable[None]]) -> None:
    """Check a new trace, and another one if events of the stack itself, such as summaries, shared its messages."""
    for _ in range(10):
        trace = Trace(receiver, new_parent())
        try:
            return await check(trace)
        except SharedError:
            pass
    raise AssertionError("ten traces shared their messages with other events")


class Trace:
    """The spans of one trace, found by where they hang."""

    def __init__(self, receiver: TraceReceiver, root: Parent) -> None:
        self.receiver = receiver
        self.root = root

    async def child(self, parent: Span | Parent, service: str, kind: str, name: str) -> Span:
        """Wait for the one child of `parent` that `service` exports with this kind, and a name with `name` in it."""

        return await self.only(service, kind, name, parent_id=parent.span_id)

    async def only(self, service: str, kind: str, name: str, **ids: str) -> Span:
        """Wait for the one span that `service` exports with this kind, a name with `name` in it, and these ids.

        Raises SharedError if there is none since other events were in one message or batch with those of this trace.
        """

        async def probe() -> list[Span]:
            matching = [
                span
                for span in self.receiver.spans(self.root.trace_id)
                if (span.service, span.kind) == (service, kind)
                and name in span.name
                and all(getattr(span, key) == value for key, value in ids.items())
            ]
            if not matching and kind in MESSAGING and self.receiver.is_shared(self.root.trace_id):
                raise SharedError
            return matching

        found = await eventually(probe, f"a {kind} span {name} of {service}, {ids}")
        assert len(found) == 1, found
        return found[0]


async def test_a_created_user_is_one_trace_from_the_client_to_the_audit_worker(api: Api, traces: TraceReceiver) -> None:
    async def check(trace: Trace) -> None:
        root = trace.root
        user = (await api.post(USERS, json=user_document(), headers=root.headers)).json()
        server = await trace.child(root, "quartet-users-api", "SERVER", "POST")
        publish = await trace.child(server, "quartet-users-worker", "PRODUCER", "publish quartet.users.user.created.v1")
        for service in ("audit", "metrics", "groups"):
            name = "process quartet.users.user.created.v1"
            await trace.child(publish, f"quartet-{service}-worker", "CONSUMER", name)
        [entry] = await api.entries_of(user["id"], "users.user.created")
        assert entry["trace_id"] == root.trace_id
        assert not [span for span in traces.spans(root.trace_id) if span.failed]

    await alone(traces, check)


async def test_a_member_that_must_be_asked_for_shows_the_call_from_groups_to_users(
    api: Api, traces: TraceReceiver, stack: Stack
) -> None:
    root = new_parent()
    trace = Trace(traces, root)
    async with paused(stack, "groups-worker"):  # so that the event of the creation cannot have come before
        user = await api.create_user()
        answer = await api.post(GROUPS, json=group_document([user["id"]]), headers=root.headers)
    server = await trace.child(root, "quartet-groups-api", "SERVER", "POST")
    asked = await trace.only("quartet-users-api", "SERVER", "POST /users/lookup")
    call = await trace.only("quartet-groups-api", "CLIENT", "POST", span_id=asked.parent_id)
    assert call.parent_id == server.span_id, "the token of the service may have been renewed beside it"
    for action in ("groups.group.created", "groups.membership.added"):
        [entry] = await api.entries_of(answer.json()["id"], action)
        assert entry["trace_id"] == root.trace_id


async def test_what_follows_from_a_deletion_belongs_to_its_trace(api: Api, traces: TraceReceiver) -> None:
    deleted = "quartet.users.user.deleted.v1"
    removed = "quartet.groups.membership.removed.v1"

    async def check(trace: Trace) -> None:
        user = await api.create_user()
        group = await api.create_group([user["id"]])
        await api.delete(f"{USERS}/{user['id']}", headers=trace.root.headers)
        server = await trace.child(trace.root, "quartet-users-api", "SERVER", "DELETE")
        publish = await trace.child(server, "quartet-users-worker", "PRODUCER", f"publish {deleted}")
        process = await trace.child(publish, "quartet-groups-worker", "CONSUMER", f"process {deleted}")
        follows = await trace.child(process, "quartet-groups-worker", "PRODUCER", f"publish {removed}")
        await trace.child(follows, "quartet-audit-worker", "CONSUMER", f"process {removed}")
        [entry] = await api.entries_of(group["id"], "groups.membership.removed")
        assert entry["trace_id"] == trace.root.trace_id

    await alone(traces, check)


async def test_a_request_without_a_trace_gets_one_that_the_log_names(api: Api) -> None:
    first, second = await api.create_user(), await api.create_user()
    [one] = await api.entries_of(first["id"], "users.user.created")
    [two] = await api.entries_of(second["id"], "users.user.created")
    assert one["trace_id"]
    assert one["trace_id"] != two["trace_id"]
