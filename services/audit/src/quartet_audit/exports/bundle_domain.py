"""Bundles: the lines of an export for a verifier (docs/audit-formats.md, "Bundle")."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from quartet_audit.leaves.leaf_domain import Part
from quartet_audit.note_domain import encode_base64
from quartet_audit.proofs.proof_domain import Consistency, Inclusion, encode_part
from quartet_audit.retention.retention_domain import PrunedLog
from quartet_audit.trees.tree_domain import TILE_HEIGHT, TILE_WIDTH, TileAddress

FORMAT = "quartet-audit-bundle/v1"
BATCH = 128
"""Entries that are read at a time: one has up to 64 KiB or so, all together some 8 MiB."""

_encode = msgspec.json.Encoder().encode


class BundledEntry(NamedTuple):
    """An entry as it is stored, whether or not it is as it was signed; `erased` has time and request by part."""

    sequence: int
    leaf: bytes
    parts: Mapping[str, Part]
    erased: Mapping[str, Mapping[str, Any]]


class ExpiredEntry(NamedTuple):
    """An entry that retention has removed; its leaf hash stays."""

    sequence: int
    leaf_hash: bytes


def header_line(
    tenant: str, origin: str, start: int, size: int, keys: Mapping[str, Any], partial: Sequence[Sequence[bytes]]
) -> bytes:
    """The first line; `keys` are the members that list keys, `partial` the partial tiles of the tree of `start`."""
    tiles = [encode_base64(b"".join(hashes)) for hashes in partial]
    header = {"format": FORMAT, "tenant": tenant, "origin": origin, "from": start, "size": size, **keys}
    return _line(header | ({"partial_tiles": tiles} if start else {}))


def entry_line(entry: BundledEntry | ExpiredEntry) -> bytes:
    """The line of an entry. A part that is there is shown, whatever is recorded of its erasure."""
    if isinstance(entry, ExpiredEntry):
        return _line({"sequence": entry.sequence, "leaf_hash": encode_base64(entry.leaf_hash)})
    parts: dict[str, Any] = {name: {"erased": erased} for name, erased in entry.erased.items()}
    parts |= {name: encode_part(part) for name, part in entry.parts.items()}
    return _line({"sequence": entry.sequence, "leaf": encode_base64(entry.leaf), "parts": parts})


def tile_line(address: TileAddress, hashes: Sequence[bytes]) -> bytes:
    """The line of a full tile."""
    return _line({"tile": list(address), "hashes": encode_base64(b"".join(hashes))})


def end_line(
    note: str, deployment: Inclusion, consistency: Consistency | None, salt: bytes, pruned: PrunedLog | None
) -> bytes:
    """The last line: the checkpoint, its proof in the deployment log, and what has expired by now."""
    proof = {**deployment.document(), "salt": encode_base64(salt)}
    if consistency is not None:
        proof["consistency"] = consistency.document()
    end: dict[str, Any] = {"checkpoint": note, "deployment": proof}
    if pruned is not None:
        end["expired"] = {"before": pruned.entries, "time": pruned.pruned_at}
    return _line(end)


def batches(start: int, size: int) -> Iterator[tuple[int, int]]:
    """The ranges of entries to read from `start` to `size`; no one reaches over the end of a tile."""
    while start < size:
        end = min(start + BATCH - start % BATCH, size)
        yield start, end
        start = end


def full_tiles(end: int) -> list[TileAddress]:
    """The tiles whose last leaf is the one before `end`, from level 0 up."""
    found: list[TileAddress] = []
    while end and end % TILE_WIDTH == 0:
        end //= TILE_WIDTH
        found.append(TileAddress(len(found), end - 1))
    return found


def partial_tiles(size: int) -> list[TileAddress]:
    """The last tile of each level of a tree of `size`, which is not full."""
    found: list[TileAddress] = []
    while (count := size >> TILE_HEIGHT * len(found)) > 0:
        found.append(TileAddress(len(found), count // TILE_WIDTH))
    return found


def _line(document: Mapping[str, Any]) -> bytes:
    return _encode(document) + b"\n"
