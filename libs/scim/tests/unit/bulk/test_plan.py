"""The order of a Bulk: references, circles, and what fails with what it refers to; compared with a naive model."""

from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet_scim.bulk import BULK_REQUEST_SCHEMA, BulkResults, Outcome, Plan, make_plan, parse_bulk
from quartet_scim.bulk.reference_cycles import components
from quartet_scim.errors import ScimError, invalid_value, uniqueness

ENDPOINTS = ("/Users", "/Groups")
Operation = dict[str, Any]


def plan(*operations: Any) -> Plan:
    numbers = count(1)
    request = parse_bulk({"schemas": [BULK_REQUEST_SCHEMA], "Operations": list(operations)}, ENDPOINTS)
    return make_plan(request.operations, ENDPOINTS, lambda: f"id-{next(numbers)}")


def user(bulk_id: str, *refers: str) -> Operation:
    data = {"userName": bulk_id, "friends": [{"value": f"bulkId:{name}"} for name in refers]}
    return {"method": "POST", "path": "/Users", "bulkId": bulk_id, "data": data}


def group(bulk_id: str, *members: str) -> Operation:
    data = {"displayName": bulk_id, "members": [{"value": f"bulkId:{name}"} for name in members]}
    return {"method": "POST", "path": "/Groups", "bulkId": bulk_id, "data": data}


def test_references_are_replaced_by_ids_that_are_made_before() -> None:
    found = plan(group("g", "u"), user("u"))
    assert [one.id for one in found.operations] == ["id-1", "id-2"]
    assert found.operations[0].data == {"displayName": "g", "members": [{"value": "id-2"}]}


def test_what_is_referred_to_comes_first_and_all_else_in_order() -> None:
    assert plan(user("a"), group("g", "b"), user("b"), user("c")).steps == [(0,), (2,), (1,), (3,)]


def test_a_circle_is_one_step() -> None:
    assert plan(user("a", "b"), user("x"), user("b", "a")).steps == [(0, 2), (1,)]


def test_a_user_that_refers_to_itself_is_no_circle() -> None:
    found = plan(user("a", "a"))
    assert (found.steps, found.operations[0].needs) == ([(0,)], frozenset())
    assert found.operations[0].data["friends"] == [{"value": "id-1"}]


def test_a_user_does_not_wait_for_its_group() -> None:
    found = plan(user("u", "g"), group("g", "u"))
    assert found.steps == [(0,), (1,)]
    assert found.operations[0].data["friends"] == [{"value": "id-2"}]


def test_a_path_may_refer_to_what_the_message_makes() -> None:
    found = plan({"method": "DELETE", "path": "/Users/bulkId:a"}, user("a"))
    assert (found.operations[0].id, found.steps) == ("id-1", [(1,), (0,)])


def test_only_whole_values_are_references_and_the_message_is_left_alone() -> None:
    sent = user("a")
    sent["data"] |= {"title": "see bulkId:b", "nickName": "bulkid:b", "bulkId:b": "x"}
    before = repr(sent)
    found = plan(sent)
    assert (found.operations[0].data, found.operations[0].fault) == (sent["data"], None)
    assert repr(sent) == before


def test_an_unknown_reference_is_the_fault_of_who_refers() -> None:
    found = plan(user("a", "nobody"), user("b"))
    assert str(found.operations[0].fault) == "No POST of this message has the bulkId nobody, which it needs."
    assert found.operations[1].fault is None


def test_a_put_makes_nothing_that_could_be_referred_to() -> None:
    put = {"method": "PUT", "path": "/Users/1", "bulkId": "a", "data": {}}
    assert plan(put, user("b", "a")).operations[1].fault is not None


def test_a_bulk_id_given_twice_refers_to_the_first_operation() -> None:
    found = plan(user("a"), user("a"), user("b", "a"))
    assert [one.fault is None for one in found.operations] == [True, False, True]
    assert found.operations[2].needs == {0}
    assert "bulkId a" in str(found.operations[1].fault)


def test_a_long_chain_is_walked_without_recursion() -> None:
    chain = [user(str(number), str(number + 1)) for number in range(999)] + [user("999")]
    assert plan(*chain).steps == [(number,) for number in range(999, -1, -1)]


Graph = list[set[int]]
graphs: st.SearchStrategy[Graph] = st.integers(1, 12).flatmap(
    lambda size: st.lists(st.sets(st.integers(0, size - 1), max_size=3), min_size=size, max_size=size)
)


def reachable(graph: Graph, start: int) -> set[int]:
    found: set[int] = set()
    waiting = list(graph[start])
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(graph[node])
    return found


@given(graphs)
def test_components_are_the_circles_in_an_order_that_serves_needs(graph: Graph) -> None:
    found = components([sorted(one) for one in graph])
    assert sorted(node for one in found for node in one) == list(range(len(graph)))
    done: set[int] = set()
    for one in found:
        for node in one:
            mutual = {other for other in reachable(graph, node) if node in reachable(graph, other)} | {node}
            assert mutual == set(one)
            assert graph[node] <= done | set(one)
        done |= set(one)


@given(graphs, st.data())
def test_operations_that_refer_to_a_failed_one_fail_as_in_a_simple_model(graph: Graph, data: st.DataObject) -> None:
    """The model: spread failures along references until nothing changes any more; a circle shares its fate."""
    bad = data.draw(st.sets(st.integers(0, len(graph) - 1)))
    found = plan(*(user(str(node), *map(str, needs)) for node, needs in enumerate(graph)))
    results = BulkResults(found, None)
    for step in found.steps:
        refusals = {one: results.refusal(one) or (uniqueness("taken") if one in bad else None) for one in step}
        failed = next(((one, error) for one, error in refusals.items() if error is not None), None)
        for one in step:
            error = refusals[one] or (results.dependent(*failed) if failed else None)
            results.record(one, Outcome.failed(error) if error else Outcome(201, 1))
    expected = set(bad)
    while grown := {node for node, needs in enumerate(graph) if needs & expected} - expected:
        expected |= grown
    answers = results.response(lambda endpoint, one: f"{endpoint}/{one}")["Operations"]
    assert {place for place, one in enumerate(answers) if one["status"] != "201"} == expected
    assert results.errors == len(expected)


def test_an_operation_that_refers_to_a_failure_names_it() -> None:
    results = BulkResults(plan(user("a"), user("b", "a")), None)
    results.record(0, Outcome.failed(uniqueness("taken")))
    refusal = results.refusal(1)
    assert refusal is not None
    assert (refusal.status, str(refusal)) == (409, "The operation refers to bulkId a, which was not created.")


def test_what_refers_to_something_not_carried_out_was_not_carried_out_either() -> None:
    results = BulkResults(plan(user("a"), user("b", "a")), None)
    results.record(0, Outcome.failed(ScimError(503, "away")))
    refusal = results.refusal(1)
    assert refusal is not None
    assert refusal.status == 503


@pytest.mark.parametrize(("limit", "stopped"), [(None, False), (1, True), (2, True), (3, False)])
def test_the_bulk_stops_at_the_number_of_errors(limit: int | None, stopped: bool) -> None:
    results = BulkResults(plan(user("a"), user("b"), user("c")), limit)
    results.record(0, Outcome.failed(invalid_value("x")))
    results.record(1, Outcome.failed(invalid_value("x")))
    assert results.stopped is stopped


def test_results_are_as_in_the_rfc_and_in_the_order_of_the_request() -> None:
    found = plan(
        group("g", "u"),
        user("u"),
        {"method": "put", "path": "/Users/7", "data": {}},
        {"method": "DELETE", "path": "/Users/8"},
        {"method": "PATCH", "path": "/Users/9", "bulkId": "p", "data": []},
        user("bad"),
        {"method": "GET"},
        user("later"),
    )
    results = BulkResults(found, None)
    error = uniqueness("taken")
    for index, outcome in [
        (1, Outcome(201, 1)),
        (0, Outcome(201, 1)),
        (2, Outcome(200, 3)),
        (3, Outcome(204)),
        (4, Outcome.failed(error)),
        (5, Outcome.failed(error)),
        (6, Outcome.failed(error)),
    ]:
        results.record(index, outcome)
    response = results.response(lambda endpoint, one: f"https://example.com/v2{endpoint}/{one}")
    failed = {"status": "409", "response": error.document()}
    root = "https://example.com/v2"
    assert response == {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkResponse"],
        "Operations": [
            {"location": f"{root}/Groups/id-1", "method": "POST", "bulkId": "g", "version": 'W/"1"', "status": "201"},
            {"location": f"{root}/Users/id-2", "method": "POST", "bulkId": "u", "version": 'W/"1"', "status": "201"},
            {"location": f"{root}/Users/7", "method": "PUT", "version": 'W/"3"', "status": "200"},
            {"location": f"{root}/Users/8", "method": "DELETE", "status": "204"},
            {"location": f"{root}/Users/9", "method": "PATCH", "bulkId": "p", **failed},
            {"method": "POST", "bulkId": "bad", **failed},
            failed,
        ],
    }
