"""Bulk on the real PostgreSQL; the groups service is a fake that remembers what it was sent."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from quartet_common.core.caller import Caller
from quartet_common.core.clock import utc_now
from quartet_common.core.errors import UnavailableError
from quartet_common.core.fair_share import CapacityExceededError
from quartet_common.core.identifiers import new_id
from quartet_scim.bulk import Method, Outcome, Planned
from quartet_scim.errors import invalid_value
from quartet_testing.client import USER, bulk_document, group_document, patch_document
from quartet_testing.faults import somebody_waits
from quartet_testing.plugin import ConfigFor
from quartet_testing.services import RunningService, new_tenant, run_service
from quartet_users.app import SERVICE
from quartet_users.bulk import bulk_usecases, group_operations_client
from quartet_users.config import UsersConfig
from quartet_users.passwords.password_hashing import Passwords
from quartet_users.users import user_domain, user_store
from quartet_users.users.user_domain import User

Headers = dict[str, str]
Operation = dict[str, Any]
SCOPES = ("users:read", "users:write", "groups:write")


class FakeGroups:
    """Makes every group but those called `bad`; `away` makes calls fail."""

    def __init__(self) -> None:
        self.calls: list[list[Planned]] = []
        self.callers: list[Caller] = []
        self.away = False

    async def carry_out(
        self, caller: Caller, operations: Sequence[Planned], errors_left: int | None, seconds: float
    ) -> list[Outcome]:
        """What GroupsClient.carry_out does."""
        assert 0 < seconds <= bulk_usecases.ANSWER_LIMIT
        self.calls.append(list(operations))
        self.callers.append(caller)
        if self.away:
            raise UnavailableError("groups")
        outcomes: list[Outcome] = []
        for one in operations:
            made = Outcome(204) if one.operation.method is Method.DELETE else Outcome(201, 1)
            is_bad = isinstance(one.data, dict) and one.data.get("displayName") == "bad"
            outcomes.append(Outcome.failed(invalid_value("members: no.")) if is_bad else made)
            if errors_left is not None and sum(each.error is not None for each in outcomes) >= errors_left:
                break
        return outcomes


@pytest.fixture(scope="module")
def shared_groups() -> FakeGroups:
    """One fake for the one running app."""
    return FakeGroups()


@pytest.fixture
def groups(shared_groups: FakeGroups) -> FakeGroups:
    """The groups service, as nobody has called it yet."""
    shared_groups.calls, shared_groups.callers, shared_groups.away = [], [], False
    return shared_groups


@pytest.fixture(scope="module")
async def users(config_for: ConfigFor[UsersConfig], shared_groups: FakeGroups) -> AsyncIterator[RunningService]:
    """The running service, whose calls to groups reach the fake."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(group_operations_client, "GroupOperationsClient", lambda _: shared_groups)
        async with run_service(SERVICE, config_for(UsersConfig)) as running:
            yield running


@pytest.fixture
def headers(users: RunningService, tenant: str) -> Headers:
    """A token for everything that a Bulk can do."""
    return users.tokens.headers(tenant, SCOPES, actor="hr-sync")


def post(name: str, bulk_id: str | None = None, **attributes: Any) -> Operation:
    named = {} if bulk_id is None else {"bulkId": bulk_id}
    return {"method": "POST", "path": "/Users", **named, "data": {"schemas": [USER], "userName": name, **attributes}}


def group(bulk_id: str, *members: str, **attributes: Any) -> Operation:
    data = group_document(members, **attributes)
    return {"method": "POST", "path": "/Groups", "bulkId": bulk_id, "data": data}


async def sent(users: RunningService, headers: Headers, *operations: Any, **others: Any) -> list[dict[str, Any]]:
    answer = await users.client.post("/scim/v2/Bulk", headers=headers, json=bulk_document(*operations, **others))
    document = await answer.get_json(force=True)
    assert answer.status_code == 200, document
    assert answer.content_type == "application/scim+json"
    found: list[dict[str, Any]] = document["Operations"]
    return found


def statuses(results: list[dict[str, Any]]) -> list[int]:
    return [int(one["status"]) for one in results]


def id_of(result: dict[str, Any]) -> str:
    return str(result["location"].rpartition("/")[2])


async def names(users: RunningService, headers: Headers) -> list[str]:
    answer = await users.client.get("/scim/v2/Users?count=1000", headers=headers)
    return [one["userName"] for one in (await answer.get_json(force=True))["Resources"]]


async def test_every_method_has_its_result_as_in_the_rfc(users: RunningService, headers: Headers) -> None:
    made = await sent(users, headers, post("first", "a"), post("second"))
    assert statuses(made) == [201, 201]
    first, second = id_of(made[0]), id_of(made[1])
    assert made[0] == {
        "location": f"{users.container.config.issuer}/scim/v2/Users/{first}",
        "method": "POST", "bulkId": "a", "version": 'W/"1"', "status": "201",
    }  # fmt: skip
    changed = await sent(
        users,
        headers,
        {"method": "put", "path": f"/Users/{first}", "version": 'W/"1"', "data": post("renamed")["data"]},
        {"method": "PATCH", "path": f"/Users/{first}", "data": [{"op": "add", "path": "title", "value": "Guide"}]},
        {"method": "PATCH", "path": f"/Users/{first}", "data": patch_document({"op": "remove", "path": "title"})},
        {"method": "DELETE", "path": f"/Users/{second}", "version": 'W/"1"'},
    )
    assert statuses(changed) == [200, 200, 200, 204]
    assert [one.get("version") for one in changed] == ['W/"2"', 'W/"3"', 'W/"4"', None]
    assert changed[3] == {"location": made[1]["location"], "method": "DELETE", "status": "204"}
    assert await names(users, headers) == ["renamed"]


async def test_users_made_by_a_bulk_are_as_if_made_one_by_one(
    users: RunningService, headers: Headers, tenant: str
) -> None:
    answer = await users.client.post("/scim/v2/Users", headers=headers, json=post("single", displayName="B")["data"])
    single = await answer.get_json(force=True)
    [made] = await sent(users, headers, post("inbulk", displayName="B"))
    answer = await users.client.get(f"/scim/v2/Users/{id_of(made)}", headers=headers)
    read = await answer.get_json(force=True)
    assert read.keys() == single.keys()
    assert (read["meta"]["version"], read["meta"]["location"]) == (made["version"], made["location"])
    one, other = await users.outbox(tenant)
    assert (other.type, other.actorid, other.sequence) == (one.type, "hr-sync", 1)
    assert other.data == {**one.data, "id": id_of(made), "userName": "inbulk"}
    assert (other.traceparent is None, other.sourceip) == (one.traceparent is None, one.sourceip)


async def test_a_thousand_users_go_in_by_a_few_transactions_in_the_order_of_the_bulk_document(
    users: RunningService, headers: Headers, tenant: str
) -> None:
    wanted = [f"user{number}" for number in range(1000)]
    results = await sent(users, headers, *(post(name) for name in wanted))
    assert statuses(results) == [201] * 1000
    assert [event.data["userName"] for event in await users.outbox(tenant)] == wanted
    async with users.container.database.connection() as connection:
        rows = await connection.fetch(
            "SELECT user_name_key, xmin::text AS transaction FROM users WHERE tenant_id = $1 ORDER BY id", tenant
        )
    assert [row["user_name_key"] for row in rows] == wanted
    assert len({row["transaction"] for row in rows}) == 4


async def test_a_bad_user_fails_alone_and_of_one_name_the_first_wins(
    users: RunningService, headers: Headers, tenant: str
) -> None:
    await sent(users, headers, post("old"))
    results = await sent(
        users,
        headers,
        post("new", "a"),
        post("NEW", "b"),
        post("Old", "c"),
        {**post("x", "d"), "data": {"schemas": [USER]}},
        post("last", "e", emails="nonsense"),
        post("good", "f"),
    )
    assert statuses(results) == [201, 409, 409, 400, 400, 201]
    assert [one["response"].get("scimType") for one in results[1:5]] == [
        "uniqueness", "uniqueness", "invalidValue", "invalidValue",
    ]  # fmt: skip
    assert results[1] == {
        "method": "POST", "bulkId": "b", "status": "409", "response": results[1]["response"],
    }  # fmt: skip
    assert await names(users, headers) == ["old", "new", "good"]
    assert [event.data["userName"] for event in await users.outbox(tenant)] == ["old", "new", "good"]


async def test_references_hold_the_ids_of_what_the_message_makes(users: RunningService, headers: Headers) -> None:
    enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
    of_boss = {enterprise: {"manager": {"value": "bulkId:boss"}}}
    results = await sent(
        users, headers, post("clerk", "clerk", **of_boss), post("boss", "boss", **of_boss),
        {"method": "PATCH", "path": "/Users/bulkId:clerk", "data": [{"op": "add", "path": "title", "value": "x"}]},
    )  # fmt: skip
    assert statuses(results) == [201, 201, 200]
    answer = await users.client.get(f"/scim/v2/Users/{id_of(results[0])}", headers=headers)
    clerk = await answer.get_json(force=True)
    assert (clerk[enterprise]["manager"]["value"], clerk["title"]) == (id_of(results[1]), "x")


async def test_a_circle_is_made_as_a_whole_or_not_at_all(users: RunningService, headers: Headers, tenant: str) -> None:
    enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

    def managed(name: str, by: str) -> Operation:
        return post(name, name, **{enterprise: {"manager": {"value": f"bulkId:{by}"}}})

    results = await sent(users, headers, managed("a", "b"), managed("b", "a"))
    assert statuses(results) == [201, 201]
    results = await sent(users, headers, managed("c", "b"), managed("b", "c"), managed("e", "c"), post("C"))
    assert statuses(results) == [409, 409, 409, 201]
    assert results[0]["response"]["detail"] == "The operation refers to bulkId b, which was not created."
    assert results[1]["response"]["scimType"] == "uniqueness"
    assert "bulkId c" in results[2]["response"]["detail"]
    assert await names(users, headers) == ["a", "b", "C"]
    assert [event.data["userName"] for event in await users.outbox(tenant)] == ["a", "b", "C"]


async def test_a_bulk_stops_at_the_errors_that_the_client_accepts(
    users: RunningService, headers: Headers, tenant: str
) -> None:
    operations = [post("a"), post("A"), post("b"), post("B"), post("c")]
    results = await sent(users, headers, *operations, failOnErrors=2)
    assert statuses(results) == [201, 409, 201, 409]
    assert await names(users, headers) == ["a", "b"]
    assert len(await users.outbox(tenant)) == 2
    results = await sent(users, headers, {"method": "GET"}, post("d"), failOnErrors=1)
    assert statuses(results) == [400]
    results = await sent(users, headers, {"method": "GET"}, post("d"), post("D"), post("e"), failOnErrors=2)
    assert statuses(results) == [400, 201, 409]
    assert await names(users, headers) == ["a", "b", "d"]


async def test_passwords_are_kept_as_hashes(users: RunningService, headers: Headers, tenant: str) -> None:
    results = await sent(
        users, headers, post("a", password="t1meMa$heen for tea"), post("b"), post("A", password="another t1meMa$heen")
    )
    assert statuses(results) == [201, 201, 409]
    assert "t1meMa$heen" not in str(results)
    async with users.container.database.connection() as connection:
        rows = await connection.fetch("SELECT * FROM credentials WHERE tenant_id = $1", tenant)
    assert [str(row["user_id"]) for row in rows] == [id_of(results[0])]
    assert rows[0]["password_hash"].startswith("$argon2id$")


async def test_a_version_that_is_not_the_present_one_is_412(users: RunningService, headers: Headers) -> None:
    [made] = await sent(users, headers, post("a"))
    path = f"/Users/{id_of(made)}"
    results = await sent(
        users,
        headers,
        {"method": "PUT", "path": path, "version": 'W/"7"', "data": post("b")["data"]},
        {"method": "DELETE", "path": path, "version": "7"},
        {"method": "DELETE", "path": path, "version": 'W/"1"'},
        {"method": "DELETE", "path": path},
        {"method": "DELETE", "path": "/Users/nobody"},
    )
    assert statuses(results) == [412, 400, 204, 404, 404]
    assert results[0]["location"] == made["location"]
    assert await names(users, headers) == []


async def test_groups_are_handed_on_with_the_ids_of_their_members(
    users: RunningService, headers: Headers, tenant: str, groups: FakeGroups
) -> None:
    results = await sent(users, headers, group("g", "bulkId:u"), post("u", "u"), group("h"))
    assert statuses(results) == [201, 201, 201]
    [call] = groups.calls  # one call for all of them
    assert [one.data["members"] for one in call] == [[{"value": id_of(results[1])}], []]
    assert results[0]["location"] == f"{users.container.config.issuer}/scim/v2/Groups/{call[0].id}"
    assert (groups.callers[0].tenant, groups.callers[0].actor) == (tenant, "hr-sync")


async def test_a_group_that_needs_another_is_sent_after_it_and_fails_with_it(
    users: RunningService, headers: Headers, groups: FakeGroups
) -> None:
    results = await sent(users, headers, group("g", "bulkId:h"), group("h", displayName="bad"), group("i"))
    assert statuses(results) == [409, 400, 201]
    assert "bulkId h" in results[0]["response"]["detail"]
    assert [[one.operation.bulk_id for one in call] for call in groups.calls] == [["h"], ["i"]]
    results = await sent(users, headers, group("g", "bulkId:u"), post("u", "u"), post("U", "v"), group("h", "bulkId:v"))
    assert statuses(results) == [201, 201, 409, 409]


async def test_groups_in_a_circle_are_refused(users: RunningService, headers: Headers, groups: FakeGroups) -> None:
    results = await sent(users, headers, group("g", "bulkId:h"), group("h", "bulkId:g"), group("i"))
    assert statuses(results) == [409, 409, 201]
    assert len(groups.calls) == 1


async def test_errors_of_groups_count_too(users: RunningService, headers: Headers, groups: FakeGroups) -> None:
    bad = group("g", displayName="bad")
    results = await sent(users, headers, bad, group("h"), post("u"), failOnErrors=1)
    assert statuses(results) == [400]
    results = await sent(users, headers, {"method": "GET"}, group("g", displayName="bad"), group("h"), failOnErrors=2)
    assert statuses(results) == [400, 400]
    assert await names(users, headers) == []
    operations = [post("u"), post("U", "v"), group("g"), group("h", "bulkId:v"), group("i")]
    results = await sent(users, headers, *operations, failOnErrors=2)
    assert statuses(results) == [201, 409, 201, 409]


async def test_without_the_groups_service_users_are_made_and_groups_are_503(
    users: RunningService, headers: Headers, groups: FakeGroups
) -> None:
    groups.away = True
    results = await sent(users, headers, post("u", "u"), group("g", "bulkId:u"), group("h", "bulkId:g"), post("v"))
    assert statuses(results) == [201, 503, 503, 201]
    assert await names(users, headers) == ["u", "v"]


async def test_each_operation_needs_its_own_scope(users: RunningService, tenant: str, groups: FakeGroups) -> None:
    operations = [post("u", "u"), group("g"), group("h", "bulkId:u")]
    results = await sent(users, users.tokens.headers(tenant, ["users:write"]), *operations)
    assert statuses(results) == [201, 403, 403]
    published = [event.data["scope"] for event in await users.outbox(tenant) if event.outcome == "denied"]
    assert published == ["groups:write"]
    results = await sent(users, users.tokens.headers(tenant, ["groups:write"]), *operations)
    assert statuses(results) == [403, 201, 409]
    assert len(groups.calls) == 1
    for scopes in (["users:read"], []):
        answer = await users.client.post(
            "/scim/v2/Bulk", headers=users.tokens.headers(tenant, scopes), json=bulk_document(post("x"))
        )
        assert answer.status_code == 403


async def test_a_message_that_is_none_is_refused_as_a_whole(users: RunningService, headers: Headers) -> None:
    limit = users.container.config.max_body_bytes
    for body, status, said in [
        (b"{", 400, "not valid JSON"),
        (b'{"schemas":[]}', 400, "schemas"),
        (b'{"a":1,"a":2}', 400, "repeats"),
        (b'{"x":"' + b"y" * limit + b'"}', 413, f"maxPayloadSize ({limit})"),
    ]:
        answer = await users.client.post("/scim/v2/Bulk", headers=headers, data=body)
        document = await answer.get_json(force=True)
        assert (answer.status_code, document["status"]) == (status, str(status))
        assert said in document["detail"]
    many = bulk_document(*[{"method": "DELETE", "path": "/Users/1"}] * 1001)
    assert (await users.client.post("/scim/v2/Bulk", headers=headers, json=many)).status_code == 413


async def test_the_limits_are_advertised(users: RunningService) -> None:
    document = await (await users.client.get("/scim/v2/ServiceProviderConfig")).get_json(force=True)
    limit = users.container.config.max_body_bytes
    assert document["bulk"] == {"supported": True, "maxOperations": 1000, "maxPayloadSize": limit}


async def test_many_bulks_that_want_the_same_names_share_them_without_a_deadlock(
    users: RunningService, headers: Headers, tenant: str
) -> None:
    wanted = [f"user{number}" for number in range(200)]
    orders = [wanted, wanted[::-1], wanted[100:] + wanted[:100], wanted]
    every = await asyncio.gather(*(sent(users, headers, *(post(name) for name in order)) for order in orders))
    made = [status for results in every for status in statuses(results)]
    assert (made.count(201), made.count(409)) == (200, 600)
    assert sorted(await names(users, headers)) == sorted(wanted)
    assert len(await users.outbox(tenant)) == 200


async def test_sets_with_the_same_names_wait_for_each_other_but_never_in_a_circle(
    users: RunningService, tenant: str
) -> None:
    def some(*names: str) -> list[User]:
        return [user_domain.create(new_id(), {"userName": name}, utc_now())[0] for name in names]

    database = users.container.database
    async with database.transaction() as first, database.transaction() as second:
        await user_store.insert_users(first, tenant, some("b"))
        waiting = asyncio.ensure_future(user_store.insert_users(second, tenant, some("c", "b")))
        await somebody_waits(first, "INSERT INTO users")
        assert len(await user_store.insert_users(first, tenant, some("c"))) == 1
        await first.execute("COMMIT; BEGIN")
        assert await waiting == set()


async def test_another_tenant_is_out_of_reach(users: RunningService, headers: Headers) -> None:
    [made] = await sent(users, headers, post("a"))
    stranger = users.tokens.headers(new_tenant(), SCOPES)
    path = f"/Users/{id_of(made)}"
    results = await sent(
        users,
        stranger,
        {"method": "PUT", "path": path, "data": post("b")["data"]},
        {"method": "PATCH", "path": path, "data": [{"op": "add", "path": "title", "value": "x"}]},
        {"method": "DELETE", "path": path},
        post("a"),
    )
    assert statuses(results) == [404, 404, 404, 201]
    assert await names(users, headers) == ["a"]


async def test_when_the_time_is_over_what_is_left_is_503(
    users: RunningService, headers: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_usecases, "TIME_LIMIT", -1.0)
    results = await sent(users, headers, post("a"), {"method": "GET"})
    assert statuses(results) == [503, 400]
    assert await names(users, headers) == []


async def test_a_server_that_is_stopped_begins_nothing_more(users: RunningService, headers: Headers) -> None:
    users.container.stopping.set()
    try:
        results = await sent(users, headers, post("a"))
    finally:
        users.container.stopping.clear()
    assert statuses(results) == [503]
    assert await names(users, headers) == []


async def test_a_set_that_cannot_be_stored_is_tried_user_by_user(
    users: RunningService, headers: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = user_store.insert_users

    async def failing(connection: Any, tenant: str, some: Any) -> Any:
        if any(user.user_name == "poison" for user in some):
            raise RuntimeError("poison")
        return await insert(connection, tenant, some)

    monkeypatch.setattr(user_store, "insert_users", failing)
    results = await sent(users, headers, post("a"), post("poison"), post("b"))
    assert statuses(results) == [201, 500, 201]
    assert await names(users, headers) == ["a", "b"]


async def test_the_time_limit_also_ends_the_hashing_within_a_run(
    users: RunningService, headers: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was hashed in time is stored, the rest says so, and users without a password are stored too."""
    now, hashed = [0.0], Passwords.hash

    async def slowly(*arguments: Any, **options: Any) -> str:
        now[0] += 15.0
        return await hashed(*arguments, **options)

    monkeypatch.setattr(Passwords, "hash", slowly)
    monkeypatch.setattr(bulk_usecases.Bulk.__init__, "__defaults__", (lambda: now[0],))
    operations = [post(f"user{number}", password=f"correct horse battery {number}") for number in range(10)]
    results = await sent(users, headers, *operations, post("without"))
    assert statuses(results) == [201] * 4 + [503] * 6 + [201]
    assert "time limit of one Bulk request was reached" in results[4]["response"]["detail"]
    assert await names(users, headers) == [*(f"user{number}" for number in range(4)), "without"]


async def test_a_lack_of_capacity_refuses_the_operation_that_meets_it_and_not_what_follows(
    users: RunningService, headers: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await sent(users, headers, *(post(name) for name in "abcd"))
    paths = [one["location"].partition("/scim/v2")[2] for one in made]

    async def refused(*_arguments: Any, **_options: Any) -> str:
        raise CapacityExceededError("password hashes")

    monkeypatch.setattr(Passwords, "hash", refused)
    data = {"schemas": [USER], "userName": "a", "password": "correct horse battery staple"}
    change = {"method": "PUT", "path": paths[0], "data": data}
    results = await sent(users, headers, change, *({"method": "DELETE", "path": path} for path in paths[1:]))
    assert statuses(results) == [503, 204, 204, 204]
    assert "capacity of password hashes" in results[0]["response"]["detail"]
    assert await names(users, headers) == ["a"]


async def test_a_lack_of_connections_refuses_one_run_and_not_those_that_follow(
    users: RunningService, headers: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    [made] = await sent(users, headers, post("a"))

    async def refused(*_: Any) -> Any:
        raise CapacityExceededError("database connections")

    monkeypatch.setattr(user_store, "insert_users", refused)
    deletion = {"method": "DELETE", "path": made["location"].partition("/scim/v2")[2]}
    results = await sent(users, headers, post("b"), deletion)
    assert statuses(results) == [503, 204]
