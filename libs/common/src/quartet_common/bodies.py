"""Bodies: reads the JSON object of a request to our own APIs as what it has to be."""

from typing import TypeVar

import msgspec
from quart import request

from quartet_common.errors import BadRequestError, ServiceError

T = TypeVar("T")

JSON = "application/json"


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
