"""SCIM tokens at the groups service, which knows none itself: it asks users, whose answers the test decides on."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from quartet_common.auth.opaque_tokens import SCIM_TOKEN, make
from quartet_common.auth.revocation_store import keep
from quartet_common.auth.revocations import revocation
from quartet_common.auth.token_verifier import MAX_TOKEN_LENGTH
from quartet_common.core.identifiers import new_id
from quartet_common.runtime import container as container_module
from quartet_groups.app import SERVICE
from quartet_groups.config import GroupsConfig
from quartet_testing.conditions import eventually
from quartet_testing.plugin import ConfigFor
from quartet_testing.services import RunningService, run_service

GROUPS = "/scim/v2/Groups"


class Users:
    """What users answers about tokens; `asked` counts the questions, `away` leaves them without an answer."""

    def __init__(self) -> None:
        self.tokens: dict[str, dict[str, Any]] = {}
        self.asked = 0
        self.away = False

    def token(self, tenant: str, scope: str = "groups:read groups:write") -> tuple[str, str]:
        """A new token and its id."""
        made, token_id = make(SCIM_TOKEN, tenant), str(new_id())
        subject = f"scim-token/{token_id}"
        answer = {"active": True, "tenant": tenant, "sub": subject, "client_id": subject}
        self.tokens[made] = {**answer, "scope": scope, "jti": token_id}
        return made, token_id

    async def answer(self, sent: httpx.Request) -> httpx.Response:
        """The answer to an introspection request."""
        assert sent.url.path == "/oauth2/introspect"
        self.asked += 1
        if self.away:
            raise httpx.ConnectError("away")
        [token] = parse_qs(sent.content.decode())["token"]
        return httpx.Response(200, json=self.tokens.get(token, {"active": False}))


@pytest.fixture
def users() -> Users:
    return Users()


@pytest.fixture
async def asking(config_for: ConfigFor[GroupsConfig], users: Users) -> AsyncIterator[RunningService]:
    """A groups service whose calls reach those users."""
    with pytest.MonkeyPatch.context() as patch:
        client = httpx.AsyncClient(transport=httpx.MockTransport(users.answer))
        patch.setattr(container_module, "open_http", lambda _: client)
        async with run_service(SERVICE, config_for(GroupsConfig)) as running:
            yield running


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def used(service: RunningService, token: str) -> int:
    return int((await service.client.get(GROUPS, headers=bearing(token))).status_code)


async def test_a_token_that_users_knows_works_and_acts_under_its_own_name(
    asking: RunningService, users: Users, tenant: str
) -> None:
    token, token_id = users.token(tenant)
    body = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Guides"}
    assert (await asking.client.post(GROUPS, headers=bearing(token), json=body)).status_code == 201
    assert await used(asking, token) == 200
    assert users.asked == 1
    assert [event.actorid for event in await asking.outbox(tenant)] == [f"scim-token/{token_id}"]


async def test_a_token_does_what_its_scopes_say_and_no_more(asking: RunningService, users: Users, tenant: str) -> None:
    token, _ = users.token(tenant, "groups:read")
    body = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Guides"}
    assert await used(asking, token) == 200
    assert (await asking.client.post(GROUPS, headers=bearing(token), json=body)).status_code == 403


async def test_a_token_that_users_does_not_know_is_refused(asking: RunningService, users: Users, tenant: str) -> None:
    token = make(SCIM_TOKEN, tenant)
    assert [await used(asking, token) for _ in range(3)] == [401] * 3
    assert users.asked == 1


async def test_what_was_never_made_is_refused_without_asking(asking: RunningService, users: Users, tenant: str) -> None:
    token = make(SCIM_TOKEN, tenant)
    for wrong in (token[:-1], token[:-6] + "AAAAAA", SCIM_TOKEN + "a" * MAX_TOKEN_LENGTH, token + "\xe9", SCIM_TOKEN):
        assert await used(asking, wrong) == 401, wrong[:100]
    assert users.asked == 0


async def test_a_revocation_that_the_service_has_heard_of_holds_though_users_still_vouches(
    asking: RunningService, users: Users, tenant: str
) -> None:
    token, token_id = users.token(tenant)
    assert await used(asking, token) == 200
    async with asking.container.database.transaction() as connection:  # what handling the event does
        await keep(connection, [revocation(tenant, "token", token_id, datetime.now(UTC))])

    async def refused() -> bool:
        return await used(asking, token) == 401

    await eventually(refused, "the revocation")
    assert users.asked == 1


async def test_while_users_is_away_known_tokens_go_on_and_others_have_to_wait(
    asking: RunningService, users: Users, tenant: str
) -> None:
    known, other = users.token(tenant)[0], users.token(tenant)[0]
    assert await used(asking, known) == 200
    users.away = True
    assert await used(asking, known) == 200
    answer = await asking.client.get(GROUPS, headers=bearing(other))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert (await answer.get_json(force=True))["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
