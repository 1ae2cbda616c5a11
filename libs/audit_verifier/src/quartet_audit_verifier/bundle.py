"""Verifies bundles: reads each line once, in constant memory, and checks all that docs/audit-formats.md says of it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from quartet_audit_verifier.bundle_format import Header, parse_header, parse_tile
from quartet_audit_verifier.deployment import check_deployment, deployment_origin
from quartet_audit_verifier.deployment_order import DeploymentOrder
from quartet_audit_verifier.encoding import (
    HASH_BYTES,
    CutOffError,
    FormatError,
    decode_base64,
    member,
    natural,
    parse_object,
    shown,
)
from quartet_audit_verifier.entries import EntryChecks
from quartet_audit_verifier.erasures import Erasures
from quartet_audit_verifier.expired import Expired
from quartet_audit_verifier.findings import Findings
from quartet_audit_verifier.leaves import parse_leaf
from quartet_audit_verifier.log_tree import LogTree
from quartet_audit_verifier.merkle import Tile, leaf_hash
from quartet_audit_verifier.notes import Checkpoint, parse_checkpoint
from quartet_audit_verifier.plain_entries import PlainEntry
from quartet_audit_verifier.processes import check_lines
from quartet_audit_verifier.trust import SignedCheckpoint, Trust, TrustedKeys


class BundleVerifier:
    """The verification of one bundle, in one piece or in several that follow each other."""

    def __init__(self, trust: Trust, tenant: str | None = None) -> None:
        """`tenant` is the expected one; None takes that of the header."""
        self.trust = trust
        self.tenant = tenant
        self.findings = Findings()
        self.erasures = Erasures(self.findings)
        self.expired = Expired(self.findings)
        self.order = DeploymentOrder(self.findings)
        self.header: Header | None = None
        self.entries: EntryChecks
        self.tree: LogTree
        self.checkpoint: Checkpoint | None = None
        self.signed: SignedCheckpoint | None = None
        self.deployment: SignedCheckpoint | None = None
        self.first = 0
        self.trusted = TrustedKeys((), "first use")
        self.count = 0
        self.times: tuple[int, int] | None = None
        self.later_erasures = 0
        self.is_expiry_later = False
        """Whether the last run of retention may be recorded after the end of the bundle."""
        self.is_unreadable = False
        """Whether reading ended at a line that is none of a bundle."""
        self._has_ended = False
        self._claim: object = None
        self._line = 1

    def read(self, lines: Iterable[bytes], *, is_last: bool = True) -> Iterator[Sequence[Tile]]:
        """Read a piece; yields the tiles that are full after each line, mostly none.

        What is wrong with a line is a finding. A piece that is not the last may be cut off.
        """
        self._line = 1
        rest = iter(lines)
        try:
            first = next(rest, None)
            if first is None:
                raise CutOffError("the piece is empty")
            tenant = self._read_header(first)
            self._line = 2
            for line, entry in check_lines(rest, tenant):
                yield self._read_line(line) if entry is None or self._has_ended else self._take_entry(entry)
                self._line += 1
        except CutOffError as error:
            if is_last:
                self.findings.add("truncated", f"Line {self._line} of the bundle: {error}.")
        except FormatError as error:
            self.is_unreadable = True
            self.findings.add("malformed", f"Line {self._line} of the bundle: {error}. Nothing after it was read.")

    def finish(self) -> None:
        """Check what needs all of the bundle. Call it once, after the last piece."""
        if self.header is None:
            return
        if self.checkpoint is None:
            self.findings.add("truncated", f"The bundle ends after {self.count} entries, without a checkpoint.")
            self.tree.report_gaps()
        else:
            self.tree.finish(self.checkpoint)
        self.later_erasures = self.erasures.finish(self.entries.last_recorded)
        if self.checkpoint is not None:
            self.is_expiry_later = self.expired.finish(self._claim, self.entries.last_recorded)

    def _read_header(self, line: bytes) -> str:
        """Read the first line of a piece; returns the tenant that the entries must have."""
        header = parse_header(parse_object(line))
        if self.header is not None:
            self._check_next_piece(header)
            return self.entries.tenant
        if self.tenant not in (None, header.tenant):
            text = f"The bundle is of tenant {shown(header.tenant)}, expected {shown(self.tenant)}."
            self.findings.add("wrong_log", text)
        if deployment_origin(header.origin, header.tenant) is None:
            text = f"The origin {shown(header.origin)} is not that of the log of tenant {shown(header.tenant)}."
            self.findings.add("wrong_log", text)
        self.trusted = self.trust.keys_of(header.origin, header.keys)
        self.entries = EntryChecks(self.tenant or header.tenant, self.findings, self.erasures, self.expired)
        seen = self.trust.seen_checkpoints(header.origin, self.trusted)
        self.tree = LogTree(header.partial_tiles, header.size, seen, self.findings)
        self.header, self.first = header, header.first
        return self.entries.tenant

    def _check_next_piece(self, header: Header) -> None:
        first = self.header
        assert first is not None  # noqa: S101  # nosec B101  # for the type checker: the caller has looked
        if (header.tenant, header.origin) != (first.tenant, first.origin):
            raise FormatError(f"it is a piece of the log {shown(header.origin)}, not of {shown(first.origin)}")
        if header.first != self.tree.computed.size:
            raise FormatError(f"the piece begins with entry {header.first} instead of {self.tree.computed.size}")
        if LogTree(header.partial_tiles, 0, (), self.findings).computed.root() != self.tree.computed.root():
            text = f"The entries before {header.first} are not those that this piece of the bundle continues."
            self.findings.add("root", text)
        self._check_end_of_piece()
        self.tree.start_piece(header.size)
        self.header = header
        self.checkpoint = None
        self._has_ended = False

    def _check_end_of_piece(self) -> None:
        """The piece that has ended with a checkpoint has the entries that this one has signed."""
        ended, tree = self.checkpoint, self.tree.computed
        if ended is not None and (ended.size, ended.root) != (tree.size, tree.root()):
            text = f"The checkpoint of size {ended.size} (root hash {ended.root.hex()}), which ends a piece, "
            self.findings.add("root", f"{text}is not that of its {tree.size} entries, which give {tree.root().hex()}.")

    def _read_line(self, line: bytes) -> Sequence[Tile]:
        try:
            document = parse_object(line)
            if self._has_ended:
                raise FormatError("it comes after the checkpoint")
            if "sequence" in document:
                return self._read_entry(document)
            if "tile" in document:
                self.tree.check_tile(parse_tile(document))
            elif "checkpoint" in document:
                self._read_end(document)
            else:
                raise FormatError("it is neither an entry, a tile nor the checkpoint")
        except FormatError as error:
            self.findings.add("malformed", f"Line {self._line} of the bundle: {error}.")
        return ()

    def _read_entry(self, document: dict[str, Any]) -> Sequence[Tile]:
        sequence = natural(document, "sequence")
        self.count += 1
        if "leaf_hash" in document:
            return self._read_expired(sequence, document)
        try:
            raw = decode_base64(document.get("leaf"), "its leaf")
            leaf = parse_leaf(raw)
        except FormatError as error:
            self.findings.add("malformed", f"Entry {sequence}: {error}.", sequence)
            return self.tree.add(sequence, None)
        tiles = self.tree.add(sequence, leaf_hash(raw))
        if leaf.sequence != sequence:
            text = f"Entry {sequence} has the leaf of entry {leaf.sequence}."
            self.findings.add("out_of_order", text, sequence)
        self._take_time(leaf.time)
        self.entries.check(sequence, leaf, document.get("parts"))
        return tiles

    def _read_expired(self, sequence: int, document: dict[str, Any]) -> Sequence[Tile]:
        """Take an entry that retention has removed: only the hash of its leaf is left."""
        self.expired.add(sequence)
        try:
            if unexpected := document.keys() & {"leaf", "parts"}:
                raise FormatError(f"it has expired, and has {shown(sorted(unexpected))}")
            own = decode_base64(document["leaf_hash"], "its leaf hash", HASH_BYTES)
        except FormatError as error:
            self.findings.add("malformed", f"Entry {sequence}: {error}.", sequence)
            return self.tree.add(sequence, None)
        return self.tree.add(sequence, own)

    def _take_entry(self, entry: PlainEntry) -> Sequence[Tile]:
        """Put an entry that was checked into the log."""
        self.count += 1
        self._take_time(entry.time)
        self.entries.take(entry.parts, entry.recorded)
        return self.tree.add(entry.sequence, entry.leaf_hash)

    def _take_time(self, time: int) -> None:
        first, last = self.times or (time, time)
        self.times = (min(first, time), max(last, time))

    def _read_end(self, document: dict[str, Any]) -> None:
        header = self.header
        assert header is not None  # noqa: S101  # nosec B101  # for the type checker: the header was read
        checkpoint = parse_checkpoint(member(document, "checkpoint", str))
        self._has_ended = True
        self._claim = document.get("expired")
        if checkpoint.origin != header.origin:
            text = f"The checkpoint is of the log {shown(checkpoint.origin)}, the bundle of {shown(header.origin)}."
            self.findings.add("wrong_log", text)
        if checkpoint.size != header.size:
            text = f"The checkpoint has the size {checkpoint.size}, and the header of the bundle {header.size}."
            self.findings.add("disagreement", text)
        self.checkpoint = checkpoint
        self.signed = self.trust.check(checkpoint, self.trusted, self.findings)
        self.deployment = check_deployment(
            document.get("deployment"), checkpoint, header.deployment_keys, header.tenant, self.trust, self.findings
        )
        self.order.add(checkpoint, document.get("deployment"))
