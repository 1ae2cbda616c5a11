"""Parses the body of a Bulk request into operations (RFC 7644 3.7); an invalid operation has its error as `fault`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from quartet_scim.errors import ScimError, invalid_syntax, invalid_value
from quartet_scim.message_members import lower_names, require_schema
from quartet_scim.patch import PATCH_SCHEMA

BULK_REQUEST_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
MAX_OPERATIONS = 1_000
ROOT = "/scim/v2"
"""The prefix that some clients send in paths."""


class Method(StrEnum):
    """The method of an operation."""

    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"
    DELETE = "DELETE"


_METHODS: Mapping[str, Method] = {method.value: method for method in Method}


@dataclass(frozen=True, slots=True)
class BulkOperation:
    """One operation as sent: index in the message, from 0; `endpoint` such as `/Users`; `target` what follows it.

    `fault` is why it cannot be carried out, whatever the other operations do; what could not be read is None then.
    """

    index: int
    method: Method | None = None
    endpoint: str | None = None
    target: str | None = None
    bulk_id: str | None = None
    version: str | None = None
    data: Any = field(default=None, repr=False)
    fault: ScimError | None = None


@dataclass(frozen=True, slots=True)
class BulkRequest:
    """A parsed request: its operations in order, and the number of errors at which to stop, None for no limit."""

    operations: list[BulkOperation]
    fail_on_errors: int | None


def parse_bulk(body: Mapping[str, Any], endpoints: Collection[str]) -> BulkRequest:
    """The operations of a BulkRequest on `endpoints`; names and methods may be of any case.

    Raises ScimError 400 for what is no BulkRequest of at least one operation, 413 for more than 1,000 (3.7.4). Whatever
    is wrong with one operation alone is its `fault`: that is no reason to refuse the others.
    """
    message = lower_names(body, "The message")
    require_schema(message.get("schemas"), BULK_REQUEST_SCHEMA)
    sent = message.get("operations")
    operations = [sent] if isinstance(sent, dict) else sent
    if not isinstance(operations, list) or not operations:
        raise invalid_syntax("Operations must be a list of operations.")
    if len(operations) > MAX_OPERATIONS:
        raise ScimError(413, f"The number of operations exceeds maxOperations ({MAX_OPERATIONS}).")
    limit = _fail_on_errors(message.get("failonerrors"))
    return BulkRequest([_operation(index, one, endpoints) for index, one in enumerate(operations)], limit)


def _fail_on_errors(value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise invalid_value("failOnErrors must be a whole number from 1, or 0 for no limit.")
    return value or None


def _operation(index: int, sent: object, endpoints: Collection[str]) -> BulkOperation:
    """The operation with all valid fields, so that its result can identify it also if it is invalid."""
    if not isinstance(sent, dict):
        return BulkOperation(index, fault=invalid_syntax("An operation must be an object."))
    try:
        members = lower_names(sent, "The operation")
    except ScimError as fault:
        return BulkOperation(index, fault=fault)
    word, path, bulk_id = members.get("method"), members.get("path"), members.get("bulkid")
    method = _METHODS.get(word.upper()) if isinstance(word, str) else None
    endpoint, target = _split(path, endpoints) if isinstance(path, str) else (None, None)
    return BulkOperation(
        index,
        method,
        endpoint,
        target,
        bulk_id if isinstance(bulk_id, str) and bulk_id else None,
        members.get("version") if isinstance(members.get("version"), str) else None,
        _data(method, members.get("data")),
        _fault(members, method, endpoint, target, endpoints),
    )


def _split(path: str, endpoints: Collection[str]) -> tuple[str | None, str | None]:
    """`/Users/1` as `/Users` and `1`; no endpoint if it is not one of `endpoints`."""
    relative = "/" + path.strip().removeprefix(ROOT + "/").strip("/")
    endpoint, _, target = relative[1:].partition("/")
    known = f"/{endpoint}"
    return (known, target or None) if known in endpoints else (None, None)


def _data(method: Method | None, data: Any) -> Any:
    # an example of the RFC (3.7.3) sends the operations of a PATCH as a list
    return (
        {"schemas": [PATCH_SCHEMA], "Operations": data} if method is Method.PATCH and isinstance(data, list) else data
    )


def _fault(
    members: Mapping[str, Any],
    method: Method | None,
    endpoint: str | None,
    target: str | None,
    endpoints: Collection[str],
) -> ScimError | None:
    if method is None:
        return invalid_syntax("method must be POST, PUT, PATCH or DELETE.")
    wrong_path = _path_fault(method, endpoint, target, endpoints)
    if wrong_path is not None:
        return ScimError(400, wrong_path, "invalidPath")
    if method is not Method.DELETE and not isinstance(members.get("data"), dict | list):
        return invalid_syntax(f"A {method} needs data, an object.")
    if not isinstance(members.get("bulkid"), str | None) or members.get("bulkid") == "":
        return invalid_value("bulkId must be a string.")
    if not isinstance(members.get("version"), str | None):
        return ScimError(400, 'version must be a string such as W/"1".', "invalidVers")
    return None


def _path_fault(method: Method, endpoint: str | None, target: str | None, endpoints: Collection[str]) -> str | None:
    if endpoint is None:
        known = " or ".join(sorted(endpoints))
        return f"path must be {known}, followed by an id for all methods but POST."
    if method is Method.POST and target is not None:
        return f"The path of a POST must be {endpoint}, without an id: the server assigns it."
    if method is not Method.POST and (target is None or "/" in target):
        return f"path must name the resource, as in {endpoint}/{{id}}."
    return None
