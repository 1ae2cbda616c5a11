"""The contracts between services: what is published has a schema, keeps it, and is what consumers read."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from jsonschema import Draft202012Validator
from quart import Quart

from quartet_audit.leaves.part_domain import Facts
from quartet_cli.layout import CHECKOUT, SERVICES
from quartet_cli.stack import Stack
from quartet_common.config.settings import ServiceConfig
from quartet_common.messaging.envelope import TYPE_PREFIX, Event, decode, encode
from quartet_common.messaging.event_types import ORIGIN_ADDED, ORIGIN_REMOVED, REVOKED, TENANT_DELETED
from quartet_common.messaging.subscriptions import Subscription
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.origin_events import OriginFacts
from quartet_common.runtime.process import Service
from quartet_common.runtime.revocation_events import RevocationFacts
from quartet_common.runtime.tenant_deletion import TenantFacts
from quartet_groups.subscriptions import UserFacts
from quartet_testing.client import GROUPS, USERS, Api, TokenFor, group_document, unique, user_document
from quartet_testing.conditions import eventually
from quartet_testing.schema_compatibility import incompatibilities
from quartet_testing.services import new_tenant
from quartet_users.memberships.group_event_data import GroupFacts, MembershipFacts, NestingFacts

Schema = dict[str, Any]

REFUSED = "request.refused.v1"
LIMITED = "request.limited.v1"
ARCHIVED = "data.archived.v1"
FAILURES = ("logging.failed.v1", "logging.recovered.v1")
"""What services publish when logging fails: libs/common and tests/e2e/faults have tests of them."""
OPERATIONS = (
    *("consumer.paused.v1", "consumer.resumed.v1"),
    "dead_letter.discarded.v1",
    *("redrive.created.v1", "redrive.finished.v1", "redrive.cancelled.v1"),
)
"""What services publish about dead letters and consumers: libs/common has tests of them."""
JOBS = ("job.created.v1", "job.cancelled.v1", "job.ended.v1")
"""What services publish about jobs: libs/common has tests of them."""
OF_EACH = (REFUSED, LIMITED, ARCHIVED, *FAILURES, *OPERATIONS, *JOBS)
"""What every service publishes, under its own name."""
COMMON = CHECKOUT / "libs/common/src/quartet_common/schemas"
CONTRACTS = CHECKOUT / "contracts/events"
"""The schemas of the last release."""
LATE = {
    *("audit.retention.applied.v1", "audit.log.read.v1", "users.tenant.restored.v1"),
    *("metrics.drift.detected.v1", "metrics.drift.repaired.v1"),
}
"""What happens after a month, or some minutes, after a fault or elsewhere; other tests compare it with its schema."""
WORDS = ("$schema", "title", "description")
"""What may be put better without a change of meaning."""

READS: dict[str, list[tuple[str, type[msgspec.Struct]]]] = {
    "users": [
        ("groups.group.created.v1", GroupFacts),
        ("groups.group.updated.v1", GroupFacts),
        ("groups.group.deleted.v1", GroupFacts),
        ("groups.membership.added.v1", MembershipFacts),
        ("groups.membership.removed.v1", MembershipFacts),
        ("groups.nesting.added.v1", NestingFacts),
        ("groups.nesting.removed.v1", NestingFacts),
    ],
    "groups": [
        ("users.user.created.v1", UserFacts),
        ("users.user.updated.v1", UserFacts),
        ("users.user.deleted.v1", UserFacts),
        (TENANT_DELETED, TenantFacts),
    ],
    "audit": [(TENANT_DELETED, TenantFacts)],  # and every event, whatever is in it
    "metrics": [(TENANT_DELETED, TenantFacts)],  # and every event, whatever is in it
}
"""What each service reads of the data of which event."""


def published(service: str) -> tuple[str, ...]:
    """The types that a service says it publishes."""
    types: tuple[str, ...] = import_module(f"quartet_{service}.events").PUBLISHED
    return types


def folder(service: str) -> Path:
    """Where a service's schemas lie."""
    return CHECKOUT / f"services/{service}/src/quartet_{service}/schemas"


def schemas() -> dict[str, Schema]:
    """Every schema by the type that it is of."""
    files = {kind: folder(service) / f"{kind}.json" for service in SERVICES for kind in published(service)}
    files |= {kind: COMMON / f"{kind}.json" for kind in OF_EACH}
    return {kind: json.loads(path.read_text()) for kind, path in files.items()}


def schema_of(kind: str) -> Schema:
    """The schema of a type as it is on its way, e.g. `users.user.created.v1`."""
    found = schemas()
    common = kind.partition(".")[2]
    return found[common if common in OF_EACH else kind]


@pytest.mark.parametrize("service", SERVICES)
def test_every_published_type_has_a_schema_and_every_schema_a_published_type(service: str) -> None:
    written = {path.stem for path in folder(service).glob("*.json")}
    assert written == set(published(service))


@pytest.mark.parametrize("service", SERVICES)
async def test_the_asyncapi_document_has_every_published_type(apps: dict[str, Quart], service: str) -> None:
    answer = await apps[service].test_client().get(f"/{service}/asyncapi.json")
    document = await answer.get_json()
    kinds = [*published(service), *(f"{service}.{kind}" for kind in OF_EACH)]
    if service == "audit":
        kinds.append("app.{type}.v1")
    assert sorted(channel["address"] for channel in document["channels"].values()) == sorted(kinds)
    assert document["info"]["version"]
    for kind in published(service):
        assert bare(document["components"]["schemas"][kind]) == bare(schema_of(kind))


@pytest.mark.parametrize("service", SERVICES)
def test_no_type_is_published_that_is_not_declared(service: str) -> None:
    source = CHECKOUT / f"services/{service}/src"
    texts = [path.read_text() for path in source.rglob("*.py")]
    named = {kind for text in texts for kind in re.findall(rf'"({service}\.[a-z_]+\.[a-z_]+\.v\d+)"', text)}
    assert named <= set(published(service))
    assert all(kind.startswith(f"{service}.") for kind in published(service))


@pytest.mark.parametrize("kind", schemas())
def test_a_schema_is_valid_names_its_type_and_says_what_each_property_is(kind: str) -> None:
    schema = schemas()[kind]
    Draft202012Validator.check_schema(schema)
    assert schema["title"] == kind
    assert schema["description"]
    for variant in schema.get("oneOf", [schema]):
        for name, one in variant["properties"].items():
            assert one.get("description") or "const" in one, f"{name} of {kind}"


@pytest.mark.parametrize("contract", sorted(CONTRACTS.glob("*.json")), ids=lambda path: path.stem)
def test_consumers_of_the_last_release_can_read_what_is_published(contract: Path) -> None:
    present = schemas()
    assert contract.stem in present, "a type of the last release is not published any more"
    found = list(incompatibilities(json.loads(contract.read_text()), present[contract.stem]))
    assert found == [], "publish a .v2 next to it"


def test_the_contracts_are_those_of_a_release() -> None:
    assert len(list(CONTRACTS.glob("*.json"))) >= 55


def bare(value: Any, *, names: bool = False) -> Any:
    """`value` without WORDS; the names of properties are kept whatever they are."""
    if isinstance(value, dict):
        return {key: bare(one, names=key == "properties") for key, one in value.items() if names or key not in WORDS}
    return [bare(one) for one in value] if isinstance(value, list) else value


def examples(schema: Schema) -> Iterator[Any]:
    """Values that a schema allows: the least and the most of each, as far as our schemas go."""
    if "oneOf" in schema:
        for one in schema["oneOf"]:
            yield from examples(one)
    elif "const" in schema:
        yield schema["const"]
    elif "enum" in schema:
        yield from schema["enum"]
    elif "type" not in schema:
        yield from ("Barbara Jensen", 3, True, [{"value": "b@example.com"}])
    else:
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        for kind in kinds:
            yield from BY_TYPE[kind](schema)


def objects(schema: Schema) -> Iterator[dict[str, Any]]:
    """With what is required only, with everything, and with something more than today's."""
    properties: dict[str, Schema] = schema["properties"]
    least = {name: list(examples(one))[-1] for name, one in properties.items() if name in schema["required"]}
    most = {name: next(examples(one)) for name, one in properties.items()}
    yield from (least, most, {**most, "somethingLater": {"a": [1]}})


def strings(schema: Schema) -> Iterator[str]:
    """A text of the format that is asked for."""
    formats = {"uuid": str(uuid4()), "date-time": datetime.now(UTC).isoformat()}
    yield formats.get(schema.get("format", ""), "Barbara Jensen")


BY_TYPE: dict[str, Callable[[Schema], Iterator[Any]]] = {
    "object": objects,
    "string": strings,
    "null": lambda _: iter([None]),
    "boolean": lambda _: iter([True, False]),
    "integer": lambda schema: iter([schema.get("minimum", 0), 3]),
    "array": lambda schema: iter([[one] for one in examples(schema["items"])]),
}


@pytest.mark.parametrize("kind", schemas())
def test_the_examples_that_consumers_are_tried_with_follow_the_schema(kind: str) -> None:
    validator = Draft202012Validator(schemas()[kind], format_checker=Draft202012Validator.FORMAT_CHECKER)
    found = list(examples(schemas()[kind]))
    assert len(found) >= 3
    for example in found:
        validator.validate(example)


@pytest.mark.parametrize(("kind", "struct"), [pair for pairs in READS.values() for pair in pairs])
def test_a_consumer_can_read_whatever_the_schema_allows(kind: str, struct: type[msgspec.Struct]) -> None:
    for example in examples(schema_of(kind)):
        received = decode(encode(envelope(kind, example)))
        read = msgspec.to_builtins(msgspec.convert(received.data, struct))
        for name, value in read.items():
            assert is_part(value, received.data[name]), f"{name} is not what was sent"


def test_every_service_can_read_whatever_the_schema_of_revocations_allows() -> None:
    for example in examples(schema_of(REVOKED)):
        read = msgspec.convert(example, RevocationFacts)
        assert read.revoked_at == datetime.fromisoformat(example["revokedAt"])
        assert (None if read.expires_at is None else read.expires_at.isoformat()) == example.get("expiresAt")
        assert (read.tenant, read.kind, read.id, read.endless) == tuple(
            example[name] for name in ("tenant", "kind", "id", "endless")
        )


@pytest.mark.parametrize("kind", [ORIGIN_ADDED, ORIGIN_REMOVED])
def test_every_service_can_read_whatever_the_schemas_of_origins_allow(kind: str) -> None:
    for example in examples(schema_of(kind)):
        read = msgspec.convert(example, OriginFacts)
        assert (read.version, read.origins) == (example["version"], example["origins"])


def is_part(read: Any, sent: Any) -> bool:
    """Whether what a consumer reads is what was sent, but for what it does not care about."""
    if isinstance(read, dict):
        return all(is_part(value, sent[name]) for name, value in read.items())
    if isinstance(read, list):
        return len(read) == len(sent) and all(map(is_part, read, sent))
    return bool(read == sent)


def envelope(kind: str, data: dict[str, Any]) -> Event:
    """An event as a service sends it."""
    return Event(
        id=uuid4(),
        source=f"/{kind.partition('.')[0]}",
        type=TYPE_PREFIX + kind,
        subject="users/x",
        time=datetime.now(UTC),
        tenantid="acme",
        actorid="tester",
        sequence=1,
        data=data,
    )


@pytest.mark.parametrize("service", SERVICES)
def test_every_subscription_is_to_something_that_is_published_and_what_is_read_of_it_stands_here(
    services: dict[str, Service[Any]], containers: dict[str, AppContainer[ServiceConfig]], service: str
) -> None:
    kinds = [kind for each in SERVICES for kind in published(each)]
    subscribed = set()
    for subscription in services[service].subscriptions(containers[service]):
        matching = {kind for kind in kinds if matches(subscription, kind)}
        assert matching, f"nobody publishes {subscription.pattern}"
        if subscription.pattern != "#":
            subscribed |= matching
    assert subscribed == {kind for kind, _ in READS[service]}


def matches(subscription: Subscription, kind: str) -> bool:
    """Whether events of the type come to the subscription."""
    return subscription.matches(envelope(kind, {}))


@pytest.mark.local_stack
async def test_real_events_follow_their_schemas_and_hold_nothing_that_is_not_described(
    api: Api, stack: Stack, token_for: TokenFor
) -> None:
    await everything_that_can_happen(api, stack, token_for)
    wanted = {kind for service in SERVICES for kind in published(service)} | {
        f"users.{kind}" for kind in (REFUSED, LIMITED)
    }
    wanted -= LATE

    async def all_kinds() -> list[dict[str, Any]]:
        entries = [*await api.entries(), *await platform.entries()]
        missing = wanted - {entry["type"].removeprefix(TYPE_PREFIX) for entry in entries}
        assert not missing, missing
        return entries

    async with Api(stack.url, await token_for("quartet", "audit:read platform:admin")) as platform:
        await everything_that_can_happen_to_a_tenant(platform)
        found = await eventually(all_kinds, "an event of every type")
    for entry in found:
        schema = schema_of(entry["type"].removeprefix(TYPE_PREFIX))
        Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(entry["data"])
        described = [variant["properties"].keys() for variant in schema.get("oneOf", [schema])]
        assert any(entry["data"].keys() <= names for names in described), entry
        assert not personal_facts(entry), entry


def personal_facts(entry: dict[str, Any]) -> list[str]:
    """What is personal and in the facts of an entry, which no erasure removes."""
    facts = json.dumps({field.name: entry[field.name] for field in msgspec.structs.fields(Facts)}).casefold()
    named = [entry["source_address"], *(entry["data"].get(name) for name in ("userName", "displayName"))]
    return [*(value for value in named if value and value.casefold() in facts), *re.findall(r"\S+@\S+", facts)]


async def everything_that_can_happen_to_a_tenant(platform: Api) -> None:
    """Have a tenant made, renamed, suspended, resumed and deleted."""
    tenant = new_tenant()
    path = f"/users/tenants/{tenant}"
    assert (await platform.post("/users/tenants", json={"id": tenant})).status_code == 201
    assert (await platform.patch(path, json={"display_name": "Acme"})).status_code == 200
    for change in ("suspend", "resume"):
        assert (await platform.post(f"{path}/{change}")).status_code == 200
    assert (await platform.delete(path)).status_code == 202
    assert (await platform.post("/users/keys/rotate")).status_code == 200
    assert (await platform.post("/audit/log/keys/rotate")).status_code == 200


async def everything_that_can_happen(api: Api, stack: Stack, token_for: TokenFor) -> None:
    """Make the tenant's services publish each of their types."""
    wrong = {"tenant": "acme", "user_name": unique("nobody"), "password": "a wrong guess"}
    assert [(await api.post("/users/login", json=wrong)).status_code for _ in range(6)][-1] == 429
    user = await api.create_user(displayName="Barbara", externalId="bjensen")
    bare_user = await api.create_user()
    changed = user_document(userName=user["userName"], active=False, password="a new password 1")
    assert (await api.put(f"{USERS}/{user['id']}", json=changed)).status_code == 200
    group = await api.create_group([user["id"]], externalId="guides")
    outer = await api.create_group([group["id"]])
    document = group_document([bare_user["id"]], displayName="Guides")
    assert (await api.put(f"{GROUPS}/{group['id']}", json=document)).status_code == 200
    assert (await api.delete(f"{GROUPS}/{group['id']}")).status_code == 204
    assert "members" not in (await api.get(f"{GROUPS}/{outer['id']}")).json()
    assert (await api.delete(f"{USERS}/{user['id']}")).status_code == 204
    await logins_of(api, stack, bare_user)
    schema = {"id": "urn:example:Badge", "name": "Badge", "attributes": [{"name": "number"}]}
    assert (await api.post("/users/schemas", json=schema)).status_code == 201
    assert (await api.delete("/users/schemas/urn:example:Badge")).status_code == 204
    made = await api.post("/users/scim-tokens", json={"name": "okta", "expires_in_days": 1})
    assert made.status_code == 201
    assert (await api.delete(f"/users/scim-tokens/{made.json()['id']}")).status_code == 204
    made = await api.post("/users/origins", json={"origin": "https://app.example.com"})
    assert made.status_code == 201
    assert (await api.delete(f"/users/origins/{made.json()['id']}")).status_code == 204
    await roles_change(api, bare_user)
    await clients_change(api)
    assert (await api.get("/audit/data/export")).status_code == 200
    filters = {"action": "users.*", "actor": "x", "outcome": "success", "from": "2026-01-31T09:00:00Z"}
    assert (await api.get("/audit/export", params={"format": "csv", **filters})).status_code == 200
    assert (await api.post("/audit/erasures", json={"user": str(uuid4())})).status_code == 202
    await streams_change(api)
    await alerts_change(api)
    assert (await api.put("/audit/retention", json={"days": 365})).status_code == 200
    assert (await api.put("/audit/legal-hold", json={"reason": "Case 1"})).status_code == 200
    assert (await api.delete("/audit/legal-hold")).status_code == 204
    [created] = await api.entries_of(user["id"], "users.user.created")
    async with Api(stack.url, await token_for(created["tenant"], "groups:read")) as poor:
        assert (await poor.get(USERS)).status_code == 403


async def streams_change(api: Api) -> None:
    """A stream is made, which gets no entry, changed, paused, resumed, replayed and removed."""
    destination = {"type": "webhook", "url": "https://127.0.0.1:9/"}
    body = {"name": "SIEM", "destination": destination, "filters": {"actor": "nobody"}}
    made = await api.post("/audit/streams", json=body)
    assert made.status_code == 201, made.text
    path = f"/audit/streams/{made.json()['id']}"
    for kind, method, address, change in (
        (200, "PATCH", path, {"name": "other"}),
        (200, "POST", f"{path}/pause", None),
        (200, "POST", f"{path}/resume", None),
        (200, "POST", f"{path}/replay", {"from": 0}),
        (204, "DELETE", path, None),
    ):
        assert (await api.request(method, address, json=change)).status_code == kind


async def alerts_change(api: Api) -> None:
    """An alert rule is made, replaced, and removed when its alert fires."""
    rule = {"name": "Always", "expr": "vector(1) > 2", "labels": {"team": "identity"}}
    made = await api.post("/metrics/alerts/rules", json=rule)
    assert made.status_code == 201, made.text
    path = f"/metrics/alerts/rules/{made.json()['id']}"
    changed = {**rule, "expr": "vector(1)", "annotations": {"summary": "{{ $value }}"}}
    assert (await api.put(path, json=changed)).status_code == 200

    async def fires() -> bool:
        return bool((await api.get(path)).json()["state"] == "firing")

    await eventually(fires, "the alert fires", 30)
    assert (await api.delete(path)).status_code == 204


async def roles_change(api: Api, user: dict[str, Any]) -> None:
    """A role is made, given, changed so that somebody loses a scope, taken and removed."""
    made = (await api.post("/users/roles", json={"name": "Auditor", "scopes": ["audit:read", "audit:export"]})).json()
    path = f"/users/roles/{made['id']}"
    for kind, method, address, body in (
        (201, "POST", f"{path}/grants", {"type": "User", "id": user["id"]}),
        (200, "PATCH", path, {"scopes": ["audit:read"]}),
        (204, "DELETE", f"{path}/grants/{user['id']}", None),
        (204, "DELETE", path, None),
    ):
        answer = await api.request(method, address, json=body)
        assert answer.status_code == kind, answer.text


async def clients_change(api: Api) -> None:
    """An API client is made, changed, given another secret, loses one, and is removed."""
    made = (await api.post("/users/clients", json={"name": "reporting", "scopes": ["users:read"]})).json()
    path = f"/users/clients/{made['client_id']}"
    assert (await api.patch(path, json={"name": "reports"})).status_code == 200
    secret = await api.post(f"{path}/secrets", json={"overlap_seconds": 0})
    assert (await api.delete(f"{path}/secrets/{secret.json()['id']}")).status_code == 204
    assert (await api.delete(path)).status_code == 204


async def logins_of(api: Api, stack: Stack, user: dict[str, Any]) -> None:
    """Have a user log in, once with a wrong password, and lose its sessions."""
    [created] = await api.entries_of(user["id"], "users.user.created")
    body = {"tenant": created["tenant"], "user_name": user["userName"], "password": "a new password 1"}
    async with Api(stack.url, "none") as nobody:
        del nobody.headers["Authorization"]
        assert (await nobody.post("/users/login", json=body)).status_code == 401
        changed = user_document(userName=user["userName"], password=body["password"])
        assert (await api.put(f"{USERS}/{user['id']}", json=changed)).status_code == 200
        assert (await nobody.post("/users/login", json=body)).status_code == 200
    assert (await api.delete("/users/sessions", params={"user": user["id"]})).status_code == 204


@pytest.mark.local_stack
async def test_real_summaries_of_refused_requests_follow_their_schema(stack: Stack, token_for: TokenFor) -> None:
    async with Api(stack.url, "nonsense") as nobody:
        assert (await nobody.get(USERS)).status_code == 401
    async with Api(stack.url, await token_for("quartet", "audit:read")) as auditor:
        entries = await eventually(lambda: auditor.entries(action="users.request.refused"), "a summary")
    validator = Draft202012Validator(schema_of(f"users.{REFUSED}"), format_checker=Draft202012Validator.FORMAT_CHECKER)
    for entry in entries:
        validator.validate(entry["data"])
