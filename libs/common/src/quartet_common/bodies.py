"""Bodies: reads the JSON object of a request to our own APIs as what it has to be."""

from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec
from quart import request
from werkzeug.datastructures import MultiDict

from quartet_common.errors import BadRequestError, ServiceError

T = TypeVar("T")

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MAX_FORM_BYTES = 64 * 1024
MAX_FORM_FIELDS = 50


async def read_json(kind: type[T]) -> T:
    """The body as a `kind`, which msgspec can read.

    Raises ServiceError 415 unless the request says that it is JSON, so that no form of another site can send it, and
    BadRequestError (400), which names what is wrong and where.
    """
    sent = await read_json_bytes()
    try:
        return msgspec.json.decode(sent, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # no UTF-8 is a ValueError, too deep the other
        raise BadRequestError(f"The body cannot be read: {error}.", "bad_body") from None


async def read_json_bytes() -> bytes:
    """The body of a request that says that it is JSON, for whoever reads it elsewhere. Raises ServiceError 415."""
    media_type = (request.content_type or "").partition(";")[0].strip().lower()
    if media_type != JSON:
        raise ServiceError(415, "unsupported_media_type", f"The body must be {JSON}.")
    sent: bytes = await request.get_data(cache=False, as_text=False, parse_form_data=False)
    return sent


async def read_form() -> MultiDict[str, str]:
    """The fields of a urlencoded form, as OAuth sends them; empty for a body of another kind. Anybody can send one, so
    it is small: parsing what fills the body's limit would hold up everybody for seconds.

    Raises ServiceError 413 beyond MAX_FORM_BYTES, BadRequestError (400, `invalid_request`) beyond MAX_FORM_FIELDS.
    """
    too_large = ServiceError(413, "invalid_request", f"A form has at most {MAX_FORM_BYTES} bytes.")
    if (request.content_length or 0) > MAX_FORM_BYTES:
        raise too_large
    sent: bytes = await request.get_data(cache=False, as_text=False, parse_form_data=False)
    if len(sent) > MAX_FORM_BYTES:
        raise too_large
    if (request.content_type or "").partition(";")[0].strip().lower() != FORM:
        return MultiDict()
    try:
        text = sent.decode("utf-8", "replace")
        return MultiDict(parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS))
    except ValueError:
        raise BadRequestError(f"A form has at most {MAX_FORM_FIELDS} fields.", "invalid_request") from None
