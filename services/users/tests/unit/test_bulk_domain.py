"""A Bulk's new users as sets: the outcome is that of carrying out one operation after the other."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from quartet_common.core.identifiers import new_id
from quartet_scim.bulk import BULK_REQUEST_SCHEMA, BulkResults, Plan, make_plan, parse_bulk
from quartet_scim.errors import ScimError, invalid_value
from quartet_scim.normalise import Normalised
from quartet_users.bulk.bulk_domain import Wanted, first_of_each_name, make_candidates, settle
from quartet_users.bulk.bulk_runs import ENDPOINTS, MAX_RUN, Kind, runs

NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)


def plan(*operations: Any) -> Plan:
    request = parse_bulk({"schemas": [BULK_REQUEST_SCHEMA], "Operations": list(operations)}, ENDPOINTS)
    return make_plan(request.operations, ENDPOINTS, lambda: str(new_id()))


def user(number: int, *refers: int) -> dict[str, Any]:
    data = {"refers": [f"bulkId:{other}" for other in refers]}
    return {"method": "POST", "path": "/Users", "bulkId": str(number), "data": data}


def group(number: int, *refers: int) -> dict[str, Any]:
    return {**user(number, *refers), "path": "/Groups"}


def naive(steps: list[tuple[int, ...]], users: list[Any], taken: set[str], limit: int | None) -> dict[int, bool]:
    """One step after the other: it succeeds if all of it is right, its names are free and what it refers to is made."""
    names, done = set(taken), dict[int, bool]()
    for step in steps:
        if limit is not None and list(done.values()).count(False) >= limit:
            break
        own = [users[index][0] for index in step]
        good = all(
            users[index][2] and all(done.get(other, other in step) for other in users[index][1]) for index in step
        )
        good = good and not names & set(own) and len(set(own)) == len(own)
        names |= set(own) if good else set()
        done |= dict.fromkeys(step, good)
    return done


@st.composite
def messages(draw: st.DrawFn) -> list[tuple[str, set[int], bool]]:
    """Users as (name, references, whether they are valid)."""
    size = draw(st.integers(1, 8))
    one = st.tuples(st.sampled_from("abcdef"), st.sets(st.integers(0, size - 1), max_size=2), st.integers(0, 9))
    return [(name, refers, luck > 0) for name, refers, luck in draw(st.lists(one, min_size=size, max_size=size))]


@given(messages(), st.sets(st.sampled_from("abcdef"), max_size=2), st.none() | st.integers(1, 4))
def test_a_set_comes_out_as_if_done_one_by_one(
    users: list[tuple[str, set[int], bool]], taken: set[str], limit: int | None
) -> None:
    found = plan(*(user(number, *one[1]) for number, one in enumerate(users)))
    wanted: dict[int, Wanted | ScimError] = {
        index: Wanted(new_id(), Normalised({"userName": name}, {})) if good else invalid_value("bad")
        for index, (name, _, good) in enumerate(users)
    }
    results = BulkResults(found, limit)
    made = settle(results, found.steps, make_candidates(wanted, NOW), taken)
    expected = naive(list(found.steps), users, taken, limit)
    answers = results.response(lambda endpoint, _: endpoint)["Operations"]
    assert {int(one["bulkId"]): one["status"] == "201" for one in answers} == expected
    assert sorted(one.user.user_name for one in made) == sorted(
        users[index][0] for index in expected if expected[index]
    )


def test_of_several_with_one_name_the_first_is_tried() -> None:
    wanted: dict[int, Wanted | ScimError] = {
        index: Wanted(new_id(), Normalised({"userName": name}, {})) for index, name in enumerate(["a", "A", "b"])
    }
    assert [one.user_name for one in first_of_each_name(make_candidates(wanted, NOW)).values()] == ["a", "b"]


def test_steps_of_a_kind_go_together_and_keep_their_order() -> None:
    delete = {"method": "DELETE", "path": "/Users/1"}
    found = runs(plan(user(0), user(1), delete, delete, user(2), group(3), group(4), {"method": "GET"}, group(5)))
    assert [(run.kind, run.indexes) for run in found] == [
        (Kind.CREATE_USERS, [0, 1]),
        (Kind.ONE, [2]),
        (Kind.ONE, [3]),
        (Kind.CREATE_USERS, [4]),
        (Kind.GROUPS, [5, 6]),
        (Kind.ONE, [7]),
        (Kind.GROUPS, [8]),
    ]


def test_a_run_has_a_size_but_a_circle_is_not_taken_apart() -> None:
    found = list(runs(plan(*(user(number) for number in range(MAX_RUN * 2 + 1)))))
    assert [len(run.indexes) for run in found] == [MAX_RUN, MAX_RUN, 1]
    circle = [user(number, (number + 1) % 600) for number in range(600)]
    assert [len(run.indexes) for run in runs(plan(*circle))] == [600]


def test_a_group_comes_in_a_later_call_than_the_group_that_it_needs() -> None:
    join = {"method": "PATCH", "path": "/Groups/bulkId:0", "data": []}
    found = list(runs(plan(group(0), group(1), group(2, 0), join, join)))
    assert [run.indexes for run in found] == [[0, 1], [2, 3, 4]]
