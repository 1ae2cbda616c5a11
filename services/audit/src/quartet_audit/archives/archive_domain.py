"""The rules of restored logs: lines of a bundle become entries again, whose leaves commit to their parts; no I/O."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from quartet_audit.checkpoints.checkpoint_domain import Checkpoint
from quartet_audit.entries.entry_domain import NewEntry
from quartet_audit.exports.bundle_domain import FORMAT
from quartet_audit.leaves.leaf_domain import NO_COMMITMENT, PARTS, PERSONAL_PARTS, Part, encode_leaf
from quartet_audit.leaves.part_domain import Facts
from quartet_audit.note_domain import MalformedNoteError, SignedNote
from quartet_audit.trees.tree_domain import HASH_BYTES, Frontier


class Erased(msgspec.Struct, frozen=True):
    """When a part was erased, by which request."""

    time: datetime
    request: UUID


class BundledPart(msgspec.Struct, frozen=True, rename={"content": "bytes"}):
    """A part of an entry as it is stored, or what erased it."""

    content: bytes = b""
    salt: bytes = b""
    erased: Erased | None = None


class BundleLine(msgspec.Struct, frozen=True):
    """A line of a bundle: its header (`format`), an entry (`leaf`), a tile, or its end (`checkpoint`)."""

    format: str = ""
    tenant: str = ""
    sequence: int = -1
    leaf: bytes = b""
    parts: Mapping[str, BundledPart] = {}
    tile: tuple[int, int] | None = None
    checkpoint: str = ""


class ErasedPart(NamedTuple):
    """A part of an entry that was erased, with the request."""

    sequence: int
    part: str
    time: datetime
    request: UUID


def read_line(data: bytes) -> BundleLine:
    """A line of a bundle. Raises msgspec.MsgspecError."""
    return msgspec.json.decode(data, type=BundleLine)


def check_header(line: BundleLine, tenant: str) -> None:
    """Raises ValueError for a bundle of another tenant or format."""
    if (line.format, line.tenant) != (FORMAT, tenant):
        raise ValueError(f"the bundle is of {line.tenant} in the format {line.format}, not of {tenant} in {FORMAT}")


def check_end(line: BundleLine, frontier: Frontier) -> None:
    """Raises ValueError unless the checkpoint of the bundle is that of a tree with this frontier."""
    try:
        checkpoint = Checkpoint.decode(SignedNote.decode(line.checkpoint).text)
    except MalformedNoteError as error:
        raise ValueError(f"the end of the bundle has no checkpoint: {error}") from error
    if (checkpoint.size, checkpoint.root) != (frontier.size, frontier.root()):
        raise ValueError(f"the {frontier.size} entries are not those of the checkpoint of {checkpoint.size} entries")


def restored_entry(line: BundleLine, tenant: str, sequence: int) -> NewEntry:
    """The entry of a line, which must be the one at `sequence`. Raises ValueError unless its leaf commits to it."""
    parts = {name: Part(part.content, part.salt) for name, part in line.parts.items() if part.erased is None}
    if line.sequence != sequence or "facts" not in parts or not parts.keys() <= {*PARTS}:
        raise ValueError(f"expected the entry {sequence} with its facts, got {line.sequence}")
    facts = msgspec.json.decode(parts["facts"].content, type=Facts)
    if (facts.tenant, facts.sequence) != (tenant, sequence):
        raise ValueError(f"the facts of the entry {sequence} are of the entry {facts.sequence} of {facts.tenant}")
    time = facts.time.astimezone(UTC)
    if not _commits(line, encode_leaf(sequence, time, facts.id, facts.action, parts)):
        raise ValueError(f"the leaf of the entry {sequence} does not commit to what is there of it")
    return NewEntry(
        tenant,
        sequence,
        facts.id,
        time,
        facts.recorded_time.astimezone(UTC),
        facts.action,
        facts.actor,
        facts.resource.type,
        facts.resource.id,
        facts.outcome,
        parts,
        line.leaf,
    )


def _commits(line: BundleLine, made: bytes) -> bool:
    """Whether the leaf of a line is `made` of its parts, except for the commitments to erased ones."""
    length = HASH_BYTES * len(PARTS)
    if len(line.leaf) != len(made) or line.leaf[:-length] != made[:-length]:
        return False
    for number, name in enumerate(PARTS):
        start = len(made) - length + number * HASH_BYTES
        given, expected = line.leaf[start : start + HASH_BYTES], made[start : start + HASH_BYTES]
        is_erased = name in line.parts and line.parts[name].erased is not None
        if given == NO_COMMITMENT if is_erased else given != expected:
            return False
    return True


def erased_parts(line: BundleLine) -> Iterator[ErasedPart]:
    """What was erased of the entry of a line."""
    for name in PERSONAL_PARTS:
        if name in line.parts and (erased := line.parts[name].erased) is not None:
            yield ErasedPart(line.sequence, name, erased.time, erased.request)
