"""Bodies: size limits of routes, and parsing of JSON and forms."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from quart import request
from werkzeug.datastructures import MultiDict

from quartet_common.core.errors import BadRequestError, ServiceError
from quartet_common.core.validation_messages import describe
from quartet_serving.percent import parse_form

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MAX_FORM_FIELDS = 50

SMALL_BODY = 16 * 1024
"""Maximum size of a body, in bytes, of a route without a declared limit."""
ANY_SIZE = 2**40
"""For `takes`: only QUARTET_MAX_BODY_BYTES limits the body."""
LIMIT_ATTRIBUTE = "quartet_max_body"


def takes(max_bytes: int | Callable[[], int]) -> Callable[[F], F]:
    """Mark a view as one that takes bodies of up to `max_bytes`; the default is SMALL_BODY.

    A function returns a limit that depends on the configuration of the running app.
    QUARTET_MAX_BODY_BYTES applies too. A larger body is refused with 413 before it is read.
    """

    def mark(view: F) -> F:
        setattr(view, LIMIT_ATTRIBUTE, max_bytes)
        return view

    return mark


def body_limit(view: Callable[..., Any]) -> int:
    """Maximum size of the body of a request to `view` in the running app; looks through wrappers."""
    limit: int | Callable[[], int] = getattr(view, LIMIT_ATTRIBUTE, SMALL_BODY)
    return limit() if callable(limit) else limit


async def read_json(kind: type[T]) -> T:
    """The body as a `kind`, decoded by msgspec.

    Raises ServiceError 415 unless the media type is JSON, which forms of other sites cannot send, and BadRequestError
    (400) with the error and its place.
    """
    sent = await read_json_bytes()
    try:
        return msgspec.json.decode(sent, type=kind)
    except (
        msgspec.MsgspecError,
        ValueError,
        RecursionError,
    ) as error:  # ValueError: invalid UTF-8; RecursionError: too deep
        raise BadRequestError(describe(error), "bad_body") from None


async def read_json_bytes() -> bytes:
    """The body of a JSON request, not decoded. Raises ServiceError 415."""
    media_type = (request.content_type or "").partition(";")[0].strip().lower()
    if media_type != JSON:
        raise ServiceError(415, "unsupported_media_type", f"The body must be {JSON}.")
    sent: bytes = await request.get_data(cache=False, as_text=False, parse_form_data=False)
    return sent


async def read_form() -> MultiDict[str, str]:
    """The fields of a urlencoded form, as OAuth sends them; empty for a body of another kind.

    Raises BodyTooLargeError (413), BadRequestError (400, `invalid_request`) beyond MAX_FORM_FIELDS.
    """
    sent: bytes = await request.get_data(cache=False, as_text=False, parse_form_data=False)
    if (request.content_type or "").partition(";")[0].strip().lower() != FORM:
        return MultiDict()
    if sent.count(b"&") >= MAX_FORM_FIELDS:
        raise BadRequestError(f"A form may have at most {MAX_FORM_FIELDS} fields.", "invalid_request")
    return MultiDict(parse_form(sent))
