"""Parses the body of a PATCH into operations (RFC 7644 3.5.2), without schemas."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from quartet_scim.errors import ScimError, ScimType, invalid_syntax
from quartet_scim.message_members import lower_names, require_schema
from quartet_scim.value_conversion import WrongValueError

PATCH_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
MAX_OPERATIONS = 1_000
MAX_PATH_CHARACTERS = 4_096


class Op(StrEnum):
    """The kind of an operation."""

    ADD = "add"
    REPLACE = "replace"
    REMOVE = "remove"


_OPS: Mapping[str, Op] = {op.value: op for op in Op}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: index in the message, from 0; path None for the resource itself; value None for null or none.

    names_value: whether the operation has a `value`, be it null. To remove without one is to remove everything.
    """

    op: Op
    path: str | None
    value: Any = field(repr=False)
    index: int
    names_value: bool = True


def operation_error(index: int, wrong: WrongValueError | ScimError) -> ScimError:
    """The error with the index of the operation, the attribute and the problem, without values."""
    detail = wrong.detail if isinstance(wrong, ScimError) else f"{wrong.path} {wrong.problem}."
    return ScimError(400, f"Operations[{index}]: {detail}", wrong.scim_type)


def parse_patch(body: Mapping[str, Any]) -> list[Operation]:
    """The operations of a PatchOp message, in order; names and `op` may be of any case, `Operations` a single object.

    `schemas` may be missing, as some clients send it; what it says must be right.

    Raises ScimError 400 with the operation's index: invalidSyntax for what is no PatchOp of 1 to 1,000 operations,
    invalidPath for a path that is no text of at most 4,096 characters, invalidValue for an add or replace without
    `value`, noTarget for a remove without `path`.
    """
    message = lower_names(body, "The message")
    if message.get("schemas") is not None:
        require_schema(message["schemas"], PATCH_SCHEMA)
    sent = message.get("operations")
    operations = [sent] if isinstance(sent, dict) else sent
    if not isinstance(operations, list) or not 1 <= len(operations) <= MAX_OPERATIONS:
        raise invalid_syntax(f"Operations must be a list of 1 to {MAX_OPERATIONS} operations.")
    return [_operation(index, one) for index, one in enumerate(operations)]


def _operation(index: int, sent: object) -> Operation:
    where = f"Operations[{index}]"
    if not isinstance(sent, dict):
        raise invalid_syntax(f"{where} must be an object.")
    members = lower_names(sent, where)
    word = members.get("op")
    op = _OPS.get(word.lower()) if isinstance(word, str) else None
    if op is None:
        raise invalid_syntax(f"{where}: op must be add, replace or remove.")
    path = _path(where, members.get("path"))
    if op is Op.REMOVE and path is None:
        raise _wrong(where, "a remove needs a path", "noTarget")
    if op is not Op.REMOVE and "value" not in members:
        raise _wrong(where, f"{'an add' if op is Op.ADD else 'a replace'} needs a value", "invalidValue")
    value = members.get("value")
    return Operation(op, path, sole(value) if path is None else value, index, "value" in members)


def sole(value: Any) -> Any:
    """The object in a list of one element; other values unchanged."""
    return value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) else value


def _path(where: str, path: object) -> str | None:
    if path is None:
        return None
    if not isinstance(path, str) or len(path) > MAX_PATH_CHARACTERS:
        raise _wrong(where, f"path must be a string of at most {MAX_PATH_CHARACTERS} characters", "invalidPath")
    return path.strip() or None


def _wrong(where: str, problem: str, scim_type: ScimType) -> ScimError:
    return ScimError(400, f"{where}: {problem}.", scim_type)
