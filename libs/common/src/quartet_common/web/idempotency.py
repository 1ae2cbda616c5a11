"""The header Idempotency-Key of POST requests that create something (draft-ietf-httpapi-idempotency-key-header-07)."""

import asyncio
import base64
import hashlib
import logging
import re
import time
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, cast
from uuid import UUID

import msgspec
from quart import Response, current_app

from quartet_common.auth.sealing import Sealer, WrongMasterKeyError
from quartet_common.config.settings import ServiceConfig
from quartet_common.core.errors import BadRequestError, ServiceError
from quartet_common.runtime.idempotency import CLAIM, Claim, claim_or_read
from quartet_common.runtime.idempotency_store import Known
from quartet_common.runtime.unit_of_work import PUBLISHED
from quartet_common.web.dependencies import app_container, dependency
from quartet_common.web.guard import caller
from quartet_common.web.service_request import running_request

logger = logging.getLogger(__name__)

View = Callable[..., Awaitable[Any]]

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
"""The header of a response that is the stored one of an earlier request."""
ATTRIBUTE = "quartet_idempotent"
KEY = re.compile(r'"([\x20\x21\x23-\x5b\x5d-\x7e]{1,255})"|([\x21\x23-\x7e]{1,255})')
"""A string of RFC 8941 section 3.3.3 without escapes, or, as many clients send it, the same without quotes."""
WAIT = 30.0
"""Seconds that a request waits for another one with its key."""
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.25
"""Seconds between two looks at the key."""
ERRORS = 400


class StoredResponse(msgspec.Struct, frozen=True, array_like=True):
    """A response as it is stored: its headers, and the ids of the events that the request has published."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    events: list[UUID]


class Responses:
    """Encrypts stored responses, which may have secrets, by a key that is made from the secret of the service."""

    def __init__(self, secret: str) -> None:
        key = hashlib.blake2b(secret.encode(), digest_size=32, person=b"quartet replays").digest()
        self._sealer = Sealer(base64.urlsafe_b64encode(key).decode())

    def seal(self, response: bytes) -> str:
        """The encrypted response."""
        return self._sealer.seal(response)

    def open(self, sealed: str) -> bytes | None:
        """The response; None if the secret of the service has changed since."""
        try:
            return self._sealer.open("idempotency", sealed)
        except WrongMasterKeyError:
            return None


def idempotent(view: View) -> View:
    """Mark a view that creates something: with an Idempotency-Key it has its effect once, within a unit of work.

    It must be the innermost decorator.
    """

    @wraps(view)
    async def run(*arguments: Any, **named: Any) -> Any:
        header = running_request().headers.get(HEADER)
        if header is None:
            return await view(*arguments, **named)
        claim = await _claim(_read_key(header))
        if isinstance(claim, Response):
            return claim
        return await _carry_out(claim, lambda: view(*arguments, **named))

    setattr(run, ATTRIBUTE, True)
    return run


def is_idempotent(view: Callable[..., Any]) -> bool:
    """Whether a view takes the header."""
    return bool(getattr(view, ATTRIBUTE, False))


def _read_key(header: str) -> bytes:
    """The SHA-256 of the key in the header. Raises BadRequestError."""
    found = KEY.fullmatch(header.strip())
    if found is None:
        raise BadRequestError(
            f"{HEADER} must be 1 to 255 printable ASCII characters without quotes and backslashes, such as a UUID; got "
            f"{header[:40]!r}.",
            "bad_idempotency_key",
        )
    return hashlib.sha256((found[1] or found[2]).encode()).digest()


async def _request_hash() -> bytes:
    """The SHA-256 of what the client asks for: method, path, query string and body."""
    request = running_request()
    body: bytes = await request.get_data(cache=True, as_text=False, parse_form_data=False)
    digest = hashlib.sha256()
    for part in (request.method.encode(), request.path.encode(), request.query_string, body):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()


async def _claim(key: bytes) -> Claim | Response:
    """A claim to `key`, or the response of the request that had it.

    Raises ServiceError 422 if that was another request, 409 if it does not end within WAIT or has lost its response.
    """
    database, request = app_container(ServiceConfig).database, await _request_hash()
    deadline, pause = time.monotonic() + WAIT, FIRST_PAUSE
    while True:
        found = await claim_or_read(database, caller(), key, request)
        if isinstance(found, Claim):
            return found
        if found is not None:
            stored = _stored(found, request, is_last=time.monotonic() > deadline)
            if stored is not None:
                return stored
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def _stored(known: Known, request: bytes, *, is_last: bool) -> Response | None:
    """The stored response; None while the request may still be running."""
    if known.request != request:
        raise ServiceError(
            422,
            "idempotency_key_reused",
            f"This {HEADER} was sent with another request. Use a new key for each request.",
        )
    if known.response is not None:
        opened = dependency(Responses).open(known.response)
        if opened is not None:
            return _replay(msgspec.msgpack.decode(opened, type=StoredResponse))
    if known.response is not None or (known.is_done and (is_last or known.is_abandoned)):
        raise ServiceError(
            409,
            "idempotent_response_lost",
            f"The request with this {HEADER} was carried out, but its response was lost. Read what it has created.",
        )
    if is_last:
        raise ServiceError(
            409,
            "idempotent_request_running",
            f"The request with this {HEADER} is still running. Send it again later.",
            {"Retry-After": "5"},
        )
    return None


def _replay(stored: StoredResponse) -> Response:
    published = PUBLISHED.get()
    response = Response(stored.body, stored.status)
    response.headers.clear()
    response.headers.extend([*stored.headers, (REPLAYED, "true")])
    if published is not None:
        published.extend(stored.events)
    return response


async def _carry_out(claim: Claim, view: Callable[[], Awaitable[Any]]) -> Response:
    """The response of `view`, which is stored; after an error the key can be used again."""
    token = CLAIM.set(claim)
    try:
        response = cast(Response, await current_app.make_response(await view()))
    except Exception:
        await claim.release()
        raise
    finally:
        CLAIM.reset(token)
    if response.status_code >= ERRORS:
        await claim.release()
        return response
    await _save(claim, response)
    return response


async def _save(claim: Claim, response: Response) -> None:
    """Store the response. The change is committed, so a failure is logged only."""
    body = await response.get_data(as_text=False)
    events = PUBLISHED.get() or []
    stored = StoredResponse(response.status_code, list(response.headers.items()), body, events)
    try:
        await claim.save(dependency(Responses).seal(msgspec.msgpack.encode(stored)))
    except ServiceError as error:
        logger.warning("the response to a request with an idempotency key is not stored", extra={"error": str(error)})
