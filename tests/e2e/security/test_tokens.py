"""Forged, stolen and damaged tokens, at each service: none gets in, a forgery learns nothing, and the log knows why."""

import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from joserfc.jwk import RSAKey

from quartet_cli.stack import Stack
from quartet_common.auth import opaque_tokens
from quartet_testing.attacks import Recorded, Stranger, essence, says_nothing, somewhere
from quartet_testing.client import GROUPS, USERS, Api, unique
from quartet_testing.conditions import eventually
from quartet_testing.forgery import Forger, encoded

pytestmark = pytest.mark.local_stack

PATHS = {"users": USERS, "groups": GROUPS, "audit": "/audit/events", "metrics": "/metrics/catalog"}
"""An address of each service that a good token opens."""

Forgery = Callable[[Forger], str]


def _public(forger: Forger) -> dict[str, Any]:
    return dict(forger.key.as_dict(private=False))


def _own(forger: Forger) -> dict[str, Any]:
    return dict(forger.own.as_dict(private=False))


def _flipped(forger: Forger) -> str:
    head, body, signature = forger.token.split(".")
    return f"{head}.{body}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


def _rsa(forger: Forger) -> str:
    return forger.unsigned("RS256") + encoded(RSAKey.generate_key(2048).as_pem()[:256])


def _without(forger: Forger, claim: str) -> str:
    return forger.genuine(**{claim: None})


ALGORITHM, KEY, SIGNATURE = "wrong_algorithm_or_type", "unknown_key", "bad_signature"
MALFORMED, CLAIMS = "malformed", "missing_claims"

FORGERIES: dict[str, tuple[str, Forgery]] = {
    "alg none": (ALGORITHM, lambda f: f.unsigned("none")),
    "alg None": (ALGORITHM, lambda f: f.unsigned("None")),
    "alg nOnE": (ALGORITHM, lambda f: f.unsigned("nOnE")),
    "no alg": (ALGORITHM, lambda f: f.forged({"alg": None})),
    "alg is a list": (ALGORITHM, lambda f: f.forged({"alg": ["ES256"]})),
    "HS256 with the public key as PEM": (ALGORITHM, lambda f: f.hashed(f.key.as_pem(private=False))),
    "HS256 with the public key as JWK": (ALGORITHM, lambda f: f.hashed(json.dumps(_public(f)).encode())),
    "HS256 with an empty key": (ALGORITHM, lambda f: f.hashed(b"")),
    "HMAC that is called ES256": (SIGNATURE, lambda f: f.hashed(f.key.as_pem(private=False), "ES256")),
    "RS256": (ALGORITHM, _rsa),
    "a key that nobody trusts": (SIGNATURE, lambda f: f.forged()),
    "a key that nobody knows": (KEY, lambda f: f.forged({"kid": "mine"})),
    "no key id": (KEY, lambda f: f.forged({"kid": None})),
    "a key id that is a path": (KEY, lambda f: f.forged({"kid": "../../../../dev/null"})),
    "a key id that is SQL": (KEY, lambda f: f.forged({"kid": "' UNION SELECT private_key FROM signing_keys --"})),
    "a key id that is a number": (KEY, lambda f: f.forged({"kid": 7})),
    "an embedded jwk": (SIGNATURE, lambda f: f.forged({"jwk": _own(f)})),
    "an embedded jwk without a key id": (KEY, lambda f: f.forged({"kid": None, "jwk": _own(f)})),
    "a jku of the attacker": (KEY, lambda f: f.forged({"kid": "mine", "jku": "http://127.0.0.1:1/jwks.json"})),
    "an x5c of the attacker": (SIGNATURE, lambda f: f.forged({"x5c": [encoded(f.own.as_der(private=False))]})),
    "an x5u of the attacker": (KEY, lambda f: f.forged({"kid": "mine", "x5u": "http://127.0.0.1:1/x.pem"})),
    "a signature of zeros": (SIGNATURE, lambda f: f.with_signature(bytes(64))),
    "no signature": (SIGNATURE, lambda f: f.with_signature(b"")),
    "half a signature": (SIGNATURE, lambda f: f.with_signature(bytes(32))),
    "a damaged signature": (SIGNATURE, _flipped),
    "more scopes than were signed": (SIGNATURE, lambda f: f.with_signature(b"x" * 64, scope="platform:admin service")),
    "typ JWT": (ALGORITHM, lambda f: f.genuine({"typ": "JWT"})),
    "no typ": (ALGORITHM, lambda f: f.genuine({"typ": None})),
    "a critical header that nobody knows": ("unknown_extension", lambda f: f.genuine({"crit": ["x"], "x": 1})),
    "another issuer": ("wrong_issuer", lambda f: f.genuine(iss="https://evil.example.com")),
    "an issuer with a slash": ("wrong_issuer", lambda f: f.genuine(iss=f.claims["iss"] + "/")),
    "an issuer that is a list": ("wrong_issuer", lambda f: f.genuine(iss=[f.claims["iss"]])),
    "no issuer": ("wrong_issuer", lambda f: _without(f, "iss")),
    "another audience": ("wrong_audience", lambda f: f.genuine(aud="https://evil.example.com")),
    "audiences that are all others": ("wrong_audience", lambda f: f.genuine(aud=["quartets", "quarte", ""])),
    "an audience that begins well": ("wrong_audience", lambda f: f.genuine(aud=f"{f.claims['iss']}/users/x")),
    "no audience": ("wrong_audience", lambda f: _without(f, "aud")),
    "expired": ("expired", lambda f: f.genuine(exp=int(time.time()) - 60)),
    "no expiry": (CLAIMS, lambda f: _without(f, "exp")),
    "an expiry that is a text": (CLAIMS, lambda f: f.genuine(exp="9999999999")),
    "not yet valid": ("not_yet_valid", lambda f: f.genuine(nbf=int(time.time()) + 600)),
    "no tenant": (CLAIMS, lambda f: _without(f, "tenant")),
    "every tenant, by no service": (CLAIMS, lambda f: f.genuine(tenant="*")),
    "a tenant that is a list": (CLAIMS, lambda f: f.genuine(tenant=[f.claims["tenant"]])),
    "no subject": (CLAIMS, lambda f: _without(f, "sub")),
    "no id": (CLAIMS, lambda f: _without(f, "jti")),
    "no time of issue": (CLAIMS, lambda f: _without(f, "iat")),
    "scopes that are a list": (CLAIMS, lambda f: f.genuine(scope=["users:read"])),
    "encrypted": (MALFORMED, lambda f: f.encrypted()),
    "JSON": (MALFORMED, lambda f: json.dumps({"payload": f.token.split(".")[1], "signature": "x"})),
    "two parts": (MALFORMED, lambda f: f.token.rpartition(".")[0]),
    "four parts": (MALFORMED, lambda f: f.token + ".x"),
    "no base64": (MALFORMED, lambda f: "!!!." + f.token.partition(".")[2]),
    "a head that is no object": (MALFORMED, lambda f: f"{encoded(b'[]')}.{f.token.partition('.')[2]}"),
    "12 kB": ("too_long", lambda f: f.genuine(more="x" * 9000)),
    "a SCIM token with a wrong checksum": (
        MALFORMED,
        lambda _: opaque_tokens.make(opaque_tokens.SCIM_TOKEN, "default")[:-1] + "!",
    ),
    "an unknown SCIM token": ("unknown_token", lambda _: opaque_tokens.make(opaque_tokens.SCIM_TOKEN, "default")),
    "a refresh token": (MALFORMED, lambda _: opaque_tokens.make(opaque_tokens.REFRESH_TOKEN, "default")),
    "a client secret": (MALFORMED, lambda _: opaque_tokens.make(opaque_tokens.CLIENT_SECRET, "default")),
}  # fmt: skip


Answers = dict[str, dict[str, httpx.Response]]


def bearer(token: str) -> dict[str, str]:
    """The header that a token goes in."""
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
async def answers(stranger: Stranger, forger: Forger) -> Answers:
    """What each service says to each forgery."""
    tokens = {name: forge(forger) for name, (_, forge) in FORGERIES.items()}
    return {
        service: {name: await stranger.http.get(path, headers=bearer(token)) for name, token in tokens.items()}
        for service, path in PATHS.items()
    }


@pytest.mark.parametrize("service", PATHS)
def test_no_forged_token_opens_a_service(answers: Answers, service: str) -> None:
    assert {name: one.status_code for name, one in answers[service].items() if one.status_code != 401} == {}


SAID = {
    "malformed": "The access token is malformed. Send it as issued: Authorization: Bearer <token>.",
    "too_long": "The access token is malformed. Send it as issued: Authorization: Bearer <token>.",
    "expired": "The access token expired. Request a new one.",
}
"""What is said for a reason; for all others it is the same."""


@pytest.mark.parametrize("service", PATHS)
def test_errors_reveal_only_the_form_and_expiry_of_genuine_tokens(answers: Answers, service: str) -> None:
    seen: dict[str, Any] = {}
    for name, (reason, _) in FORGERIES.items():
        answer, said = answers[service][name], SAID.get(reason, "The access token is not valid. Request a new one.")
        assert answer.json()["detail"] == said, name
        challenge = f'Bearer realm="quartet", error="invalid_token", error_description="{said}"'
        assert answer.headers["WWW-Authenticate"] == challenge
        assert essence(answer) == seen.setdefault(said, essence(answer)), name
        says_nothing(str(essence(answer)))
    assert len(seen) == 3


@pytest.mark.parametrize("service", PATHS)
async def test_the_log_knows_why_each_was_refused(
    answers: Answers, stranger: Stranger, recorded: Recorded, service: str
) -> None:
    assert answers[service]
    await recorded(service, stranger.address, dict(Counter(reason for reason, _ in FORGERIES.values())))


GENUINE: dict[str, Forgery] = {
    "as issued": lambda f: f.genuine(),
    "for several audiences": lambda f: f.genuine(aud=["https://else.example.com", "quartet"]),
    "with more claims than are known": lambda f: f.genuine(acr="x", nothing=None, deep={"a": [1]}),
    "with the type in capitals": lambda f: f.genuine({"typ": "AT+JWT"}),
    "valid since a minute": lambda f: f.genuine(nbf=int(time.time()) - 60),
    "almost too long": lambda f: f.genuine(more="x" * 5000),
    "with an embedded key that nobody looks at": lambda f: f.genuine({"jwk": _own(f)}),
}


@pytest.mark.parametrize("service", PATHS)
async def test_a_token_that_is_odd_but_good_is_taken(stranger: Stranger, forger: Forger, service: str) -> None:
    found = {
        name: (await stranger.http.get(PATHS[service], headers=bearer(make(forger)))).status_code
        for name, make in GENUINE.items()
    }
    assert found == dict.fromkeys(GENUINE, 200)


@pytest.mark.parametrize("meant", PATHS)
async def test_a_token_for_one_service_opens_that_one_only(stranger: Stranger, forger: Forger, meant: str) -> None:
    token = forger.genuine(aud=f"{forger.claims['iss']}/{meant}")
    found = {name: (await stranger.http.get(path, headers=bearer(token))).status_code for name, path in PATHS.items()}
    assert found == {name: 200 if name == meant else 401 for name in PATHS}


async def test_another_tenants_token_finds_nothing_of_this_one(api: Api, other: Api) -> None:
    user, group = await api.create_user(), await api.create_group()
    await api.entries_of(user["id"], "users.user.created")
    for path in (f"{USERS}/{user['id']}", f"{GROUPS}/{group['id']}"):
        assert (await api.get(path)).status_code == 200
        for method in ("GET", "DELETE", "PUT", "PATCH"):
            answer = await other.request(method, path, json={"schemas": [], "Operations": []})
            assert answer.status_code == 404 if method in ("GET", "DELETE") else answer.status_code in (400, 404)
            assert user["userName"] not in answer.text
    assert (await other.get(USERS, params={"filter": f'id eq "{user["id"]}"'})).json()["totalResults"] == 0
    assert await other.entries(resource=user["id"]) == []
    assert (await api.get(f"{USERS}/{user['id']}")).json() == user


async def test_a_revoked_token_is_refused_everywhere_and_logged_as_known(
    stack: Stack, mine: Api, stranger: Stranger, recorded: Recorded
) -> None:
    scopes = ["users:read", "groups:read", "audit:read", "metrics:read"]
    client = (await mine.post("/users/clients", json={"name": unique("machine"), "scopes": scopes})).json()
    auth, form = (client["client_id"], client["client_secret"]), {"grant_type": "client_credentials"}
    ended, kept = [(await stranger.http.post("/oauth2/token", data=form, auth=auth)).json() for _ in range(2)]
    for token in (ended, kept):
        assert await opened(stranger, token["access_token"]) == dict.fromkeys(PATHS, 200)
    sent = {"token": ended["access_token"]}
    assert (await stranger.http.post("/oauth2/revoke", data=sent, auth=auth)).status_code == 200

    async def refused() -> bool:
        return await opened(stranger, ended["access_token"]) == dict.fromkeys(PATHS, 401)

    await eventually(refused, "the token to be refused everywhere")
    assert await opened(stranger, kept["access_token"]) == dict.fromkeys(PATHS, 200)
    async with somewhere(stack.url) as other:
        for path in PATHS.values():
            assert (await other.http.get(path, headers=bearer(ended["access_token"]))).status_code == 401
    for service in PATHS:
        await recorded(service, other.address, {"revoked": 1})


async def opened(stranger: Stranger, token: str) -> dict[str, int]:
    """What each service answers to a token."""
    return {name: (await stranger.http.get(path, headers=bearer(token))).status_code for name, path in PATHS.items()}
