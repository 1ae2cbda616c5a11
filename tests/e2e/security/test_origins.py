"""Pages of other origins: which may call, what they can read, and that no form of theirs changes anything."""

import httpx
import pytest

from quartet_cli.stack import Stack
from quartet_testing.client import GROUPS, ORIGIN, USERS, Api, group_document, unique, user_document

pytestmark = pytest.mark.local_stack

REFUSED = [
    "https://evil.example.com",
    f"{ORIGIN}.evil.example.com",
    ORIGIN.replace("app.", "app-"),
    ORIGIN.replace("https", "http"),
    f"{ORIGIN}:443",
    f"{ORIGIN}:8443",
    f"{ORIGIN}/",
    ORIGIN.replace("https://", "https://evil@"),
    ORIGIN.upper(),
    f"{ORIGIN}, https://evil.example.com",
    f"{ORIGIN} https://evil.example.com",
    "null",
    "*",
]
READ = ["/scim/v2/Users", "/scim/v2/Groups", "/users/schemas", "/groups/check", "/audit/events", "/metrics/catalog"]
"""A route of each service and protocol."""
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}


def granted(answer: httpx.Response) -> dict[str, str]:
    """What an answer lets a page do."""
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


@pytest.mark.parametrize("path", READ)
async def test_a_page_of_a_listed_origin_may_send_requests_without_cookies_and_read_the_responses(
    api: Api, path: str
) -> None:
    preflight = await api.options(path, headers={"Origin": ORIGIN, **PREFLIGHT})
    assert preflight.status_code == 200
    found = granted(preflight)
    assert found["access-control-allow-origin"] == ORIGIN
    assert {"authorization", "content-type"} <= set(found["access-control-allow-headers"].replace(" ", "").split(","))
    assert "access-control-allow-credentials" not in found
    answer = await api.get(path, headers={"Origin": ORIGIN})
    assert granted(answer)["access-control-allow-origin"] == ORIGIN
    assert "access-control-allow-credentials" not in granted(answer)
    exposed = granted(answer)["access-control-expose-headers"].lower().replace(" ", "").split(",")
    assert {"etag", "location", "ratelimit", "ratelimit-policy", "retry-after", "www-authenticate"} <= set(exposed)
    assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize("origin", REFUSED)
async def test_a_page_of_another_origin_can_read_no_response(api: Api, origin: str) -> None:
    for path in READ:
        for answer in (
            await api.options(path, headers={"Origin": origin, **PREFLIGHT}),
            await api.get(path, headers={"Origin": origin}),
        ):
            assert granted(answer) == {}
            assert "Origin" in answer.headers["Vary"], "a shared cache must not give it to the listed origin"


async def test_errors_can_be_read_by_the_listed_origin(api: Api) -> None:
    missing = await api.get(f"{USERS}/01a20458-d3da-70f4-b50d-2a76abd0b72c", headers={"Origin": ORIGIN})
    refused = await api.get(USERS, headers={"Origin": ORIGIN, "Authorization": "Bearer nonsense"})
    malformed = await api.post(USERS, headers={"Origin": ORIGIN}, content=b"{")
    for answer, status in ((missing, 404), (refused, 401), (malformed, 400)):
        assert (answer.status_code, granted(answer)["access-control-allow-origin"]) == (status, ORIGIN)


async def test_no_answer_sets_a_cookie_and_a_cookie_is_no_token(stack: Stack, api: Api) -> None:
    token = api.headers["Authorization"].removeprefix("Bearer ")
    answers = [await api.get(path) for path in READ]
    answers += [await api.post("/oauth2/token", data={"grant_type": "client_credentials"})]
    answers += [await api.post("/users/login", json={"tenant": "t", "user_name": unique("n"), "password": "none"})]
    assert not [answer for answer in answers if "Set-Cookie" in answer.headers]
    async with httpx.AsyncClient(base_url=stack.url, trust_env=False) as browser:
        for name in ("token", "access_token", "session", "Authorization"):
            cookie = {"Cookie": f"{name}={token}", "Sec-Fetch-Site": "cross-site"}
            assert (await browser.get(USERS, headers=cookie)).status_code == 401
        for query in ("access_token", "token", "bearer"):
            assert (await browser.get(USERS, params={query: token})).status_code == 400, "the proxy refuses it unread"


FORMS = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"]
"""What a page can make a browser send to another origin without asking first."""
CROSS_SITE = {"Origin": "https://evil.example.com", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
WRITES = [
    ("POST", USERS, user_document()),
    ("POST", GROUPS, group_document()),
    ("POST", "/scim/v2/.search", {"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]}),
    ("POST", "/scim/v2/Bulk", {"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": []}),
    ("POST", "/users/schemas", {"id": "urn:example:Form", "name": "Form", "attributes": []}),
    ("POST", "/users/scim-tokens", {"name": "form", "expires_in_days": 1}),
    ("POST", "/users/clients", {"name": "form", "scopes": ["users:read"]}),
    ("POST", "/users/roles", {"name": "form", "scopes": []}),
    ("POST", "/users/login", {"tenant": "t", "user_name": "n", "password": "none"}),
    ("POST", "/groups/check", {"checks": [{"user": "u", "group": "g"}]}),
]


@pytest.mark.parametrize("content_type", FORMS)
@pytest.mark.parametrize(("method", "path", "body"), WRITES, ids=[path for _, path, _ in WRITES])
async def test_a_form_of_another_site_is_no_json_even_with_a_token(
    api: Api, method: str, path: str, body: dict[str, object], content_type: str
) -> None:
    sent = httpx.Request(method, "http://none", json=body).content
    answer = await api.request(method, path, content=sent, headers={**CROSS_SITE, "Content-Type": content_type})
    assert answer.status_code == 415, f"{answer.status_code} {answer.text}"
    assert granted(answer) == {}


@pytest.mark.parametrize("content_type", ["application/json", *FORMS])
async def test_what_another_site_sends_without_a_token_changes_nothing(
    stack: Stack, api: Api, content_type: str
) -> None:
    name = unique("victim")
    sent = httpx.Request("POST", "http://none", json=user_document(userName=name)).content
    async with httpx.AsyncClient(base_url=stack.url, trust_env=False) as browser:
        answer = await browser.post(USERS, content=sent, headers={**CROSS_SITE, "Content-Type": content_type})
    assert answer.status_code == 401
    found = await api.get(USERS, params={"filter": f'userName eq "{name}"'})
    assert found.json()["totalResults"] == 0


async def test_a_form_at_the_token_endpoint_gives_nothing_to_who_has_no_secret(stack: Stack) -> None:
    """It takes forms by RFC 6749; who it is stands in the form itself, and no browser adds anything to it."""
    forged = {"grant_type": "client_credentials", "client_id": "quartet-admin", "tenant": "default"}
    async with httpx.AsyncClient(base_url=stack.url, trust_env=False) as browser:
        answer = await browser.post("/oauth2/token", data=forged, headers=CROSS_SITE)
    assert (answer.status_code, granted(answer)) == (401, {})
