"""Checks plain entries, which are nearly all: in the form in which the service writes them, whole and without fault.

The check of a line needs nothing but the line, so that several processes can do it. It accepts an entry only
if nothing is wrong with it; every other line is left to `BundleVerifier`, which names what is wrong with it.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from quartet_audit_verifier.encoding import FormatError, microseconds, parse_object, unbase64
from quartet_audit_verifier.entries import MEMBERS
from quartet_audit_verifier.entry_lines import parse_entry_line
from quartet_audit_verifier.erasures import ACTION as ERASURE
from quartet_audit_verifier.expired import ACTION as RETENTION
from quartet_audit_verifier.leaves import NO_COMMITMENT, PARTS, SALT_BYTES, Leaf, id_text, parse_leaf
from quartet_audit_verifier.merkle import leaf_hash
from quartet_audit_verifier.part_patterns import PERSONAL, match_facts

FACTS: Final = PARTS[0]


class PlainEntry(NamedTuple):
    """What is needed of an entry without fault; times are in microseconds since 1970, `parts` are names."""

    sequence: int
    leaf_hash: bytes
    time: int
    recorded: int
    parts: tuple[str, ...]


def check_plain(line: bytes, tenant: str) -> PlainEntry | None:
    """The entry in a line of a bundle of `tenant`, if all parts are there and everything about it is right."""
    found = parse_entry_line(line)
    if found is None:
        return None
    try:
        raw = unbase64(found.leaf) or b""
        leaf = parse_leaf(raw)
    except FormatError:
        return None
    contents = _contents(leaf, found.parts)
    if contents is None or leaf.sequence != found.sequence:
        return None
    recorded = _recorded_time(leaf, contents[FACTS], tenant)
    if recorded is None or not all(_is_plain_part(name, content) for name, content in contents.items()):
        return None
    return PlainEntry(found.sequence, leaf_hash(raw), leaf.time, recorded, tuple(contents))


def _contents(leaf: Leaf, parts: Sequence[bytes | None]) -> dict[str, bytes] | None:
    """The parts by name, if they are those that the leaf commits to."""
    contents = {}
    for name, commitment, encoded, encoded_salt in zip(PARTS, leaf.commitments, parts[::2], parts[1::2], strict=True):
        if encoded is None or encoded_salt is None:
            if commitment != NO_COMMITMENT:
                return None
            continue
        salt, content = unbase64(encoded_salt), unbase64(encoded)
        if salt is None or content is None or len(salt) != SALT_BYTES:
            return None
        if sha256(salt + content).digest() != commitment:
            return None
        contents[name] = content
    return contents


def _recorded_time(leaf: Leaf, facts: bytes, tenant: str) -> int | None:
    """When the entry was recorded, if its facts agree with its leaf and record no erasure and no run of retention."""
    found = match_facts(facts)
    if found is None or leaf.action in (ERASURE, RETENTION):
        return None
    expected = leaf.sequence, id_text(leaf.event_id), leaf.action, tenant
    if (found["sequence"], found["id"], found["action"], found["tenant"]) != expected:
        return None
    return microseconds(found["recorded_time"]) if microseconds(found["time"]) == leaf.time else None


def _is_plain_part(name: str, content: bytes) -> bool:
    """Whether a part is JSON with members of this part only; facts were read already."""
    pattern = PERSONAL.get(name)
    if name == FACTS or (pattern is not None and pattern.fullmatch(content)):
        return True
    try:
        return parse_object(content).keys() <= MEMBERS[name]
    except FormatError:
        return False
