"""Answers and bodies of events of applications, from which OpenAPI is made."""

from typing import Any, Literal

from msgspec import Struct


class CloudEvent(Struct, frozen=True, kw_only=True):
    """A CloudEvent (CloudEvents 1.0) in JSON; a batch is an array of them. Extensions are further members."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    subject: str | None = None
    time: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    outcome: Literal["success", "denied"] = "success"
    data: Any = None
    data_base64: str | None = None


class Receipt(Struct, frozen=True, omit_defaults=True):
    """What became of one event: `event` is the id of its entry; `reason` says why it was refused."""

    status: Literal["accepted", "duplicate", "refused"]
    event: str | None = None
    reason: str | None = None


class Receipts(Struct, frozen=True):
    """What became of all events, in their order."""

    accepted: int
    duplicates: int
    refused: int
    events: list[Receipt]
