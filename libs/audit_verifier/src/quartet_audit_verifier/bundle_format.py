"""The lines of a bundle: parses its header and its tiles (docs/audit-formats.md, Bundle)."""

from dataclasses import dataclass
from typing import Any, Final

from quartet_audit_verifier.encoding import HASH_BYTES, FormatError, decode_base64, member, natural, shown
from quartet_audit_verifier.merkle import TILE_WIDTH, Tile

FORMAT: Final = "quartet-audit-bundle/v1"
MAX_LEVELS: Final = 8


@dataclass(frozen=True)
class Header:
    """The first line of a bundle; `partial_tiles` are those of the tree before its first entry."""

    tenant: str
    origin: str
    first: int
    size: int
    partial_tiles: list[list[bytes]]
    keys: object
    deployment_keys: object


def parse_header(document: dict[str, Any]) -> Header:
    """The header of a bundle. Raises FormatError."""
    if document.get("format") != FORMAT:
        raise FormatError(f"it is no header of a bundle: its format is {shown(document.get('format'))}, not {FORMAT}")
    header = Header(
        member(document, "tenant", str),
        member(document, "origin", str),
        natural(document, "from"),
        natural(document, "size"),
        _partial_tiles(document),
        document.get("keys"),
        document.get("deployment_keys"),
    )
    if sum(len(hashes) << 8 * level for level, hashes in enumerate(header.partial_tiles)) != header.first:
        raise FormatError(f"its partial tiles are not those of a tree of {header.first} leaves")
    if header.first > header.size:
        raise FormatError(f"it begins with entry {header.first}, and its size is {header.size}")
    return header


def parse_tile(document: dict[str, Any]) -> Tile:
    """A full tile of a bundle. Raises FormatError."""
    place = member(document, "tile", list)
    if len(place) != 2 or not all(type(each) is int and 0 <= each < 1 << 55 for each in place):
        raise FormatError(f"its tile is {shown(place)}, not a level and an index")
    tile = Tile(place[0], place[1], _hashes(document.get("hashes"), "its hashes"))
    if len(tile.hashes) != TILE_WIDTH or tile.level >= MAX_LEVELS:
        raise FormatError(f"tile {tile.name} is no full tile: it has {len(tile.hashes)} hashes")
    return tile


def _partial_tiles(document: dict[str, Any]) -> list[list[bytes]]:
    levels: list[object] = member(document, "partial_tiles", list) if "partial_tiles" in document else []
    if len(levels) > MAX_LEVELS:
        raise FormatError(f"it has partial tiles of {len(levels)} levels")
    return [_hashes(each, "a partial tile") for each in levels]


def _hashes(value: object, what: str) -> list[bytes]:
    raw = decode_base64(value, what)
    if len(raw) % HASH_BYTES:
        raise FormatError(f"{what} has {len(raw)} bytes, which are no hashes")
    return [raw[start : start + HASH_BYTES] for start in range(0, len(raw), HASH_BYTES)]
