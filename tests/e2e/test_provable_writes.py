"""Provable writes: the response of a write names its events, so that a client finds its own change in the audit log."""

import asyncio
from typing import Any
from uuid import UUID

import httpx
import pytest
from quart import Quart

from quartet_cli.stack import Stack
from quartet_cli.tokens import own_secret
from quartet_testing.client import (
    GROUPS,
    USERS,
    Api,
    TokenFor,
    bulk_document,
    group_document,
    patch_document,
    unique,
    user_document,
)
from quartet_testing.conditions import eventually
from quartet_testing.dead_letters import letter_of, put_message
from quartet_testing.faults import paused
from quartet_testing.services import new_tenant

pytestmark = pytest.mark.local_stack

HEADER = "Quartet-Event"
PASSWORD = "a horse, a battery, a staple"
WRITES = {"POST", "PUT", "PATCH", "DELETE"}
READS = "reads, and takes a body for its question"
WITHOUT = {
    "users": {
        "search.users_by_post": READS,
        "search.everything_by_post": READS,
        "internal.lookup": READS,
        "internal.group_scopes": READS,
        "totals.read": READS,
        "token_status.introspect": READS,
        "scim.create_me": "always refuses",
        "archives.restore": "publishes an event when all lines of an archive are stored",
        "rabbitmq.replay": "moves events that were published before",
    },
    "groups": {
        "archives.restore": "users publishes the restore of the whole archive",
        "search.groups_by_post": READS,
        "internal_search.groups_among_others": READS,
        "membership.check_many": READS,
        "totals.read": READS,
        "privileges.mark": "for services: the grant that follows is published by users",
        "bulk.carry_out": "for services: the operations of a Bulk, whose response is that of users",
        "rabbitmq.replay": "moves events that were published before",
    },
}
"""Routes with a method that writes whose responses name no event, and why."""


class Recorder:
    """Notes for each route that answered with success whether its response named events."""

    def __init__(self, apps: dict[str, Quart]) -> None:
        self.named: dict[str, dict[str, bool]] = {"users": {}, "groups": {}}
        self._apps = apps

    async def note(self, response: httpx.Response) -> None:
        """Note a response."""
        request = response.request
        if request.method not in WRITES or response.status_code >= 400:
            return
        path = request.url.path
        service = "groups" if path.startswith((GROUPS, "/groups/")) else "users"
        endpoint, _ = self._apps[service].url_map.bind("").match(path, request.method)
        ids = [UUID(one) for one in response.headers.get(HEADER, "").split(", ") if one]
        self.named[service][endpoint] = bool(ids) and self.named[service].get(endpoint, True)


def writing(app: Quart) -> set[str]:
    """The endpoints of an app with a method that writes."""
    return {rule.endpoint for rule in app.url_map.iter_rules() if (rule.methods or set()) & WRITES}


async def done(response: httpx.Response) -> Any:
    assert response.status_code < 300, response.text
    return response.json() if response.content else None


async def directory_changes(api: Api) -> None:
    """Users and groups are made, changed and deleted."""
    user = await api.create_user()
    path = f"{USERS}/{user['id']}"
    await done(await api.put(path, json=user_document(userName=user["userName"], title="Guide")))
    await done(await api.patch(path, json=patch_document({"op": "add", "path": "nickName", "value": "Babs"})))
    group = await api.create_group([user["id"]])
    where = f"{GROUPS}/{group['id']}"
    await done(await api.put(where, json=group_document([], displayName="Guides")))
    await done(await api.patch(where, json=patch_document({"op": "add", "path": "externalId", "value": "g"})))
    operation = {"method": "POST", "path": "/Users", "bulkId": "a", "data": user_document()}
    await done(await api.post("/scim/v2/Bulk", json=bulk_document(operation)))
    await done(await api.delete(where))
    await done(await api.delete(path))
    schema = {"id": "urn:example:Badge", "name": "Badge", "attributes": [{"name": "number"}]}
    await done(await api.post("/users/schemas", json=schema))
    await done(await api.delete("/users/schemas/urn:example:Badge"))


async def jobs_change(api: Api, stack: Stack) -> None:
    """A job of each service is made, and cancelled before a worker runs it."""
    for service in ("users", "groups"):
        async with paused(stack, f"{service}-worker"):
            job = await done(await api.post(f"/{service}/data/jobs", params={"kind": "import"}, content=b"{}"))
            await done(await api.post(f"/{service}/data/jobs/{job['id']}/cancel"))


async def dead_letters_change(platform: Api, stack: Stack) -> None:
    """A redrive of each service is made and cancelled, its dead letter discarded, a consumer paused and resumed."""
    for service in ("users", "groups"):
        path = f"/{service}/rabbitmq"
        message = await put_message(stack, service, f"quartet.{service}.dead", b"no event", "ValueError: no")
        chosen = {"ids": [(await letter_of(platform, service, message))["id"]]}
        async with paused(stack, f"{service}-worker"):
            redrive = await done(await platform.post(f"{path}/redrives", json=chosen))
            await done(await platform.post(f"{path}/redrives/{redrive['id']}/cancel"))
        await done(await platform.post(f"{path}/dead-letters/discard", json={**chosen, "reason": "sent by a test"}))
        consumer = (await done(await platform.get(f"{path}/consumers")))["consumers"][0]["name"]
        await done(await platform.post(f"{path}/consumers/{consumer}/pause", json={"reason": "a test"}))
        await done(await platform.post(f"{path}/consumers/{consumer}/resume"))


async def machines_change(api: Api) -> None:
    """Roles, API clients, origins and SCIM tokens are made, changed and removed."""
    user = await api.create_user()
    role = await done(await api.post("/users/roles", json={"name": "Auditor", "scopes": ["audit:read"]}))
    path = f"/users/roles/{role['id']}"
    await done(await api.post(f"{path}/grants", json={"type": "User", "id": user["id"]}))
    await done(await api.patch(path, json={"name": "Auditors"}))
    await done(await api.delete(f"{path}/grants/{user['id']}"))
    await done(await api.delete(path))
    client = await done(await api.post("/users/clients", json={"name": "reporting", "scopes": ["users:read"]}))
    path = f"/users/clients/{client['client_id']}"
    await done(await api.patch(path, json={"name": "reports"}))
    basic = (client["client_id"], client["client_secret"])
    form = {"grant_type": "client_credentials"}
    async with httpx.AsyncClient(base_url=api.base_url) as unrecorded:  # such a token is no change
        token = (await done(await unrecorded.post("/oauth2/token", data=form, auth=basic)))["access_token"]
    await done(await api.post("/oauth2/revoke", data={"token": token}, auth=basic))
    secret = await done(await api.post(f"{path}/secrets", json={"overlap_seconds": 0}))
    await done(await api.delete(f"{path}/secrets/{secret['id']}"))
    await done(await api.delete(path))
    origin = await done(await api.post("/users/origins", json={"origin": "https://app.example.com"}))
    await done(await api.delete(f"/users/origins/{origin['id']}"))
    made = await done(await api.post("/users/scim-tokens", json={"name": "okta", "expires_in_days": 1}))
    await done(await api.delete(f"/users/scim-tokens/{made['id']}"))


async def people_log_in(api: Api, stack: Stack, recorder: Recorder, tenant: str) -> None:
    """A person logs in, changes the password, and loses its sessions."""
    user = await api.create_user(password=PASSWORD)
    login = {"tenant": tenant, "user_name": user["userName"], "password": PASSWORD}
    async with httpx.AsyncClient(base_url=stack.url, event_hooks={"response": [recorder.note]}) as client:
        session = await done(await client.post("/users/login", json=login))
        own = {"Authorization": f"Bearer {session['access_token']}"}
        change = {"old_password": PASSWORD, "new_password": f"{PASSWORD} {unique('x')}"}
        await done(await client.post("/users/password", headers=own, json=change))
        login["password"] = change["new_password"]
        second = await done(await client.post("/users/login", json=login))
        await done(await client.delete(f"/users/sessions/{second['session_id']}", headers=own))
    await done(await api.delete("/users/sessions", params={"user": user["id"]}))


async def tenants_change(platform: Api, stack: Stack) -> None:
    """A tenant is made, changed and deleted; the platform's client gets a token for it; keys are rotated."""
    tenant = new_tenant()
    path = f"/users/tenants/{tenant}"
    await done(await platform.post("/users/tenants", json={"id": tenant}))
    await done(await platform.patch(path, json={"display_name": "Acme"}))
    form = {"grant_type": "client_credentials", "tenant": tenant, "scope": "users:read"}
    await done(await platform.post("/oauth2/token", data=form, auth=("quartet-admin", own_secret(stack.home))))
    for change in ("suspend", "resume"):
        await done(await platform.post(f"{path}/{change}"))
    await done(await platform.delete(path))
    await done(await platform.post("/users/keys/rotate"))


async def test_each_route_of_users_and_groups_that_writes_names_its_events(
    apps: dict[str, Quart], stack: Stack, token_for: TokenFor
) -> None:
    recorder, tenant = Recorder(apps), new_tenant()
    hooks = {"response": [recorder.note]}
    async with (
        Api(stack.url, await token_for(tenant), event_hooks=hooks) as api,
        Api(stack.url, await token_for("quartet"), event_hooks=hooks) as platform,
    ):
        await directory_changes(api)
        await machines_change(api)
        await jobs_change(api, stack)
        await people_log_in(api, stack, recorder, tenant)
        await tenants_change(platform, stack)
        await dead_letters_change(platform, stack)
    for service, named in recorder.named.items():
        assert [endpoint for endpoint, is_named in named.items() if not is_named] == []
        assert named.keys() & WITHOUT[service].keys() == set()
        assert named.keys() | WITHOUT[service].keys() == writing(apps[service])


async def test_the_id_is_that_of_the_entry_of_the_change(api: Api) -> None:
    made = await api.post(USERS, json=user_document())
    deleted = await api.delete(f"{USERS}/{made.json()['id']}")
    for response, action in ((made, "users.user.created"), (deleted, "users.user.deleted")):
        [event] = response.headers[HEADER].split(", ")

        async def entry(event: str = event) -> dict[str, Any] | None:
            found = await api.get(f"/audit/events/{event}")
            return found.json() if found.status_code == 200 else None

        found = await eventually(entry, "the entry")
        assert (found["id"], found["action"], found["resource"]["id"]) == (event, action, made.json()["id"])


async def test_what_changes_nothing_or_is_refused_names_no_event(api: Api, stack: Stack, token_for: TokenFor) -> None:
    user = await api.create_user()
    path = f"{USERS}/{user['id']}"
    same = await api.put(path, json=user_document(userName=user["userName"]))
    taken = await api.post(USERS, json=user_document(userName=user["userName"]))
    async with Api(stack.url, await token_for(new_tenant(), "users:read")) as poor:
        refused = await poor.post(USERS, json=user_document())
    answers = [await api.get(path), same, taken, refused]
    assert [(one.status_code, one.headers.get(HEADER)) for one in answers] == [
        (200, None), (200, None), (409, None), (403, None),
    ]  # fmt: skip


async def test_each_response_has_its_own_events_whatever_else_is_written(api: Api) -> None:
    made = await asyncio.gather(*(api.post(USERS, json=user_document()) for _ in range(20)))
    assert len({response.headers[HEADER] for response in made}) == 20
    assert all(len(response.headers[HEADER]) == 36 for response in made)


async def test_a_write_with_many_events_names_the_first_twenty_in_their_order(api: Api) -> None:
    operations = [
        {"method": "POST", "path": "/Users", "bulkId": str(number), "data": user_document()} for number in range(25)
    ]
    response = await api.post("/scim/v2/Bulk", json=bulk_document(*operations))
    ids = response.headers[HEADER].split(", ")
    assert len(set(ids)) == 20
    assert ids == sorted(ids)
