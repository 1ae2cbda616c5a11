"""The guard: which routes are closed, to whom, and on whose behalf a service acts."""

import base64
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from quart import Quart
from werkzeug.datastructures import Headers

from quartet_common.auth.client_tokens import ClientTokens
from quartet_common.auth.principal import in_header
from quartet_common.auth.token_verifier import TokenVerifier
from quartet_common.config.settings import ServiceConfig
from quartet_common.core.errors import ServiceError
from quartet_common.limits.limiter import Limiter
from quartet_common.web.guard import (
    accepts_basic,
    caller,
    install_guard,
    is_public,
    lets_people_in,
    public,
    requires,
    scopes_of,
    unlimited,
)
from quartet_testing.tokens import TokenFactory

ISSUER = "https://id.example.com"


def no_redis() -> Any:
    raise AssertionError("nothing is added up here")


@pytest.fixture
def factory() -> TokenFactory:
    return TokenFactory(ISSUER)


class Users:
    """The token endpoint of users, with one client."""

    def __init__(self, factory: TokenFactory) -> None:
        self.factory = factory
        self.secret = "right"
        self.revoked: set[str] = set()
        self.asked: list[httpx.Request] = []
        self.tokens = ClientTokens(
            lambda: httpx.AsyncClient(transport=httpx.MockTransport(self.answer)), "http://users"
        )

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if request.headers["Authorization"] != basic("acme.grafana", self.secret)["Authorization"]:
            return httpx.Response(401, json={"error": "invalid_client"})
        number = len(self.asked)
        token = self.factory.token("acme", ["metrics:read"], "acme.grafana", jti=f"{number}")
        return httpx.Response(200, json={"access_token": token, "expires_in": 600, "token_type": "Bearer"})


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{client_id}:{secret}'.encode()).decode()}"}


@pytest.fixture
def users(factory: TokenFactory) -> Users:
    return Users(factory)


@pytest.fixture
def app(factory: TokenFactory, users: Users, lone_config: ServiceConfig) -> Quart:
    """An app with a closed, a public and an undeclared route; an error is answered with its code."""
    made = Quart("guarded")
    verifier = TokenVerifier(
        ISSUER, factory.find_key, revoked=lambda one: "revoked" if one.token_id in users.revoked else None
    )

    @made.get("/closed")
    @requires("users:read")
    async def closed() -> dict[str, str | None]:
        who = caller()
        return {
            "tenant": who.tenant,
            "actor": who.actor,
            "address": who.source_address,
            "name": who.actor_name,
            "type": who.actor_type,
            "agent": who.user_agent,
        }

    @made.post("/taking")
    @requires("users:read")
    async def taking() -> str:
        return "taken"

    @made.get("/read-by-programs")
    @requires("metrics:read")
    @accepts_basic
    async def read_by_programs() -> str:
        return f"{caller().tenant} {caller().actor}"

    @made.get("/either")
    @requires("users:read", "groups:read")
    async def either() -> str:
        return "either"

    @made.get("/own")
    @requires(person=True)
    async def own() -> str:
        return caller().actor

    @made.get("/own-or-all")
    @requires("tenant:admin", person=True)
    async def own_or_all() -> str:
        return caller().actor

    @made.get("/open")
    @public
    async def open_() -> str:
        return "open"

    @made.get("/undeclared")
    async def undeclared() -> str:
        return "never"

    @made.get("/anonymous")
    @public
    async def anonymous() -> str:
        return caller().tenant

    async def answer(error: ServiceError) -> tuple[dict[str, str], int, dict[str, str]]:
        return {"code": error.code, "detail": error.detail}, error.status, error.headers

    made.register_error_handler(ServiceError, answer)
    install_guard(made, lambda: verifier, Limiter(lone_config, no_redis), lambda: users.tokens)
    return made


async def test_a_token_with_the_scope_gets_in_and_says_who_is_calling(app: Quart, factory: TokenFactory) -> None:
    headers = factory.headers("default", ["users:read", "users:write"], actor="scim-client")
    answer = await (await app.test_client().get("/closed", headers=headers)).get_json()
    assert (answer["tenant"], answer["actor"]) == ("default", "scim-client")


async def test_the_scheme_is_not_case_sensitive(app: Quart, factory: TokenFactory) -> None:
    token = factory.token("default", ["users:read"])
    response = await app.test_client().get("/closed", headers={"Authorization": f"bEaReR  {token} "})
    assert response.status_code == 200


@pytest.mark.parametrize("value", [None, "", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer x", "x"])
async def test_without_a_good_token_it_is_closed(app: Quart, value: str | None) -> None:
    headers = {} if value is None else {"Authorization": value}
    response = await app.test_client().get("/closed", headers=headers)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer ")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("no token", "token_missing"),
        ("another scheme", "token_malformed"),
        ("no JWT", "token_malformed"),
        ("expired", "token_expired"),
        ("expired and forged", "token_invalid"),
        ("for another service", "token_invalid"),
    ],
)
async def test_the_answer_distinguishes_missing_malformed_and_expired_tokens(
    app: Quart, factory: TokenFactory, name: str, code: str
) -> None:
    old: dict[str, Any] = {"iat": int(time.time()) - 700, "exp": int(time.time()) - 100}
    forger = TokenFactory(factory.issuer)
    values = {
        "no token": None,
        "another scheme": "Basic dXNlcjpwYXNz",
        "no JWT": "Bearer x",
        "expired": f"Bearer {factory.token('default', ['users:read'], **old)}",
        "expired and forged": f"Bearer {forger.token('default', ['users:read'], **old)}",
        "for another service": f"Bearer {factory.token('default', ['users:read'], aud='https://else.example.com')}",
    }
    headers = {} if values[name] is None else {"Authorization": str(values[name])}
    response = await app.test_client().get("/closed", headers=headers)
    document = await response.get_json(force=True)
    assert (response.status_code, document["code"]) == (401, code)
    assert ('error="invalid_token"' in response.headers["WWW-Authenticate"]) == (name != "no token")


async def test_of_two_tokens_none_is_taken(app: Quart, factory: TokenFactory) -> None:
    good = f"Bearer {factory.token('default', ['users:read'])}"
    for first, second in ((good, good), (good, "Bearer x"), ("Basic eDp5", good), ("", good)):
        headers = Headers([("Authorization", first), ("authorization", second)])
        assert (await app.test_client().get("/closed", headers=headers)).status_code == 401


@pytest.mark.parametrize(
    "scheme", ["Bearer\t", "Bearer\u00a0", "Bearer:", "Bearer=", "Bearer,", "Token ", "", "\tBearer "]
)
async def test_a_scheme_that_only_looks_like_it_is_refused(app: Quart, factory: TokenFactory, scheme: str) -> None:
    headers = {"Authorization": f"{scheme}{factory.token('default', ['users:read'])}"}
    assert (await app.test_client().get("/closed", headers=headers)).status_code == 401


async def test_a_token_in_the_address_the_body_or_a_cookie_is_not_looked_for(app: Quart, factory: TokenFactory) -> None:
    token, client = factory.token("default", ["users:read"]), app.test_client()
    answers = [
        await client.get("/closed", query_string={"access_token": token}),
        await client.get("/closed", headers={"Cookie": f"access_token={token}"}),
        await client.get("/closed", headers={"X-Authorization": f"Bearer {token}", "X-Access-Token": token}),
        await client.post("/taking", form={"access_token": token}),
    ]
    assert [answer.status_code for answer in answers] == [401] * 4
    assert all('error="' not in answer.headers["WWW-Authenticate"] for answer in answers), "as if there was none"


async def test_a_token_without_the_scope_is_forbidden_and_told_which_it_needs(
    app: Quart, factory: TokenFactory
) -> None:
    headers = factory.headers("default", ["users:write", "users:readx"])
    response = await app.test_client().get("/closed", headers=headers)
    assert response.status_code == 403
    assert 'scope="users:read"' in response.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("scopes", "status"), [(["users:read"], 200), (["groups:read", "x"], 200), (["users:write"], 403), ([], 403)]
)
async def test_of_several_scopes_any_one_will_do(
    app: Quart, factory: TokenFactory, scopes: list[str], status: int
) -> None:
    response = await app.test_client().get("/either", headers=factory.headers("default", scopes))
    assert response.status_code == status
    if status == 403:
        assert (await response.get_json())["detail"] == "The access token lacks the scope users:read or groups:read."
        assert 'scope="users:read"' in response.headers["WWW-Authenticate"]


async def test_a_public_route_needs_no_token(app: Quart) -> None:
    assert (await app.test_client().get("/open")).status_code == 200


async def test_a_route_that_declares_nothing_lets_nobody_in(app: Quart, factory: TokenFactory) -> None:
    everything = factory.headers("default", ["users:read", "platform:admin"])
    assert (await app.test_client().get("/undeclared", headers=everything)).status_code == 403
    assert (await app.test_client().get("/undeclared")).status_code == 401


async def test_there_is_no_caller_on_a_public_route(app: Quart, factory: TokenFactory) -> None:
    headers = factory.headers("default", ["users:read"])
    assert (await app.test_client().get("/anonymous", headers=headers)).status_code == 401


async def test_a_route_that_does_not_exist_is_404_with_and_without_a_token(app: Quart, factory: TokenFactory) -> None:
    assert (await app.test_client().get("/nowhere")).status_code == 404
    headers = factory.headers("default", ["users:read"])
    assert (await app.test_client().get("/nowhere", headers=headers)).status_code == 404
    assert (await app.test_client().post("/closed")).status_code == 405


async def test_a_service_acts_for_the_tenant_and_actor_that_it_names(app: Quart, factory: TokenFactory) -> None:
    headers = factory.headers("*", ["service", "users:read"], actor="quartet-groups")
    named = {**headers, "Quartet-Tenant": "acme", "Quartet-Actor": "bjensen"}
    answer = await (await app.test_client().get("/closed", headers=named)).get_json()
    assert (answer["tenant"], answer["actor"]) == ("acme", "bjensen")
    answer = await (await app.test_client().get("/closed", headers={**headers, "Quartet-Tenant": "acme"})).get_json()
    assert answer["actor"] == "quartet-groups"


async def described(app: Quart, headers: dict[str, str]) -> tuple[str | None, ...]:
    """Name, type and user agent of the caller of a request."""
    answer = await (await app.test_client().get("/closed", headers=headers)).get_json()
    return answer["name"], answer["type"], answer["agent"]


async def test_a_token_says_the_name_of_a_client_or_of_a_person(app: Quart, factory: TokenFactory) -> None:
    names = {"client_name": "Okta", "preferred_username": "bjensen@example.com"}
    client = factory.headers("acme", ["users:read"], "acme.okta", **names)
    person = factory.headers("acme", ["users:read"], "0190", client_id="quartet-cli", **names)
    nameless = factory.headers("acme", ["users:read"], "acme.okta")
    assert [(await described(app, one))[:2] for one in (client, person, nameless)] == [
        ("Okta", "client"),
        ("bjensen@example.com", "user"),
        (None, "client"),
    ]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("curl/8.0 (x86)", "curl/8.0 (x86)"),
        ("a\tb\x7fc", "abc"),
        ("x" * 1000, "x" * 256),
        ("", None),
        ("\x01", None),
    ],
)
async def test_a_user_agent_is_cut_and_has_no_control_characters(
    app: Quart, factory: TokenFactory, sent: str, kept: str | None
) -> None:
    headers = {**factory.headers("acme", ["users:read"]), "User-Agent": sent}
    assert (await described(app, headers))[2] == kept


async def test_a_service_names_who_it_acts_for_and_the_user_agent_of_their_request(
    app: Quart, factory: TokenFactory
) -> None:
    own = factory.headers("*", ["service", "users:read"], actor="quartet-groups")
    own |= {"Quartet-Tenant": "acme", "User-Agent": "python-httpx/1.0"}
    named = {**own, "Quartet-Actor": "bj", "Quartet-Actor-Name": in_header("Jürgen"), "Quartet-Actor-Type": "user"}
    named["Quartet-User-Agent"] = in_header("curl/8.0 (é)")
    assert await described(app, named) == ("Jürgen", "user", "curl/8.0 (é)")
    assert await described(app, own) == (None, "service", None)


async def test_nobody_else_can_choose_a_name_a_type_or_the_user_agent_of_another(
    app: Quart, factory: TokenFactory
) -> None:
    headers = factory.headers("acme", ["users:read"], client_name="Okta") | {"User-Agent": "curl/8.0"}
    forged = {"Quartet-Actor-Name": "root", "Quartet-Actor-Type": "service", "Quartet-User-Agent": "other"}
    assert await described(app, headers | forged) == ("Okta", "client", "curl/8.0")


@pytest.mark.parametrize("name", ["bücher", "50% Jürgen ", "a%20b", "scim+client@example.com", "\r\n", "日本"])
async def test_names_that_a_service_sends_arrive_as_they_are(app: Quart, factory: TokenFactory, name: str) -> None:
    headers = factory.headers("*", ["service", "users:read"], actor="quartet-groups")
    named = {**headers, "Quartet-Tenant": in_header(name), "Quartet-Actor": in_header(name)}
    answer = await (await app.test_client().get("/closed", headers=named)).get_json()
    assert (answer["tenant"], answer["actor"]) == (name, name)


@pytest.mark.parametrize("tenant", [None, "", "*", "x" * 257, "%2A"])
async def test_a_service_that_names_no_good_tenant_is_refused(
    app: Quart, factory: TokenFactory, tenant: str | None
) -> None:
    headers = factory.headers("*", ["service", "users:read"])
    if tenant is not None:
        headers["Quartet-Tenant"] = tenant
    response = await app.test_client().get("/closed", headers=headers)
    assert response.status_code == 400
    assert (await response.get_json())["code"] == "missing_tenant"


async def test_nobody_else_can_choose_the_tenant_or_the_actor(app: Quart, factory: TokenFactory) -> None:
    for scopes in (["users:read"], ["users:read", "service"]):
        headers = factory.headers("default", scopes, actor="scim-client")
        headers |= {"Quartet-Tenant": "acme", "Quartet-Actor": "bjensen"}
        answer = await (await app.test_client().get("/closed", headers=headers)).get_json()
        assert (answer["tenant"], answer["actor"]) == ("default", "scim-client")


async def test_people_need_no_scope_for_what_is_their_own(app: Quart, factory: TokenFactory) -> None:
    client = app.test_client()
    person = factory.headers("default", [], actor="0190", client_id="quartet-cli")
    for path in ("/own", "/own-or-all"):
        assert await (await client.get(path, headers=person)).get_data(as_text=True) == "0190"
    assert (await client.get("/closed", headers=person)).status_code == 403


async def test_clients_and_services_are_no_people(app: Quart, factory: TokenFactory) -> None:
    client = app.test_client()
    machine = factory.headers("default", ["users:read"], actor="scim-client")
    service = factory.headers("*", ["service"], actor="quartet-groups")
    service |= {"Quartet-Tenant": "acme", "Quartet-Actor": "0190"}
    for headers in (machine, service):
        answer = await client.get("/own", headers=headers)
        assert (answer.status_code, (await answer.get_json())["code"]) == (403, "insufficient_scope")
        assert (await client.get("/own-or-all", headers=headers)).status_code == 403
    administrator = factory.headers("default", ["tenant:admin"], actor="scim-client")
    assert (await client.get("/own-or-all", headers=administrator)).status_code == 200
    assert (await client.get("/own", headers=administrator)).status_code == 403


def test_the_scopes_of_a_view_can_be_asked_for() -> None:
    async def view() -> None:
        return None

    assert scopes_of(view) == ()
    assert not lets_people_in(view)
    assert scopes_of(requires("audit:read")(view)) == ("audit:read",)
    assert not lets_people_in(view)
    assert lets_people_in(requires(person=True)(view))
    with pytest.raises(ValueError, match="public"):
        requires()


@pytest.mark.parametrize("mark", [public, unlimited])
def test_a_view_is_public_or_needs_a_scope_and_not_both(mark: Callable[[Any], Any]) -> None:
    async def closed() -> None:
        return None

    async def open_() -> None:
        return None

    assert not is_public(closed)
    assert is_public(mark(open_))
    for scopes in (requires("audit:read"), requires(person=True)):
        with pytest.raises(ValueError, match="closed has @public and @requires"):
            mark(scopes(closed))
        with pytest.raises(ValueError, match="open_ has @public and @requires"):
            scopes(open_)


async def test_a_client_gets_in_by_its_id_and_secret_and_is_exchanged_once(app: Quart, users: Users) -> None:
    client, headers = app.test_client(), basic("acme.grafana", "right")
    for _ in range(3):
        response = await client.get("/read-by-programs", headers=headers)
        assert (response.status_code, await response.get_data(as_text=True)) == (200, "acme acme.grafana")
    assert len(users.asked) == 1
    assert b"right" not in repr(users.tokens.__dict__).encode()


async def test_basic_is_taken_only_where_a_view_says_so(app: Quart, users: Users) -> None:
    response = await app.test_client().get("/closed", headers=basic("acme.grafana", "right"))
    assert (response.status_code, (await response.get_json())["code"]) == (401, "token_malformed")
    assert not users.asked


async def test_a_wrong_secret_is_refused_and_asked_about_once(app: Quart, users: Users) -> None:
    client = app.test_client()
    for _ in range(3):
        response = await client.get("/read-by-programs", headers=basic("acme.grafana", "wrong"))
        assert response.status_code == 401
        assert "Basic" not in response.headers["WWW-Authenticate"]
    assert len(users.asked) == 1


@pytest.mark.parametrize("client_id", ["quartet-admin", "quartet-metrics", "grafana", "", "*.x", "ACME.x", "a b.x"])
async def test_only_clients_of_a_tenant_use_basic(app: Quart, users: Users, client_id: str) -> None:
    response = await app.test_client().get("/read-by-programs", headers=basic(client_id, "right"))
    assert response.status_code == 401
    assert not users.asked


async def test_credentials_that_are_none_are_refused(app: Quart, users: Users) -> None:
    for text in ("", "!", "YWNtZQ==", "/w==", "x" * 9000):
        response = await app.test_client().get("/read-by-programs", headers={"Authorization": f"Basic {text}"})
        assert response.status_code == 401
    twice = Headers([("Authorization", basic("acme.grafana", "right")["Authorization"])] * 2)
    assert (await app.test_client().get("/read-by-programs", headers=twice)).status_code == 401
    assert not users.asked


async def test_after_a_revocation_the_secret_counts_again(app: Quart, users: Users) -> None:
    client, headers = app.test_client(), basic("acme.grafana", "right")
    assert (await client.get("/read-by-programs", headers=headers)).status_code == 200
    users.revoked.add("1")
    assert (await client.get("/read-by-programs", headers=headers)).status_code == 200
    users.revoked.add("2")
    users.secret = "another"
    assert (await client.get("/read-by-programs", headers=headers)).status_code == 401


async def test_other_responses_of_users_are_handed_on(app: Quart, users: Users) -> None:
    for status, headers, expected in ((429, {"Retry-After": "30"}, 429), (500, {}, 503), (400, {}, 401)):
        users.tokens._http = lambda status=status, headers=headers: httpx.AsyncClient(  # type: ignore[misc]
            transport=httpx.MockTransport(lambda _: httpx.Response(status, headers=headers))
        )
        response = await app.test_client().get("/read-by-programs", headers=basic("acme.x", "y"))
        assert response.status_code == expected
        assert response.headers.get("Retry-After", "30") in ("30", "1")
