"""One request, one trace: the edges from the client to the last worker, as the spans that the processes export."""

import pytest

from quartet_cli.stack import Stack
from quartet_testing.client import GROUPS, USERS, Api, group_document, user_document
from quartet_testing.conditions import eventually
from quartet_testing.faults import paused
from quartet_testing.traces import Parent, Span, TraceReceiver, new_parent

pytestmark = pytest.mark.local_stack


class Trace:
    """The spans of one trace, found by where they hang."""

    def __init__(self, receiver: TraceReceiver, root: Parent) -> None:
        self.receiver = receiver
        self.root = root

    async def child(self, parent: Span | Parent, service: str, kind: str, name: str) -> Span:
        """Wait for the one child of `parent` that `service` exports with this kind, and a name with `name` in it."""

        return await self.only(service, kind, name, parent_id=parent.span_id)

    async def only(self, service: str, kind: str, name: str, **ids: str) -> Span:
        """Wait for the one span that `service` exports with this kind, a name with `name` in it, and these ids."""

        async def probe() -> list[Span]:
            return [
                span
                for span in self.receiver.spans(self.root.trace_id)
                if (span.service, span.kind) == (service, kind)
                and name in span.name
                and all(getattr(span, key) == value for key, value in ids.items())
            ]

        found = await eventually(probe, f"a {kind} span {name} of {service}, {ids}")
        assert len(found) == 1, found
        return found[0]


async def test_a_created_user_is_one_trace_from_the_client_to_the_audit_worker(api: Api, traces: TraceReceiver) -> None:
    root = new_parent()
    trace = Trace(traces, root)
    user = (await api.post(USERS, json=user_document(), headers=root.headers)).json()
    server = await trace.child(root, "quartet-users-api", "SERVER", "POST")
    publish = await trace.child(server, "quartet-users-worker", "PRODUCER", "publish quartet.users.user.created.v1")
    for service in ("audit", "metrics", "groups"):
        name = "process quartet.users.user.created.v1"
        await trace.child(publish, f"quartet-{service}-worker", "CONSUMER", name)
    [entry] = await api.entries_of(user["id"], "users.user.created")
    assert entry["trace_id"] == root.trace_id
    assert not [span for span in traces.spans(root.trace_id) if span.failed]


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
    user = await api.create_user()
    group = await api.create_group([user["id"]])
    root = new_parent()
    trace = Trace(traces, root)
    await api.delete(f"{USERS}/{user['id']}", headers=root.headers)
    server = await trace.child(root, "quartet-users-api", "SERVER", "DELETE")
    publish = await trace.child(server, "quartet-users-worker", "PRODUCER", "publish quartet.users.user.deleted.v1")
    process = await trace.child(publish, "quartet-groups-worker", "CONSUMER", "process quartet.users.user.deleted.v1")
    removed = "publish quartet.groups.membership.removed.v1"
    follows = await trace.child(process, "quartet-groups-worker", "PRODUCER", removed)
    name = "process quartet.groups.membership.removed.v1"
    await trace.child(follows, "quartet-audit-worker", "CONSUMER", name)
    [entry] = await api.entries_of(group["id"], "groups.membership.removed")
    assert entry["trace_id"] == root.trace_id


async def test_a_request_without_a_trace_gets_one_that_the_log_names(api: Api) -> None:
    first, second = await api.create_user(), await api.create_user()
    [one] = await api.entries_of(first["id"], "users.user.created")
    [two] = await api.entries_of(second["id"], "users.user.created")
    assert one["trace_id"]
    assert one["trace_id"] != two["trace_id"]
