"""OCSF: entries as events of the Open Cybersecurity Schema Framework 1.8.0 (github.com/ocsf/ocsf-schema, tag 1.8.0).

`ocsf_activity_domain.py` says what each event is; docs/audit-formats.md ("OCSF") explains it.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from quartet_audit.checkpoints.checkpoint_domain import deployment_origin, tenant_origin
from quartet_audit.exports.ocsf_activity_domain import (
    ACCOUNT,
    API,
    AUTHENTICATION,
    COUNTED,
    ENTITY,
    GROUP,
    OF_EACH,
    OTHER,
    UNKNOWN,
    USER_ACCESS,
    activity_of,
    classification,
)
from quartet_audit.leaves.leaf_domain import EPOCH
from quartet_audit.trees.tree_domain import leaf_hash
from quartet_common.messaging.event_types import APPLICATION

VERSION = "1.8.0"
PROFILE = "record_integrity"
"""Not in 1.8.0: it is taken from the schema's main branch (profiles/record_integrity.json), for 1.9.0."""
PRODUCT = "Quartet"

USER_TYPES = {
    "user": (1, "User"),
    "service": (3, "System"),
    "client": (4, "Service"),
    "anonymous": (OTHER, "anonymous"),
}
ERASED, NOT_RECORDED = "(erased)", "(not recorded)"
"""Names of what a class requires, where there is no value."""

MILLISECOND = timedelta(milliseconds=1)

Values = Mapping[str, Any]
Document = dict[str, Any]

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


def ocsf_lines(entries: Iterable[bytes], leaves: Iterable[bytes], public_url: str) -> bytes:
    """A line for each of `entries`, which are JSON."""
    return b"".join([ocsf_json(entry, leaf, public_url) + b"\n" for entry, leaf in zip(entries, leaves, strict=True)])


def ocsf_json(entry: bytes, leaf: bytes, public_url: str) -> bytes:
    """The OCSF event of an entry as JSON, of its JSON and its leaf."""
    return _encode(ocsf_event(_decode(entry), leaf, public_url))


def ocsf_event(entry: Values, leaf: bytes, public_url: str) -> Document:
    """The OCSF event of an entry, given as `GET /audit/events/{id}` returns it, and its leaf.

    Attributes whose values were erased are missing; `unmapped.erased` says which parts they were in.
    """
    action: str = entry["action"]
    data: Values = entry["data"] or {}
    service, _, rest = action.partition(".")
    kind = rest if rest in OF_EACH and service != APPLICATION else action
    activity, log = activity_of(kind, data), tenant_origin(public_url, entry["tenant"])
    is_denied = entry["outcome"] != "success"
    event = {
        **classification(activity),
        "severity_id": 2 if is_denied else 1,
        "severity": "Low" if is_denied else "Informational",
        "status_id": 2 if is_denied else 1,
        "status": "Failure" if is_denied else "Success",
        "time": _milliseconds(entry["time"]),
        "message": f"{action} {entry['resource']['type']}/{entry['resource']['id']}",
        "metadata": _metadata(entry, log),
        "actor": _actor(entry, data, activity.class_uid),
        **_request(entry, data, kind),
        **_SUBJECTS[activity.class_uid](entry, data),
        "unmapped": _present({"data": entry["data"], "erased": entry.get("erased")}),
        "attestation_list": [_attestation(entry, leaf, log, public_url)],
    }
    if kind in COUNTED:
        event |= _occurrence(data)
    return event


def _metadata(entry: Values, log: str) -> Document:
    return _present(
        {
            "version": VERSION,
            "profiles": [PROFILE],
            "product": {"name": PRODUCT, "vendor_name": PRODUCT, "feature": {"name": "audit"}},
            "uid": entry["id"],
            "event_code": entry["type"],
            "log_name": log,
            "sequence": entry["sequence"],
            "tenant_uid": entry["tenant"],
            "original_time": entry["time"],
            "logged_time": _milliseconds(entry["recorded_time"]),
            "correlation_uid": entry["trace_id"],
        }
    )


def _attestation(entry: Values, leaf: bytes, log: str, public_url: str) -> Document:
    """The leaf hash, and where its proof is (main branch of the schema, objects/attestation.json)."""
    return {
        "uid": f"{public_url.rstrip('/')}/audit/events/{entry['id']}/proof",
        "authority_uid": deployment_origin(public_url),
        "chain_uid": log,
        "fingerprint": {
            "algorithm_id": 3,
            "algorithm": "SHA-256",
            "value": leaf_hash(leaf).hex(),
            "encoding_id": 1,
            "encoding": "Hex",
            "serialization_id": OTHER,
            "serialization": "leaf of a Quartet audit log, RFC 9162 section 2.1.1",
        },
    }


def _actor(entry: Values, data: Values, class_uid: int) -> Document:
    client = _text(data, "clientId") if class_uid == AUTHENTICATION else None
    type_id, type_ = USER_TYPES.get(entry["actor_type"], (UNKNOWN, "Unknown"))
    user = _present({"uid": entry["actor"], "name": entry["actor_name"], "type_id": type_id, "type": type_})
    return _present({"user": user, "app_uid": client})


def _request(entry: Values, data: Values, kind: str) -> Document:
    """Where the request came from, and what of it is known."""
    request = {"user_agent": entry["user_agent"]}
    code = None
    if kind in ("request.refused", "request.limited"):
        path = _text(data, "path")
        request |= {"http_method": _text(data, "method"), "url": None if path is None else {"path": path}}
        code = _number(data, "status")
    address = entry["source_address"]
    return _present(
        {
            "src_endpoint": None if address is None else {"ip": address},
            "http_request": _present(request) or None,
            "http_response": None if code is None else {"code": code},
        }
    )


def _of_account(entry: Values, data: Values) -> Document:
    name = _text(data, "userName") or entry["resource_name"]
    user = {"uid": entry["resource"]["id"], "name": name, "type_id": 1, "type": "User"}
    return {"user": _present(user | {"display_name": _text(data, "displayName")})}


def _of_authentication(entry: Values, data: Values) -> Document:
    is_client = entry["action"] == "users.token.issued"
    user = _present(
        {
            "uid": _text(data, "clientId" if is_client else "userId"),
            "name": _text(data, "userName") or entry["resource_name"],
        }
    )
    type_id, type_ = USER_TYPES["client" if is_client else "user"]
    resource = entry["resource"]
    return _present(
        {
            "user": {**(user or {"name": _missing(entry, "changes")}), "type_id": type_id, "type": type_},
            "service": {"name": PRODUCT},
            "session": {"uid": resource["id"]} if resource["type"] == "sessions" else None,
            "status_detail": _text(data, "reason"),
        }
    )


def _of_entity(entry: Values, _: Values) -> Document:
    resource = entry["resource"]
    type_id, type_ = (4, "Organization") if resource["type"] == "tenants" else (OTHER, resource["type"])
    entity = {"uid": resource["id"], "name": entry["resource_name"], "type_id": type_id, "type": type_}
    return {"entity": _present(entity)}


def _of_user_access(entry: Values, data: Values) -> Document:
    user = {"uid": data["grantee"], "type_id": 1, "type": "User"}
    return {"user": user, "privileges": [data["name"]], "resources": [_resource(entry)]}


def _of_group(entry: Values, data: Values) -> Document:
    """With the one user or subgroup that the event is about; if it is about several, they are in `unmapped.data`."""
    if entry["resource"]["type"] == "roles":
        return {"group": {"uid": data["grantee"]}, "privileges": [data["name"]], "resource": _resource(entry)}
    user, subgroup = _only(data, "members"), _only(data, "groups")
    return _present(
        {
            "group": _present({"uid": entry["resource"]["id"], "name": entry["resource_name"]}),
            "user": user and {"uid": user["value"], "type_id": 1, "type": "User"},
            "subgroup": subgroup and _present({"uid": subgroup["value"], "name": _text(subgroup, "display")}),
        }
    )


def _of_api(entry: Values, _: Values) -> Document:
    action = entry["action"]
    found: Document = {
        "api": {"operation": action, "service": {"name": action.partition(".")[0]}},
        "resources": [_resource(entry)],
    }
    if entry["source_address"] is None:
        found["src_endpoint"] = {"name": _missing(entry, "source")}
    return found


_SUBJECTS: dict[int, Callable[[Values, Values], Document]] = {
    ACCOUNT: _of_account,
    AUTHENTICATION: _of_authentication,
    ENTITY: _of_entity,
    USER_ACCESS: _of_user_access,
    GROUP: _of_group,
    API: _of_api,
}
"""What each class says of the thing that the event is about."""


def _occurrence(data: Values) -> Document:
    times = {"start_time": _milliseconds(_text(data, "first")), "end_time": _milliseconds(_text(data, "last"))}
    return _present({"count": _number(data, "count"), **times})


def _resource(entry: Values) -> Document:
    resource = entry["resource"]
    return _present({"uid": resource["id"], "type": resource["type"], "name": entry["resource_name"]})


def _missing(entry: Values, part: str) -> str:
    """The name of what a class requires and the entry does not have."""
    return ERASED if any(one["part"] == part for one in entry.get("erased") or ()) else NOT_RECORDED


def _only(data: Values, name: str) -> Values | None:
    """The one object of a list of objects with a `value`, if it has just one."""
    items = data.get(name)
    if isinstance(items, list) and len(items) == 1 and isinstance(items[0], dict) and _text(items[0], "value"):
        return items[0]
    return None


def _text(values: Values, name: str) -> str | None:
    value = values.get(name)
    return value if isinstance(value, str) and value else None


def _number(values: Values, name: str) -> int | None:
    value = values.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _milliseconds(text: str | None) -> int | None:
    """An RFC 3339 time as milliseconds since 1970; None if it is none."""
    try:
        return None if text is None else (datetime.fromisoformat(text) - EPOCH) // MILLISECOND
    except (ValueError, TypeError):
        return None


def _present(values: Values) -> Document:
    return {name: value for name, value in values.items() if value is not None}
