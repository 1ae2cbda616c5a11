"""Requests with events of applications: the three forms of the HTTP binding of CloudEvents 1.0."""

import base64
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import unquote

import msgspec
from quart import request

from quartet_audit.applications.application_event_domain import (
    MAX_BYTES,
    ApplicationEvent,
    RefusedEventError,
    check_event,
    read_event,
)
from quartet_common.core.errors import BadRequestError, BodyTooLargeError, ServiceError
from quartet_common.core.offload import work_on
from quartet_common.core.validation_messages import describe

MAX_EVENTS = 1000
"""Events of one request."""
EVENT, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
PREFIX = "ce-"
"""The beginning of the names of headers with attributes (CloudEvents HTTP binding section 3.1.3)."""

Read = list[ApplicationEvent | RefusedEventError]

# A list, even one with a max_length, is read to its end before its length is checked: 8 MiB of zeros become 300 MiB. A
# struct in the form of an array ends the reading at its first element too many.
_ABSENT = msgspec.Raw()
_Batch = msgspec.defstruct(
    "_Batch",
    [(f"event{number}", msgspec.Raw, _ABSENT) for number in range(MAX_EVENTS)],
    array_like=True,
    forbid_unknown_fields=True,
)
_decode_batch = msgspec.json.Decoder(_Batch).decode


async def read_events(now: datetime) -> Read:
    """The events of the running request, or why one is refused; a single one that is refused raises.

    Raises BadRequestError (400), BodyTooLargeError (413) and ServiceError 415.
    """
    media_type = (request.content_type or "").partition(";")[0].strip().lower()
    is_binary = any(name.lower().startswith(PREFIX) for name, _ in request.headers)
    if media_type not in (EVENT, BATCH) and (not is_binary or media_type.startswith("application/cloudevents")):
        raise ServiceError(415, "unsupported_media_type", f"Send {EVENT}, {BATCH}, or one event with {PREFIX} headers.")
    body: bytes = await request.get_data(cache=False, as_text=False, parse_form_data=False)
    if media_type == BATCH:
        return await work_on(body, partial(read_batch, now=now))
    if len(body) > MAX_BYTES:
        raise BodyTooLargeError(MAX_BYTES)
    try:
        if media_type == EVENT:
            return [read_event(body, now)]
        return [check_event(_binary(list(request.headers), body), now)]
    except RefusedEventError as error:
        raise BadRequestError(str(error), "event_refused") from None


def read_batch(body: bytes, now: datetime) -> Read:
    """The events of a batch in JSON, or why one is refused. Raises BadRequestError (400)."""
    try:
        elements = [one for one in msgspec.structs.astuple(_decode_batch(body)) if one is not _ABSENT]
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadRequestError(describe(error), "bad_body") from None
    if not elements:
        raise BadRequestError(f"A batch has 1 to {MAX_EVENTS} events, got none.", "bad_body")
    return [_read_element(bytes(one), now) for one in elements]


def _read_element(element: bytes, now: datetime) -> ApplicationEvent | RefusedEventError:
    try:
        return read_event(element, now)
    except RefusedEventError as error:
        return error


def _binary(headers: list[tuple[str, str]], body: bytes) -> dict[str, Any]:
    """The attributes of an event in binary mode, as the JSON format has them. Raises RefusedEventError."""
    found: dict[str, Any] = {}
    for name, value in headers:
        attribute = name.lower().removeprefix(PREFIX)
        if not name.lower().startswith(PREFIX):
            continue
        if attribute in found or attribute in ("data", "data_base64", "datacontenttype"):
            raise RefusedEventError(f"The header {name} is not allowed, or not more than once.")
        found[attribute] = unquote(value)
    content_type = {name.lower(): value for name, value in headers}.get("content-type")
    return {**found, **({"datacontenttype": content_type} if content_type else {}), **_content(content_type, body)}


def _content(content_type: str | None, body: bytes) -> Mapping[str, Any]:
    """The body as a member of the JSON format (section 3.1.1): JSON, a text, or base64."""
    if not body:
        return {}
    media_type = (content_type or "application/json").partition(";")[0].strip().lower()
    if media_type.endswith(("/json", "+json")):
        try:
            return {"data": msgspec.json.decode(body)}
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise RefusedEventError("The body is not valid JSON, as its Content-Type says.") from None
    if media_type.startswith("text/"):
        try:
            return {"data": body.decode()}
        except UnicodeDecodeError:
            pass
    return {"data_base64": base64.b64encode(body).decode()}
