"""Cursors: the end of a page as opaque text, valid only for the same request."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import blake2b
from hmac import compare_digest
from typing import TypeVar

import msgspec
from quart import current_app

from quartet_common.core.errors import BadRequestError

T = TypeVar("T")

VERSION = b"\x02"
DIGEST_SIZE = 16
MAX_LENGTH = 4096
"""Characters; a position may hold a name of 1 KiB, which grows when its case is folded."""
EXTENSION = "quartet_cursors"
"""The key of the cursor key in `app.extensions`."""


def cursor_key(secret: str) -> bytes:
    """The key of a service's cursors, made from a secret that all its processes have and that survives restarts."""
    return blake2b(secret.encode(), digest_size=32, person=b"quartet cursors").digest()


def encode_cursor(position: object, context: Sequence[str], key: bytes | None = None) -> str:
    """`position` (anything that msgspec encodes, e.g. a tuple of a datetime and an int) as URL-safe text.

    `context` has the route, tenant, filters and order that the cursor is valid for. The text has a keyed digest (RFC
    7693) of both, so that clients cannot make one. `key` is by default that of the running app.
    """
    payload = msgspec.msgpack.encode(position)
    return _write(VERSION + _digest(payload, context, key) + payload)


def decode_cursor(text: str, context: Sequence[str], kind: type[T], key: bytes | None = None) -> T:
    """The position of type `kind` in `text`.

    Raises BadRequestError (400, `bad_cursor`) unless `encode_cursor` made it for the same `context` with the same key.
    """
    try:
        raw = urlsafe_b64decode(text[:MAX_LENGTH].encode("ascii") + b"=" * (-len(text) % 4))
        digest, payload = raw[1 : 1 + DIGEST_SIZE], raw[1 + DIGEST_SIZE :]
        is_ours = raw[:1] == VERSION and compare_digest(digest, _digest(payload, context, key))
        if is_ours and _write(raw) == text:
            return msgspec.msgpack.decode(payload, type=kind)
    except (ValueError, msgspec.MsgspecError):  # includes binascii.Error and UnicodeError
        pass
    raise BadRequestError(
        "cursor is not valid for this request: it belongs to another query, or the server's secret has changed since; "
        "start again without it",
        "bad_cursor",
    )


def _digest(payload: bytes, context: Sequence[str], key: bytes | None) -> bytes:
    used: bytes = current_app.extensions[EXTENSION] if key is None else key
    return blake2b(msgspec.msgpack.encode([*context, payload]), key=used, digest_size=DIGEST_SIZE).digest()


def _write(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
