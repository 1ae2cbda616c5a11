"""Bulk through the proxy: users and groups made together, told of as if made one by one."""

from typing import Any

import pytest

from quartet_cli.stack import Stack
from quartet_testing.client import USERS, Api, Document, bulk_document, group_document, unique, user_document
from quartet_testing.conditions import eventually
from quartet_testing.faults import paused
from quartet_testing.traces import Span, TraceReceiver, new_parent

BULK = "/scim/v2/Bulk"


def user(bulk_id: str, **attributes: Any) -> Document:
    """A user to make."""
    return {"method": "POST", "path": "/Users", "bulkId": bulk_id, "data": user_document(**attributes)}


def group(bulk_id: str, *members: str, **attributes: Any) -> Document:
    """A group to make of what the same message makes."""
    data = group_document((f"bulkId:{member}" for member in members), **attributes)
    return {"method": "POST", "path": "/Groups", "bulkId": bulk_id, "data": data}


async def carried_out(api: Api, *operations: Document, **others: Any) -> list[Document]:
    """The results of a Bulk."""
    answer = await api.post(BULK, json=bulk_document(*operations, **others))
    assert answer.status_code == 200, answer.text
    found: list[Document] = answer.json()["Operations"]
    return found


def id_of(result: Document) -> str:
    """The id of what an operation made."""
    return str(result["location"].rpartition("/")[2])


@pytest.mark.local_stack
async def test_a_company_is_created_by_one_message_with_the_caller_as_actor(api: Api, stack: Stack) -> None:
    root = new_parent()
    join = {"op": "add", "path": "members", "value": [{"value": "bulkId:mandy"}]}
    message = bulk_document(
        group("guides", "babs"),
        user("babs", displayName="Barbara Jensen"),
        user("mandy", displayName="Mandy Pepperidge"),
        {"method": "PATCH", "path": "/Groups/bulkId:guides", "data": [join]},
    )
    async with paused(stack, "groups-worker"):  # so that groups cannot have heard of the users by an event
        answer = await api.post(BULK, json=message, headers=root.headers)
    results = answer.json()["Operations"]
    assert [one["status"] for one in results] == ["201", "201", "201", "200"]
    found = (await api.get(results[0]["location"])).json()
    assert {member["display"] for member in found["members"]} == {"Barbara Jensen", "Mandy Pepperidge"}
    assert found["meta"]["version"] == results[3]["version"]
    [of_user] = await api.entries_of(id_of(results[1]), "users.user.created")
    [of_group] = await api.entries_of(id_of(results[0]), "groups.group.created")
    for name in ("actor", "source_address", "outcome"):
        assert of_group[name] == of_user[name]
    assert of_group["trace_id"] == of_user["trace_id"] == root.trace_id


@pytest.mark.local_stack
async def test_the_groups_of_a_bulk_are_one_call_in_the_trace_of_the_message(api: Api, traces: TraceReceiver) -> None:
    root = new_parent()
    operations = [user("babs"), *(group(unique("g"), "babs") for _ in range(20))]
    answer = await api.post(BULK, json=bulk_document(*operations), headers=root.headers)
    assert [one["status"] for one in answer.json()["Operations"]] == ["201"] * 21

    async def calls() -> list[Span]:
        return [
            span
            for span in traces.spans(root.trace_id)
            if (span.service, span.kind) == ("quartet-groups-api", "SERVER") and "/groups/bulk" in span.name
        ]

    await eventually(calls, "the call in the trace")  # processes export their spans in batches
    assert len(await calls()) == 1


async def test_users_of_a_bulk_are_counted_one_by_one(api: Api) -> None:
    before = await api.settled_count("users.user.created")
    taken = user("last")
    results = await carried_out(api, *(user(str(number)) for number in range(300)), taken, {**taken, "bulkId": "twin"})
    assert [one["status"] for one in results] == ["201"] * 301 + ["409"]
    await api.counted("users.user.created", before + 301)


async def test_the_error_of_a_message_that_is_too_large_has_the_limit(api: Api) -> None:
    config = (await api.get("/scim/v2/ServiceProviderConfig")).json()["bulk"]
    large = user("large", title="x" * config["maxPayloadSize"])
    answer = await api.post(BULK, json=bulk_document(large))
    assert (answer.status_code, answer.headers["Content-Type"]) == (413, "application/scim+json")
    assert f"maxPayloadSize ({config['maxPayloadSize']})" in answer.json()["detail"]
    many = [{"method": "DELETE", "path": f"/Users/{number}"} for number in range(config["maxOperations"] + 1)]
    answer = await api.post(BULK, json=bulk_document(*many))
    assert (answer.status_code, "maxOperations (1000)" in answer.json()["detail"]) == (413, True)


async def test_a_bulk_that_stops_at_an_error_of_groups_leaves_the_rest_undone(api: Api) -> None:
    alone = unique("alone")
    results = await carried_out(
        api, user("u"), {**group("g"), "data": {}}, user("v", userName=alone), group("h", "u"), failOnErrors=1
    )
    assert [one["status"] for one in results] == ["201", "400"]
    found = (await api.get(USERS, params={"filter": f'userName eq "{alone}"'})).json()
    assert found["totalResults"] == 0
