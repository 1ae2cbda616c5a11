"""The OAuth endpoints to the letter: what the RFCs say of forms, errors and headers."""

import re
from base64 import b64encode
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from quartet_testing.people import People
from quartet_testing.services import RunningService
from quartet_users.config import BootstrapClient, UsersConfig

Headers = dict[str, str]

FORM = "application/x-www-form-urlencoded"
GRANT = "grant_type=client_credentials"


def admin(users: RunningService) -> BootstrapClient:
    config: UsersConfig = users.container.config
    return next(one for one in config.bootstrap_clients.clients if one.client_id == "quartet-admin")


def basic(client: BootstrapClient) -> Headers:
    pair = f"{client.client_id}:{client.client_secret.get_secret_value()}"
    return {"Authorization": f"Basic {b64encode(pair.encode()).decode()}"}


async def ask(
    users: RunningService, body: str, path: str = "/oauth2/token", content_type: str = FORM
) -> tuple[int, Any]:
    """Status and answer for the launcher's client."""
    headers = {**basic(admin(users)), "Content-Type": content_type}
    answer = await users.client.post(path, headers=headers, data=body)
    return answer.status_code, await answer.get_json(force=True)


async def test_an_empty_parameter_counts_as_missing(users: RunningService) -> None:
    empty = "scope=&tenant=&resource=&client_id=&client_secret=&client_assertion=&client_assertion_type="
    status, answer = await ask(users, f"{GRANT}&{empty}")
    assert (status, answer.get("token_type")) == (200, "Bearer"), answer
    for body in ("", "grant_type=", "grant_type=&scope=users:read"):
        status, answer = await ask(users, body)
        assert (status, answer["error"]) == (400, "invalid_request"), body
    status, answer = await ask(users, "token=&client_secret=", "/oauth2/introspect")
    assert (status, answer["error"]) == (400, "invalid_request")


async def test_a_public_client_may_say_that_it_has_no_secret(people: People) -> None:
    session = await people.log_in(await people.person())
    status, _ = await people.refresh(session.tokens["refresh_token"], client_secret="")
    assert status == 200


@pytest.mark.parametrize("path", ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"])
async def test_no_parameter_stands_twice_with_a_value_or_without(users: RunningService, path: str) -> None:
    for twice in (
        "token_type_hint=x&token_type_hint=y",
        "scope=&scope=users:read",
        "client_id=&client_id=quartet-admin",
    ):
        status, answer = await ask(users, f"{GRANT}&token=x&{twice}", path)
        assert (status, answer["error"]) == (400, "invalid_request"), twice


async def test_what_is_no_form_is_told_that_it_is_none(users: RunningService) -> None:
    status, answer = await ask(users, '{"grant_type": "client_credentials"}', content_type="application/json")
    assert (status, answer["error"]) == (400, "invalid_request")
    assert FORM in answer["error_description"]


async def test_a_description_has_only_characters_that_one_may_have(users: RunningService) -> None:
    for body in (f"{GRANT}&scope=%22%5C%C3%A4%07", f"{GRANT}&%22%5C%C3%A4=1&%22%5C%C3%A4=2"):
        status, answer = await ask(users, body)
        assert status == 400
        assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+", answer["error_description"]), answer


async def test_a_scope_is_words_with_spaces_between(users: RunningService) -> None:
    for scope in ("+", "+++", "users:read%09users:write", "users:read%C2%A0users:write"):
        status, answer = await ask(users, f"{GRANT}&scope={scope}")
        assert (status, answer["error"]) == (400, "invalid_scope"), scope


async def test_no_cache_of_any_age_keeps_a_token(users: RunningService, people: People) -> None:
    given = await users.client.post("/oauth2/token", headers={**basic(admin(users)), "Content-Type": FORM}, data=GRANT)
    session = await people.log_in(await people.person())
    form = {"grant_type": "refresh_token", "client_id": "quartet-cli", "refresh_token": session.tokens["refresh_token"]}
    for answer in (given, await users.client.post("/oauth2/token", form=form)):
        assert answer.status_code == 200
        assert (answer.headers["Cache-Control"], answer.headers.get("Pragma")) == ("no-store", "no-cache")


async def test_a_refresh_makes_a_token_for_one_service_where_it_names_one(people: People) -> None:
    session = await people.log_in(await people.person())
    issuer = people.users.container.config.issuer
    key = (await (await people.users.client.get("/.well-known/jwks.json")).get_json())["keys"][0]
    status, refused = await people.refresh(session.tokens["refresh_token"], resource="https://elsewhere.example.com")
    assert (status, refused["error"]) == (400, "invalid_target")
    _, answer = await people.refresh(session.tokens["refresh_token"], resource=f"{issuer}/audit")
    token = jwt.decode(answer["access_token"], ECKey.import_key(key), algorithms=["ES256"])
    assert token.claims["aud"] == f"{issuer}/audit"
    _, answer = await people.refresh(answer["refresh_token"])
    token = jwt.decode(answer["access_token"], ECKey.import_key(key), algorithms=["ES256"])
    assert token.claims["aud"] == "quartet"


async def test_introspection_tells_times_in_whole_seconds(people: People) -> None:
    session = await people.log_in(await people.person())
    for kind in ("access_token", "refresh_token"):
        _, answer = await ask(people.users, f"token={session.tokens[kind]}", "/oauth2/introspect")
        assert [type(answer[name]) for name in ("iat", "exp")] == [int, int], kind
