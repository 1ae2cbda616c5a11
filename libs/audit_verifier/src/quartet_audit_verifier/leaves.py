"""Leaves: the records that the trees of tenants and of the deployment have (docs/audit-formats.md)."""

import struct
from dataclasses import dataclass
from typing import Final, NamedTuple

from quartet_audit_verifier.encoding import HASH_BYTES, FormatError

PARTS: Final = ("facts", "actor", "resource", "source", "changes")
"""The parts of an entry in the order of their commitments; all but the facts are personal."""
SALT_BYTES: Final = 32
NO_COMMITMENT: Final = bytes(HASH_BYTES)
"""The commitment of a part that an entry never had."""
MAX_LEAF: Final = 65_535
"""tlog-tiles, Log entries: the length of an entry is a uint16."""
VERSION: Final = 1

_head = struct.Struct(">BQq16sH")
_commitments = struct.Struct(f">{'32s' * len(PARTS)}")
_deployment = struct.Struct(">BQq32s")


class Leaf(NamedTuple):
    """The leaf of an entry; `time` is in microseconds since 1970."""

    sequence: int
    time: int
    event_id: bytes
    action: str
    commitments: tuple[bytes, ...]


@dataclass(frozen=True)
class DeploymentLeaf:
    """The leaf of a tenant's checkpoint in the deployment log; `time` is in microseconds since 1970."""

    index: int
    time: int
    commitment: bytes


def parse_leaf(raw: bytes) -> Leaf:
    """The leaf in `raw`. Raises FormatError."""
    if not _head.size + _commitments.size <= len(raw) <= MAX_LEAF:
        raise FormatError(f"a leaf has {len(raw)} bytes")
    version, sequence, time, event_id, length = _head.unpack_from(raw)
    if version != VERSION:
        raise FormatError(f"a leaf has the version {version} instead of {VERSION}")
    end = _head.size + length
    if len(raw) != end + _commitments.size:
        raise FormatError(f"a leaf has {len(raw)} bytes, and an action of {length} bytes")
    try:
        action = raw[_head.size : end].decode()
    except UnicodeDecodeError:
        raise FormatError("the action of a leaf is not UTF-8") from None
    return Leaf(sequence, time, event_id, action, _commitments.unpack_from(raw, end))


def parse_deployment_leaf(raw: bytes) -> DeploymentLeaf:
    """The leaf of the deployment log in `raw`. Raises FormatError."""
    if len(raw) != _deployment.size or raw[0] != VERSION:
        raise FormatError(f"a deployment leaf is not {_deployment.size} bytes that begin with {VERSION}")
    _, index, time, commitment = _deployment.unpack(raw)
    return DeploymentLeaf(index, time, commitment)


def id_text(event_id: bytes) -> str:
    """The id of an event as text (RFC 9562 section 4)."""
    digits = event_id.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
