"""OCSF events, against what the schema 1.8.0 demands of them (github.com/ocsf/ocsf-schema, tag 1.8.0)."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quartet_audit.exports.ocsf_activity_domain import ACTIVITIES, CLASS_NAMES, OF_EACH
from quartet_audit.exports.ocsf_domain import ERASED, NOT_RECORDED, ocsf_event, ocsf_lines
from quartet_audit.trees.tree_domain import leaf_hash

SCHEMAS = Path(__file__).parents[4]
LEAF = b"\x01 a leaf"
URL = "https://quartet.example/"
ID = "019a0000-0000-7000-8000-000000000001"
USER = "2819c223-7f76-453a-919d-413861904646"

BASE = {"activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid"}
"""Required of every event: events/base_event.json."""
CLASSES: dict[int, tuple[set[str], dict[int, str]]] = {
    # events/iam/account_change.json
    3001: (
        {"user"},
        {1: "Create", 2: "Enable", 3: "Password Change", 4: "Password Reset", 5: "Disable", 6: "Delete"},
    ),
    # events/iam/authentication.json; "service" by its constraint at_least_one
    3002: ({"user", "service"}, {1: "Logon", 2: "Logoff"}),
    # events/iam/entity_management.json
    3004: (
        {"entity"},
        {1: "Create", 2: "Read", 3: "Update", 4: "Delete", 8: "Enable", 9: "Disable", 12: "Suspend", 13: "Resume"},
    ),
    # events/iam/user_access.json
    3005: ({"privileges", "user"}, {1: "Assign Privileges", 2: "Revoke Privileges"}),
    # events/iam/group_management.json
    3006: (
        {"group"},
        {
            1: "Assign Privileges",
            2: "Revoke Privileges",
            3: "Add User",
            4: "Remove User",
            5: "Delete",
            6: "Create",
            7: "Add Subgroup",
            8: "Remove Subgroup",
        },
    ),
    # events/application/api_activity.json
    6003: ({"actor", "api", "src_endpoint"}, {1: "Create", 2: "Read", 3: "Update", 4: "Delete"}),
}
"""By class: the required attributes beside BASE, and the captions of the activities that are used."""
ATTRIBUTES = {
    *BASE,
    *("activity_name", "category_name", "class_name", "count", "end_time", "message", "severity", "start_time"),
    *("status", "status_detail", "status_id", "type_name", "unmapped"),  # events/base_event.json
    *("actor", "http_request", "http_response", "src_endpoint"),  # events/iam/iam.json, api_activity.json
    "attestation_list",  # profiles/record_integrity.json of the main branch
}
OF_CLASS = {
    3001: {"user"},
    3002: {"user", "service", "session"},
    3004: {"entity"},
    3005: {"user", "privileges", "resources"},
    3006: {"group", "user", "subgroup", "privileges", "resource"},
    6003: {"api", "resources"},
}
NAMED = {"user": ("name", "uid"), "entity": ("name", "uid"), "group": ("name", "uid"), "src_endpoint": ("ip", "name")}
"""Constraints at_least_one of objects/user.json, managed_entity.json, _entity.json, network_endpoint.json."""

LOGIN = {"userId": USER, "userName": "bjensen", "sessionId": "s1", "clientId": "app"}
FAILED = {
    "userId": None,
    "userName": "bjensen",
    "reason": "unknown_user",
    "count": 7,
    "first": "2026-01-31T09:00:00Z",
    "last": "2026-01-31T09:00:05.250Z",
}
REFUSED = {"status": 403, "reason": "insufficient_scope", "scope": "users:read", "method": "DELETE", "path": "/users/1"}
GRANT = {"id": "r1", "name": "Auditor", "grantee": USER, "granteeType": "User"}
GROUP = {"id": "g1", "displayName": "Staff", "externalId": None}
DATA: dict[str, dict[str, Any]] = {
    "users.login.succeeded": LOGIN,
    "users.login.failed": FAILED,
    "users.session.ended": {"id": "s1", "userId": USER, "clientId": "app", "reason": "logout"},
    "users.token.issued": {"clientId": "quartet-admin", "scopes": ["users:read"]},
    "users.role.granted": GRANT,
    "users.role.revoked": GRANT,
    "groups.membership.added": {**GROUP, "members": [{"value": USER, "type": "User"}]},
    "groups.nesting.added": {**GROUP, "groups": [{"value": "g2", "display": "Interns"}]},
    "request.refused": REFUSED,
    "request.limited": {**REFUSED, "status": 429},
}


def make_entry(action: str, data: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    """An entry as `/audit/events/{id}` returns it."""
    resources = {"users.login.succeeded": "sessions", "users.session.ended": "sessions", "users.role.granted": "roles"}
    resources |= {"users.role.revoked": "roles", "users.tenant.created": "tenants"}
    entry = {
        "id": ID,
        "sequence": 41,
        "time": "2026-01-31T09:00:00.250999Z",
        "tenant": "acme",
        "action": action,
        "recorded_time": "2026-01-31T09:00:01Z",
        "type": f"quartet.{action}.v1",
        "actor": "okta",
        "resource": {"type": resources.get(action, "users"), "id": USER},
        "outcome": "success",
        "trace_id": "4bf9",
        "actor_name": "Okta",
        "actor_type": "client",
        "resource_name": "Barbara",
        "source_address": "192.0.2.7",
        "user_agent": "curl/8",
        "data": data or {},
    }
    return {**entry, **members}


def erase(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry without its personal parts."""
    gone = dict.fromkeys(("actor_name", "actor_type", "resource_name", "source_address", "user_agent", "data"))
    erased = [
        {"part": part, "time": "2026-02-01T09:00:00Z", "request": ID}
        for part in ("actor", "changes", "resource", "source")
    ]
    return {**entry, **gone, "erased": erased}


def check(event: dict[str, Any]) -> None:
    """That an event has what its class requires, and nothing that the class does not know."""
    required, activities = CLASSES[event["class_uid"]]
    assert required | BASE <= set(event)
    assert set(event) <= ATTRIBUTES | OF_CLASS[event["class_uid"]]
    assert event["category_uid"] == event["class_uid"] // 1000
    assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
    if event["activity_id"] not in (0, 99):
        assert event["activity_name"] == activities[event["activity_id"]]
    assert event["status_id"] in (1, 2)
    assert event["severity_id"] in (1, 2)
    for name, names in NAMED.items():
        assert name not in event or any(event[name].get(one) for one in names), event[name]
    assert None not in list(values_of(event["metadata"])), "the schema knows no null"
    assert {"product", "version"} <= set(event["metadata"])  # objects/metadata.json
    assert all(isinstance(event[one], int) for one in ("time", "start_time", "end_time") if one in event)
    assert "http_response" not in event or isinstance(event["http_response"]["code"], int)


def values_of(value: Any) -> list[Any]:
    return [one for each in value.values() for one in values_of(each)] if isinstance(value, dict) else [value]


def event_of(action: str, data: dict[str, Any] | None = None, **members: Any) -> dict[str, Any]:
    event = ocsf_event(make_entry(action, data, **members), LEAF, URL)
    check(event)
    return event


def test_every_published_event_is_in_the_table() -> None:
    kinds = {path.stem.rpartition(".")[0] for path in SCHEMAS.glob("services/*/src/*/schemas/*.json")}
    kinds |= {path.stem.rpartition(".")[0] for path in SCHEMAS.glob("libs/common/src/quartet_common/schemas/*.json")}
    assert len(kinds) > 30
    assert kinds == set(ACTIVITIES)


@pytest.mark.parametrize("kind", ACTIVITIES)
@pytest.mark.parametrize("is_erased", [False, True])
def test_every_event_has_what_its_class_requires(kind: str, is_erased: bool) -> None:
    action = f"groups.{kind}" if kind in OF_EACH else kind
    entry = make_entry(action, DATA.get(kind, {"id": "1"}))
    event = ocsf_event(erase(entry) if is_erased else entry, LEAF, URL)
    check(event)
    assert event["activity_id"] == 99 or event["type_name"] == f"{event['class_name']}: {event['activity_name']}"
    assert ("erased" in event["unmapped"]) == is_erased


def test_no_value_is_made_up_for_what_was_erased() -> None:
    event = ocsf_event(erase(make_entry("groups.request.refused", REFUSED)), LEAF, URL)
    assert event["src_endpoint"] == {"name": ERASED}
    assert event["unmapped"] == {"erased": erase(make_entry("x"))["erased"]}
    assert event["actor"] == {"user": {"uid": "okta", "type_id": 0, "type": "Unknown"}}
    assert (event["activity_id"], event["resources"]) == (0, [{"uid": USER, "type": "users"}])
    assert not {"http_request", "http_response"} & set(event)
    login = ocsf_event(erase(make_entry("users.login.failed", FAILED)), LEAF, URL)
    assert login["user"] == {"name": ERASED, "type_id": 1, "type": "User"}
    grant = ocsf_event(erase(make_entry("users.role.granted", GRANT)), LEAF, URL)
    assert (grant["class_uid"], grant["entity"]["uid"]) == (3004, USER)


def test_an_address_that_was_never_recorded_is_not_called_erased() -> None:
    event = event_of("app.order.paid", source_address=None)
    assert event["src_endpoint"] == {"name": NOT_RECORDED}


def test_the_metadata_lead_back_to_the_entry() -> None:
    event = event_of("users.user.created")
    assert event["metadata"] == {
        "version": "1.8.0",
        "profiles": ["record_integrity"],
        "product": {"name": "Quartet", "vendor_name": "Quartet", "feature": {"name": "audit"}},
        "uid": ID,
        "event_code": "quartet.users.user.created.v1",
        "log_name": "quartet.example/audit/log/acme",
        "sequence": 41,
        "tenant_uid": "acme",
        "original_time": "2026-01-31T09:00:00.250999Z",
        "logged_time": 1_769_850_001_000,
        "correlation_uid": "4bf9",
    }
    assert event["time"] == 1_769_850_000_250


def test_the_profile_record_integrity_has_the_leaf_hash_and_the_place_of_the_proof() -> None:
    [attestation] = event_of("users.user.created")["attestation_list"]  # objects/attestation.json of the main branch
    assert attestation["uid"] == f"https://quartet.example/audit/events/{ID}/proof"
    assert attestation["chain_uid"] == "quartet.example/audit/log/acme"
    assert attestation["authority_uid"] == "quartet.example/audit/log"
    fingerprint = attestation["fingerprint"]  # objects/fingerprint.json: 3 is SHA-256, encoding 1 is Hex, 99 is Other
    assert (fingerprint["algorithm_id"], fingerprint["encoding_id"], fingerprint["serialization_id"]) == (3, 1, 99)
    assert bytes.fromhex(fingerprint["value"]) == leaf_hash(LEAF)


@pytest.mark.parametrize(
    ("data", "activity"),
    [
        ({"changed": ["active"], "active": False}, (5, "Disable")),
        ({"changed": ["active", "title"], "active": True}, (2, "Enable")),
        ({"changed": ["password"]}, (3, "Password Change")),
        ({"changed": ["password", "title"]}, (99, "Update")),
        ({"changed": ["title"]}, (99, "Update")),
        ({"changed": "active"}, (99, "Update")),
        ({}, (99, "Update")),
    ],
)
def test_an_update_of_a_user_is_what_has_changed(data: dict[str, Any], activity: tuple[int, str]) -> None:
    event = event_of("users.user.updated", data)
    assert (event["class_uid"], event["activity_id"], event["activity_name"]) == (3001, *activity)


def test_a_login_names_user_session_and_application() -> None:
    event = event_of("users.login.succeeded", LOGIN)
    assert (event["type_uid"], event["user"]["uid"], event["user"]["name"]) == (300201, USER, "bjensen")
    assert (event["session"], event["actor"]["app_uid"]) == ({"uid": USER}, "app")


def test_failed_logins_are_counted_with_their_times() -> None:
    event = event_of("users.login.failed", FAILED, outcome="denied")
    assert (event["count"], event["start_time"], event["end_time"]) == (7, 1_769_850_000_000, 1_769_850_005_250)
    assert (event["status_id"], event["severity_id"], event["status_detail"]) == (2, 2, "unknown_user")
    assert event["user"] == {"name": "bjensen", "type_id": 1, "type": "User"}


def test_a_role_is_granted_to_a_user_or_a_group() -> None:
    user, group = (event_of("users.role.granted", {**GRANT, "granteeType": kind}) for kind in ("User", "Group"))
    assert (user["type_uid"], user["user"]["uid"], user["privileges"]) == (300501, USER, ["Auditor"])
    assert (group["type_uid"], group["group"]["uid"], group["privileges"]) == (300601, USER, ["Auditor"])
    assert user["resources"][0]["type"] == group["resource"]["type"] == "roles"


def test_one_member_is_named_and_several_are_in_the_data() -> None:
    members = [{"value": str(number), "type": "User"} for number in range(2)]
    one, two = (event_of("groups.membership.added", {"members": members[:count]}) for count in (1, 2))
    assert (one["type_uid"], one["user"]["uid"]) == (300603, "0")
    assert "user" not in two
    assert two["unmapped"]["data"]["members"] == members


def test_a_refused_request_is_an_activity_by_its_method() -> None:
    event = event_of("groups.request.refused", REFUSED, outcome="denied")
    assert (event["type_uid"], event["http_response"], event["status"]) == (600304, {"code": 403}, "Failure")
    assert event["http_request"] == {"user_agent": "curl/8", "http_method": "DELETE", "url": {"path": "/users/1"}}
    assert event["api"] == {"operation": "groups.request.refused", "service": {"name": "groups"}}


def test_an_event_of_an_application_is_an_activity_of_its_own_name() -> None:
    event = event_of("app.com.example.order.paid", {"count": 3, "method": "DELETE", "data": {"paid": True}})
    assert (event["type_uid"], event["activity_name"]) == (600399, "app.com.example.order.paid")
    assert event["type_name"] == "API Activity: Other"
    assert "count" not in event


@pytest.mark.parametrize("kind", ACTIVITIES)
@pytest.mark.parametrize("odd", [7, [], [{}], {"a": 1}, "", True, None, 1.5])
def test_data_of_another_form_stops_no_export(kind: str, odd: Any) -> None:
    names = "changed active userName userId clientId reason grantee granteeType name members groups method path status"
    action = f"users.{kind}" if kind in OF_EACH else kind
    event_of(action, dict.fromkeys([*names.split(), "count", "first", "last", "displayName"], odd))


def test_lines_are_one_event_each() -> None:
    entries = [msgspec.json.encode(make_entry("users.user.created", sequence=number)) for number in range(3)]
    lines = ocsf_lines(entries, [LEAF] * 3, URL).splitlines()
    assert [json.loads(line)["metadata"]["sequence"] for line in lines] == [0, 1, 2]


def test_names_of_classes_are_those_of_the_schema() -> None:
    assert set(CLASS_NAMES) == set(CLASSES)
