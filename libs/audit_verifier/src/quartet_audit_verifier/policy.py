"""Policy files: which logs and witnesses are known, and which cosignatures a checkpoint needs (tlog-policy)."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from quartet_audit_verifier.encoding import FormatError, shown
from quartet_audit_verifier.notes import (
    ED25519_COSIGNATURE,
    MLDSA44_COSIGNATURE,
    VerifierKey,
    parse_vkey,
)

NONE: Final = "none"
WITNESS_KINDS: Final = (ED25519_COSIGNATURE, MLDSA44_COSIGNATURE)
_SPACE = re.compile("[ \t]+")
_NUMBER = re.compile("[1-9][0-9]*")
_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True)
class Group:
    """A group of witnesses and groups, by name; at least `threshold` of them must have witnessed a checkpoint."""

    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    """A policy: vkeys of logs and witnesses, and the name of the witness or group that is the quorum."""

    logs: tuple[VerifierKey, ...]
    witnesses: Mapping[str, VerifierKey]
    groups: Mapping[str, Group]
    quorum: str

    def is_witnessed(self, cosigned: Collection[str]) -> bool:
        """Whether the witnesses in `cosigned` are a quorum."""
        seen = {*cosigned, NONE}
        for name, group in self.groups.items():  # in the order of the file: a group names earlier ones only
            if sum(each in seen for each in group.members) >= group.threshold:
                seen.add(name)
        return self.quorum in seen


@dataclass
class _Reader:
    logs: list[VerifierKey]
    witnesses: dict[str, VerifierKey]
    groups: dict[str, Group]
    members: set[str]
    quorum: str | None = None

    def log(self, items: list[str]) -> None:
        """`log <vkey> [<url>]`."""
        if len(items) not in (1, 2):
            raise FormatError("expected: log <vkey> [<url>]")
        key = _vkey(items[0])
        if any(key.public == known.public for known in self.logs):
            raise FormatError(f"the key of log {shown(key.name)} is on an earlier line")
        self.logs.append(key)

    def witness(self, items: list[str]) -> None:
        """`witness <name> <vkey> [<url>]`."""
        if len(items) not in (2, 3):
            raise FormatError("expected: witness <name> <vkey> [<url>]")
        self._define(items[0])
        key = _vkey(items[1])
        if key.kind not in WITNESS_KINDS:
            raise FormatError(f"the key of witness {shown(items[0])} has another signature type than 0x04 and 0x06")
        if any(key.public == known.public for known in self.witnesses.values()):
            raise FormatError(f"the key of witness {shown(items[0])} is on an earlier line")
        self.witnesses[items[0]] = key

    def group(self, items: list[str]) -> None:
        """`group <name> all|any|<k> <name>...`."""
        if len(items) < 3:
            raise FormatError("expected: group <name> all|any|<k> <name>...")
        name, wanted, *members = items
        self._define(name)
        for member in members:
            if member not in self.witnesses and member not in self.groups:
                raise FormatError(f"{shown(member)} is defined on no earlier line")
            if member in self.members:
                raise FormatError(f"{shown(member)} is a member of a group already")
            self.members.add(member)
        self.groups[name] = Group(_threshold(wanted, len(members)), tuple(members))

    def set_quorum(self, items: list[str]) -> None:
        """`quorum <name>`."""
        if len(items) != 1:
            raise FormatError("expected: quorum <name>")
        if self.quorum is not None:
            raise FormatError("there is an earlier quorum line")
        if items[0] != NONE and items[0] not in self.witnesses and items[0] not in self.groups:
            raise FormatError(f"{shown(items[0])} is defined on no earlier line")
        self.quorum = items[0]

    def _define(self, name: str) -> None:
        if name == NONE or name in self.witnesses or name in self.groups:
            raise FormatError(f"{shown(name)} is defined already")


def parse_policy(raw: bytes) -> Policy:
    """The policy in a file. Raises FormatError, which names the line."""
    if found := _CONTROL.search(raw):
        number = raw.count(b"\n", 0, found.start()) + 1
        raise FormatError(f"line {number}: the control character {found[0][0]:#04x} is not allowed")
    reader = _Reader([], {}, {}, set())
    read: dict[str, Callable[[list[str]], None]] = {
        "log": reader.log, "witness": reader.witness, "group": reader.group, "quorum": reader.set_quorum,
    }  # fmt: skip
    for number, line in enumerate(raw.decode(errors="surrogateescape").split("\n"), 1):
        keyword, *items = [item for item in _SPACE.split(line) if item] or ["#"]
        if keyword.startswith("#"):
            continue
        if keyword not in read:
            raise FormatError(f"line {number}: unknown keyword {shown(keyword)}")
        try:
            read[keyword](items)
        except FormatError as error:
            raise FormatError(f"line {number}: {error}") from None
    if reader.quorum is None:
        raise FormatError("there is no quorum line")
    return Policy(tuple(reader.logs), reader.witnesses, reader.groups, reader.quorum)


def _threshold(wanted: str, members: int) -> int:
    if wanted in ("all", "any"):
        return members if wanted == "all" else 1
    if not _NUMBER.fullmatch(wanted) or len(wanted) > 9 or int(wanted) > members:
        raise FormatError(f"the threshold {shown(wanted)} is not all, any, or 1 to {members}")
    return int(wanted)


def _vkey(text: str) -> VerifierKey:
    try:
        return parse_vkey(text)
    except UnicodeEncodeError:
        raise FormatError("the name of a vkey is not UTF-8") from None
