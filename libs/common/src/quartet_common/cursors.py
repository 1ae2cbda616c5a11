"""Cursors: where a page ended, as an opaque text that only leads on in the answer to the same question."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

import msgspec

from quartet_common.errors import BadRequestError

T = TypeVar("T")

VERSION = b"\x01"
DIGEST_SIZE = 8
MAX_LENGTH = 4096
"""Characters; a position may hold a name of 1 KiB, which grows when its case is folded."""


def encode_cursor(position: object, context: Sequence[str]) -> str:
    """`position` (anything that msgspec encodes, e.g. a tuple of a datetime and an int) as URL-safe text.

    `context` is what the cursor belongs to: the route, the tenant, the filters, the order. The text carries a digest of
    it but no secret: it finds mistakes and cursors of others, while the query itself must be bound to the tenant.
    """
    payload = msgspec.msgpack.encode(position)
    return _write(VERSION + _digest(payload, context) + payload)


def decode_cursor(text: str, context: Sequence[str], kind: type[T]) -> T:
    """The position of type `kind` in `text`.

    Raises BadRequestError (400, `bad_cursor`) for anything that `encode_cursor` did not make for the same `context`.
    """
    try:
        raw = urlsafe_b64decode(text[:MAX_LENGTH].encode("ascii") + b"=" * (-len(text) % 4))
        digest, payload = raw[1 : 1 + DIGEST_SIZE], raw[1 + DIGEST_SIZE :]
        if raw[:1] == VERSION and digest == _digest(payload, context) and _write(raw) == text:
            return msgspec.msgpack.decode(payload, type=kind)
    except (ValueError, msgspec.MsgspecError):  # includes binascii.Error and UnicodeError
        pass
    raise BadRequestError("cursor: it is not one that this question was answered with", "bad_cursor")


def _digest(payload: bytes, context: Sequence[str]) -> bytes:
    return blake2b(msgspec.msgpack.encode([*context, payload]), digest_size=DIGEST_SIZE).digest()


def _write(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
