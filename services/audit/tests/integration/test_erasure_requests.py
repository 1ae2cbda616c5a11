"""Requests for the erasure of persons: whom they may name, how many may be open, and which is carried out next."""

from typing import TYPE_CHECKING, Any

import pytest

from quartet_audit.erasures import erasure_store
from quartet_audit.erasures.erasure_usecases import MAX_OPEN, carry_out_all
from quartet_common.core.identifiers import new_id
from quartet_testing.services import new_tenant

if TYPE_CHECKING:
    from services.audit.tests.conftest import Audit, MakeEvent

BROWSER = "Mozilla/5.0 (X11; Linux x86_64)"


async def post(audit: "Audit", tenant: str, user: str) -> Any:
    headers = audit.tokens.headers(tenant, ["audit:erase"])
    return await audit.client.post("/audit/erasures", headers=headers, json={"user": user})


async def ask(audit: "Audit", tenant: str, user: str) -> str:
    answer = await post(audit, tenant, user)
    assert answer.status_code == 202
    await audit.deliver(tenant)
    return str((await answer.get_json())["id"])


async def completed(audit: "Audit", tenant: str) -> list[str]:
    """The ids of the completed erasures of a tenant, in the order of their completion."""
    async with audit.container.database.connection() as connection:
        rows = await connection.fetch(
            "SELECT id FROM erasures WHERE tenant_id = $1 AND completed_at IS NOT NULL ORDER BY completed_at", tenant
        )
    return [str(row["id"]) for row in rows]


async def test_an_application_cannot_add_names_to_a_user(audit: "Audit", make_event: "MakeEvent") -> None:
    tenant, user = new_tenant(), str(new_id())
    await audit.record(
        [
            make_event("app.crm.user.changed", tenant, subject=f"users/{user}", data={"userName": "invoice"}),
            make_event("users.user.created", tenant, subject=f"users/{user}", data={"userName": "Mozilla"}),
            make_event("users.user.created", tenant, useragent=BROWSER, data={"note": "an invoice"}),
        ]
    )
    before = await audit.find(tenant, resource="1")
    await ask(audit, tenant, user)
    await carry_out_all(audit.container)
    assert await audit.find(tenant, resource="1") == before
    assert [entry["data"] for entry in await audit.find(tenant, resource=user)] == [None, None]


@pytest.mark.parametrize("user", ["userName", "Mozilla", "x" * 36])
async def test_a_text_that_is_no_id_and_in_no_entry_is_refused(
    audit: "Audit", make_event: "MakeEvent", user: str
) -> None:
    tenant = new_tenant()
    await audit.record([make_event(tenant=tenant, data={user: user}), make_event(tenant=new_tenant(), actorid=user)])
    answer = await post(audit, tenant, user)
    assert answer.status_code == 400
    assert user in (await answer.get_json(force=True))["detail"]
    assert await audit.service.outbox(tenant) == []


@pytest.mark.parametrize("parts", [{"actorid": "okta"}, {"subject": "clients/okta"}])
async def test_an_actor_or_resource_of_the_log_may_have_any_id(
    audit: "Audit", make_event: "MakeEvent", parts: dict[str, str]
) -> None:
    tenant = new_tenant()
    await audit.record([make_event(tenant=tenant, data={"a": 1}, **parts)])
    await ask(audit, tenant, "okta")
    await carry_out_all(audit.container)
    assert [entry["data"] for entry in await audit.find(tenant, action="users.*")] == [None]


async def test_the_open_requests_of_a_tenant_are_limited(audit: "Audit") -> None:
    tenant = new_tenant()
    for _ in range(MAX_OPEN):
        await ask(audit, tenant, str(new_id()))
    refused = await post(audit, tenant, str(new_id()))
    assert (refused.status_code, (await refused.get_json(force=True))["code"]) == (429, "too_many_erasures")
    assert int(refused.headers["Retry-After"]) > 0
    await ask(audit, new_tenant(), str(new_id()))
    await carry_out_all(audit.container)
    await ask(audit, tenant, str(new_id()))


async def test_one_request_of_each_tenant_is_carried_out_at_a_time(audit: "Audit") -> None:
    many, one = new_tenant(), new_tenant()
    first, second = [await ask(audit, many, str(new_id())) for _ in range(2)]
    other = await ask(audit, one, str(new_id()))
    await carry_out_all(audit.container)
    assert (await completed(audit, many), await completed(audit, one)) == ([first], [other])
    await carry_out_all(audit.container)
    assert await completed(audit, many) == [first, second]


async def test_a_request_that_fails_stops_no_other(audit: "Audit", monkeypatch: pytest.MonkeyPatch) -> None:
    broken, other = new_tenant(), new_tenant()
    failing, next_one = [await ask(audit, broken, str(new_id())) for _ in range(2)]
    last = await ask(audit, other, str(new_id()))
    complete = erasure_store.complete

    async def fail(connection: Any, erasure: Any, now: Any) -> Any:
        if str(erasure.id) == failing:
            raise ValueError("a part that cannot be decoded")
        return await complete(connection, erasure, now)

    monkeypatch.setattr(erasure_store, "complete", fail)
    await carry_out_all(audit.container)
    assert (await completed(audit, broken), await completed(audit, other)) == ([next_one], [last])
