"""Which class and activity of OCSF 1.8.0 each event is (github.com/ocsf/ocsf-schema, tag 1.8.0).

One table, ACTIVITIES, says it for each event of docs/events.md; docs/audit-formats.md ("OCSF") explains it.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

ACCOUNT, AUTHENTICATION, ENTITY, USER_ACCESS, GROUP, API = 3001, 3002, 3004, 3005, 3006, 6003
CLASS_NAMES = {
    ACCOUNT: "Account Change",
    AUTHENTICATION: "Authentication",
    ENTITY: "Entity Management",
    USER_ACCESS: "User Access Management",
    GROUP: "Group Management",
    API: "API Activity",
}
CATEGORY_NAMES = {3: "Identity & Access Management", 6: "Application Activity"}
UNKNOWN, OTHER = 0, 99
"""Numbers that every enumeration of OCSF has."""


class Activity(NamedTuple):
    """What an event is: the class, and the number and name of the activity, which are the event's own for OTHER."""

    class_uid: int
    id: int
    name: str


ACTIVITIES = {
    "users.user.created": Activity(ACCOUNT, 1, "Create"),
    "users.user.updated": Activity(ACCOUNT, OTHER, "Update"),  # or one of CHANGES_OF_ACCOUNTS
    "users.user.deleted": Activity(ACCOUNT, 6, "Delete"),
    "users.tenant.created": Activity(ENTITY, 1, "Create"),
    "users.tenant.updated": Activity(ENTITY, 3, "Update"),
    "users.tenant.suspended": Activity(ENTITY, 12, "Suspend"),
    "users.tenant.resumed": Activity(ENTITY, 13, "Resume"),
    "users.tenant.restored": Activity(ENTITY, 1, "Create"),
    "users.tenant.deleted": Activity(ENTITY, 4, "Delete"),
    "users.login.succeeded": Activity(AUTHENTICATION, 1, "Logon"),
    "users.login.failed": Activity(AUTHENTICATION, 1, "Logon"),
    "users.session.ended": Activity(AUTHENTICATION, 2, "Logoff"),
    "users.token.issued": Activity(AUTHENTICATION, 1, "Logon"),
    "users.token.revoked": Activity(ENTITY, 9, "Disable"),
    "users.client.created": Activity(ENTITY, 1, "Create"),
    "users.client.updated": Activity(ENTITY, 3, "Update"),
    "users.client.deleted": Activity(ENTITY, 4, "Delete"),
    "users.client.secret_created": Activity(ENTITY, 3, "Update"),
    "users.client.secret_revoked": Activity(ENTITY, 3, "Update"),
    "users.schema.created": Activity(ENTITY, 1, "Create"),
    "users.schema.deleted": Activity(ENTITY, 4, "Delete"),
    "users.scim_token.created": Activity(ENTITY, 1, "Create"),
    "users.scim_token.revoked": Activity(ENTITY, 9, "Disable"),
    "users.origin.added": Activity(ENTITY, 1, "Create"),
    "users.origin.removed": Activity(ENTITY, 4, "Delete"),
    "users.key.rotated": Activity(ENTITY, 3, "Update"),
    "users.role.created": Activity(ENTITY, 1, "Create"),
    "users.role.updated": Activity(ENTITY, 3, "Update"),
    "users.role.deleted": Activity(ENTITY, 4, "Delete"),
    "users.role.granted": Activity(ENTITY, 3, "Update"),  # or one of GRANTS, unless it is erased to whom
    "users.role.revoked": Activity(ENTITY, 3, "Update"),
    "groups.group.created": Activity(GROUP, 6, "Create"),
    "groups.group.updated": Activity(GROUP, OTHER, "Update"),
    "groups.group.deleted": Activity(GROUP, 5, "Delete"),
    "groups.membership.added": Activity(GROUP, 3, "Add User"),
    "groups.membership.removed": Activity(GROUP, 4, "Remove User"),
    "groups.nesting.added": Activity(GROUP, 7, "Add Subgroup"),
    "groups.nesting.removed": Activity(GROUP, 8, "Remove Subgroup"),
    "audit.data.exported": Activity(ENTITY, 2, "Read"),
    "audit.log.read": Activity(API, 2, "Read"),
    "audit.erasure.requested": Activity(ENTITY, 1, "Create"),
    "audit.erasure.completed": Activity(ENTITY, 3, "Update"),
    "audit.key.rotated": Activity(ENTITY, 3, "Update"),
    "audit.stream.created": Activity(ENTITY, 1, "Create"),
    "audit.stream.updated": Activity(ENTITY, 3, "Update"),
    "audit.stream.paused": Activity(ENTITY, 12, "Suspend"),
    "audit.stream.resumed": Activity(ENTITY, 13, "Resume"),
    "audit.stream.replayed": Activity(ENTITY, 3, "Update"),
    "audit.stream.deleted": Activity(ENTITY, 4, "Delete"),
    "audit.retention.changed": Activity(ENTITY, 3, "Update"),
    "audit.retention.applied": Activity(ENTITY, 4, "Delete"),
    "audit.legal_hold.set": Activity(ENTITY, 1, "Create"),
    "audit.legal_hold.released": Activity(ENTITY, 4, "Delete"),
    "metrics.alert_rule.created": Activity(ENTITY, 1, "Create"),
    "metrics.alert_rule.updated": Activity(ENTITY, 3, "Update"),
    "metrics.alert_rule.deleted": Activity(ENTITY, 4, "Delete"),
    "metrics.alert.fired": Activity(ENTITY, OTHER, "Fire"),
    "metrics.alert.resolved": Activity(ENTITY, OTHER, "Resolve"),
    "metrics.drift.detected": Activity(ENTITY, OTHER, "Detect"),
    "metrics.drift.repaired": Activity(ENTITY, 3, "Update"),
    "request.refused": Activity(API, UNKNOWN, "Unknown"),  # or one of METHODS
    "request.limited": Activity(API, UNKNOWN, "Unknown"),
    "job.created": Activity(ENTITY, 1, "Create"),
    "job.cancelled": Activity(ENTITY, 3, "Update"),
    "job.ended": Activity(ENTITY, 3, "Update"),
    "logging.failed": Activity(ENTITY, OTHER, "Fail"),
    "logging.recovered": Activity(ENTITY, OTHER, "Recover"),
    "consumer.paused": Activity(ENTITY, 12, "Suspend"),
    "consumer.resumed": Activity(ENTITY, 13, "Resume"),
    "dead_letter.discarded": Activity(ENTITY, 4, "Delete"),
    "redrive.created": Activity(ENTITY, 1, "Create"),
    "redrive.finished": Activity(ENTITY, OTHER, "Finish"),
    "redrive.cancelled": Activity(ENTITY, OTHER, "Cancel"),
    "data.archived": Activity(ENTITY, 2, "Read"),
}
"""By action. Every other entry, as those of applications, is API Activity: Other, named by its action."""

CHANGES_OF_ACCOUNTS = {
    "enable": Activity(ACCOUNT, 2, "Enable"),
    "disable": Activity(ACCOUNT, 5, "Disable"),
    "password": Activity(ACCOUNT, 3, "Password Change"),
}
GRANTS = {
    ("users.role.granted", "User"): Activity(USER_ACCESS, 1, "Assign Privileges"),
    ("users.role.revoked", "User"): Activity(USER_ACCESS, 2, "Revoke Privileges"),
    ("users.role.granted", "Group"): Activity(GROUP, 1, "Assign Privileges"),
    ("users.role.revoked", "Group"): Activity(GROUP, 2, "Revoke Privileges"),
}
METHODS = {
    "POST": Activity(API, 1, "Create"),
    "GET": Activity(API, 2, "Read"),
    "HEAD": Activity(API, 2, "Read"),
    "PUT": Activity(API, 3, "Update"),
    "PATCH": Activity(API, 3, "Update"),
    "DELETE": Activity(API, 4, "Delete"),
}
OF_EACH = (
    *("request.refused", "request.limited", "logging.failed", "logging.recovered", "data.archived"),
    *("job.created", "job.cancelled", "job.ended"),
    *("consumer.paused", "consumer.resumed"),
    *("dead_letter.discarded", "redrive.created", "redrive.finished", "redrive.cancelled"),
)
"""Events of each service: in the table without its name."""
COUNTED = ("users.login.failed", "audit.log.read", "request.refused", "request.limited")
"""Events that may stand for many, with `count`, `first` and `last`."""


def activity_of(kind: str, data: Mapping[str, Any]) -> Activity:
    """What an event is, also by its data: which attribute of a user changed, who got a role, which method was used."""
    usual = ACTIVITIES.get(kind, Activity(API, OTHER, kind))
    if kind == "users.user.updated":
        changed = data.get("changed")
        if isinstance(changed, list) and "active" in changed:
            return CHANGES_OF_ACCOUNTS["enable" if data.get("active") is True else "disable"]
        return CHANGES_OF_ACCOUNTS["password"] if changed == ["password"] else usual
    if kind in ("users.role.granted", "users.role.revoked") and _text(data, "grantee") and _text(data, "name"):
        return GRANTS.get((kind, _text(data, "granteeType")), usual)
    if usual.class_uid == API and kind in COUNTED:
        return METHODS.get(_text(data, "method"), usual)
    return usual


@lru_cache(maxsize=1024)
def classification(activity: Activity) -> dict[str, Any]:
    """The members that say what an event is."""
    class_name, category = CLASS_NAMES[activity.class_uid], activity.class_uid // 1000
    return {
        "category_uid": category,
        "category_name": CATEGORY_NAMES[category],
        "class_uid": activity.class_uid,
        "class_name": class_name,
        "activity_id": activity.id,
        "activity_name": activity.name,
        "type_uid": activity.class_uid * 100 + activity.id,
        "type_name": f"{class_name}: {'Other' if activity.id == OTHER else activity.name}",
    }


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    return value if isinstance(value, str) else ""
