"""The leaf of an entry: a record without personal data that commits to the parts of the entry (audit-formats.md)."""

import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

PARTS = ("facts", "actor", "resource", "source", "changes")
"""The parts of an entry in the order of their commitments; all but the facts are personal."""
PERSONAL_PARTS = PARTS[1:]

VERSION = 1
SALT_BYTES = 32
NO_COMMITMENT = bytes(32)
"""The commitment of a part that an entry never had."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_head = struct.Struct(">BQq16sH")


class Part(NamedTuple):
    """The stored JSON of a part, and the salt of its commitment."""

    content: bytes
    salt: bytes

    def commitment(self) -> bytes:
        """SHA-256 of the salt and the content."""
        return sha256(self.salt + self.content).digest()


def microseconds(time: datetime) -> int:
    """`time` as microseconds since 1970."""
    return (time - EPOCH) // MICROSECOND


def encode_leaf(sequence: int, time: datetime, event_id: UUID, action: str, parts: Mapping[str, Part]) -> bytes:
    """The leaf of an entry with `parts`, by name."""
    name = action.encode()
    commitments = [parts[part].commitment() if part in parts else NO_COMMITMENT for part in PARTS]
    head = _head.pack(VERSION, sequence, microseconds(time), event_id.bytes, len(name))
    return b"".join((head, name, *commitments))
