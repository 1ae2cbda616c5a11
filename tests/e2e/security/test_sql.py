"""SQL in every place where a client may write a text: it stays a text."""

import asyncio
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from quartet_cli.layout import SERVICES
from quartet_cli.stack import Stack
from quartet_common.auth.scopes import SCOPES
from quartet_testing.attacks import says_nothing
from quartet_testing.client import (
    GROUPS,
    TIMEOUT,
    USERS,
    Api,
    bulk_document,
    group_document,
    patch_document,
    unique,
    user_document,
)
from quartet_testing.faults import database
from quartet_testing.forgery import Forger
from quartet_testing.openapi import Place, Places
from quartet_testing.services import direct

pytestmark = pytest.mark.local_stack

SLEEP = 15
"""Seconds that a payload would sleep, if PostgreSQL ran it: far more than any answer takes here."""
PAYLOADS = [
    "'",
    '"',
    "' OR '1'='1",
    "\u02bc OR 1=1 --",
    f"' || pg_sleep({SLEEP}) || '",
    f"\\'; SELECT pg_sleep({SLEEP}); --",
    f"1 OR (SELECT 1 FROM pg_sleep({SLEEP})) IS NULL",
    "'); CREATE TABLE injected (id int); DELETE FROM users; --",
    "$$; CREATE TABLE injected (id int); SELECT $$",
    "' UNION ALL SELECT private_key FROM signing_keys --",
    "$1 %s %(tenant)s {tenant} :tenant",
]
ENDLESS = "/audit/events/live"
"""Its answers do not end; its filters are those of the streams, which are tried in bodies."""
SEARCHES_TEXT = " query:text"
"""Parameters that find the entries of the audit log with a text, also those of these attacks."""
SEARCH = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:Schema"
ERRORS = re.compile(r"ERROR:  .*|FATAL:  .*")
HARMLESS_ERRORS = re.compile(r"duplicate key|deadlock|canceling statement due to (user request|lock timeout)")


def examples() -> dict[tuple[str, str], Any]:
    """Bodies of SCIM, which the schemas of OpenAPI do not tell whole."""
    user = user_document(displayName="x", externalId=unique("x"), title="x", name={"familyName": "x"})
    user |= {"emails": [{"value": "x@example.com", "type": "work"}]}  # no password: it costs more than all the rest
    group = group_document(["x"], externalId=unique("x"))
    patch = patch_document({"op": "replace", "path": "displayName", "value": "x"})
    search = {"schemas": [SEARCH], "filter": 'id eq "x"', "sortBy": "id", "attributes": ["id"], "cursor": ""}
    bulk = bulk_document({"method": "POST", "path": "/Users", "bulkId": "x", "data": user, "version": "x"})
    schema = {"id": unique("urn:example"), "name": "x", "attributes": [{"name": "x", "type": "string"}]}
    searches = ("/scim/v2/.search", f"{USERS}/.search", f"{GROUPS}/.search", "/groups/search")
    return {
        ("post", USERS): user,
        ("put", f"{USERS}/{{user_id}}"): user,
        ("patch", f"{USERS}/{{user_id}}"): patch,
        ("post", GROUPS): group,
        ("put", f"{GROUPS}/{{group_id}}"): group,
        ("patch", f"{GROUPS}/{{group_id}}"): patch,
        ("post", "/scim/v2/Bulk"): bulk,
        ("post", "/users/schemas"): {"schemas": [SCHEMA], **schema},
        **{("post", path): search for path in searches},
    }


@pytest.fixture(scope="module")
async def everybody(stack: Stack, forger: Forger) -> Any:
    """A client with every scope that there is, so that nothing is refused before PostgreSQL could see it."""

    async def past_the_proxy(request: httpx.Request) -> None:
        if request.url.path in ("/users/lookup", "/groups/search", "/groups/bulk"):
            request.url = httpx.URL(direct(stack, request.url.path))

    async with Api(stack.url, forger.genuine(scope=" ".join(SCOPES))) as client:
        client.timeout = httpx.Timeout(TIMEOUT)
        client.event_hooks = {"request": [past_the_proxy]}
        yield client


class PostgresLog:
    """What PostgreSQL has complained of since this was made."""

    def __init__(self, stack: Stack) -> None:
        self._path: Path = stack.home.logs / "postgres.log"
        self._from = self._path.stat().st_size

    def complaints(self) -> list[str]:
        """The errors, but for those that are a statement's ordinary end."""
        with self._path.open("rb") as log:
            log.seek(self._from)
            found = ERRORS.findall(log.read().decode(errors="replace"))
        return sorted({line for line in found if not HARMLESS_ERRORS.search(line)})


async def tables(stack: Stack) -> set[tuple[str, str, int]]:
    """Every table of every service, with the number of its columns."""
    found = set()
    for service in SERVICES:
        async with database(stack, service) as connection:
            rows = await connection.fetch(
                "SELECT table_schema, table_name, count(*) AS columns FROM information_schema.columns "
                "WHERE table_schema NOT LIKE 'pg%' AND table_schema <> 'information_schema' GROUP BY 1, 2"
            )
        found |= {(row["table_schema"], row["table_name"], row["columns"]) for row in rows}
    return found


def shape(answer: httpx.Response) -> Any:
    """How much an answer shows."""
    try:
        body = answer.json()
    except ValueError:
        return None
    if not isinstance(body, dict):
        return type(body).__name__
    return {name: len(value) if isinstance(value, list) else None for name, value in body.items()}


async def attack(client: httpx.AsyncClient, place: Place) -> list[str]:
    """What is wrong with the answers to SQL in `place`, beside that to a harmless text."""
    harmless = await client.request(**place.request("harmless", "harmless"))
    wrong = []
    for payload in PAYLOADS:
        begun = time.monotonic()
        answer = await client.request(**place.request(payload, "harmless"))
        told = f"{place} {payload!r}: {answer.status_code}, harmless {harmless.status_code}"
        if answer.status_code >= 500 or (answer.status_code < 300 and answer.status_code != harmless.status_code):
            wrong.append(told)
        compares = place.method == "get" and not str(place).endswith(SEARCHES_TEXT)
        if compares and answer.status_code == 200 and shape(answer) != shape(harmless):
            wrong.append(f"{told} {shape(answer)} {shape(harmless)}")
        if time.monotonic() - begun > SLEEP * 0.8:
            wrong.append(f"{told}: it slept")
        says_nothing(answer.text.replace(payload, "").replace(json.dumps(payload)[1:-1], ""))
    return wrong


async def attack_all(client: httpx.AsyncClient, places: Sequence[Place]) -> list[str]:
    """What is wrong with any answer; a few places are tried at once, first those that change nothing."""
    waiting = asyncio.Semaphore(8)

    async def one(place: Place) -> list[str]:
        async with waiting:
            return await attack(client, place)

    asking = [place for place in places if place.method == "get"]
    changing = [place for place in places if place.method != "get"]
    found = [*await asyncio.gather(*map(one, asking)), *await asyncio.gather(*map(one, changing))]
    return [told for some in found for told in some]


@pytest.mark.parametrize("service", SERVICES)
async def test_sql_in_any_parameter_is_a_text_like_any_other(everybody: Api, stack: Stack, service: str) -> None:
    document = (await everybody.get(f"/{service}/openapi.json")).json()
    places = [place for place in Places(document, examples()) if place.path != ENDLESS]
    assert len(places) >= 8
    before, log = await tables(stack), PostgresLog(stack)
    assert await attack_all(everybody, places) == []
    assert log.complaints() == []
    assert await tables(stack) == before


FILTERS = [
    "userName eq {}", "userName co {}", "userName sw {}", "userName ew {}", "userName ne {}", "displayName gt {}",
    "id eq {}", "externalId eq {}", "emails.value eq {}", "emails[type eq {}]", "emails[type eq {} and value pr]",
    "not (title eq {})", "meta.resourceType eq {}", "groups.value eq {}", "schemas eq {}", "name.familyName co {}",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq {}",
]  # fmt: skip


async def test_sql_inside_a_filter_is_the_value_that_is_looked_for(api: Api, stack: Stack) -> None:
    for payload in PAYLOADS:
        await api.create_user(displayName=payload, title=unique("sought"))
    log = PostgresLog(stack)
    for template in FILTERS:
        harmless = await api.get(USERS, params={"filter": template.format('"harmless"'), "count": 0})
        for payload in PAYLOADS:
            answer = await api.get(USERS, params={"filter": template.format(json.dumps(payload)), "count": 0})
            assert answer.status_code == harmless.status_code == 200, template
            if "gt" not in template.split():
                assert answer.json()["totalResults"] == harmless.json()["totalResults"], f"{template} {payload}"
    for payload in PAYLOADS:
        found = await api.get(USERS, params={"filter": f"displayName eq {json.dumps(payload)}"})
        assert [one["displayName"] for one in found.json()["Resources"]] == [payload]
    assert log.complaints() == []


async def test_postgresqls_complaints_would_be_seen(stack: Stack) -> None:
    log = PostgresLog(stack)
    async with database(stack, "users") as connection:
        with pytest.raises(Exception, match="syntax error"):
            await connection.execute("SELECT 'a' OR '1'='1' FORM users")
    assert any("syntax error" in line for line in log.complaints())
