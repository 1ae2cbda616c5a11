"""A log as a server shows it (tlog-tiles): its checkpoint, tiles and entry bundles, and proofs made of its tiles."""

from collections import OrderedDict
from typing import Final
from urllib.parse import quote

from quartet_audit_verifier.client import Client, refusal
from quartet_audit_verifier.encoding import HASH_BYTES, FormatError
from quartet_audit_verifier.merkle import (
    TILE_HEIGHT,
    TILE_WIDTH,
    consistency_hashes,
    is_consistent,
    node_hash,
    root_of,
    split,
)
from quartet_audit_verifier.notes import Checkpoint, parse_checkpoint

CACHED: Final = 64
"""Tiles in memory: a proof needs two or three of each level."""


def index_path(index: int) -> str:
    """The index of a tile in a path: `x001/x234/067` (tlog-tiles, Merkle Tree)."""
    digits = str(index)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[start : start + 3] for start in range(0, len(digits), 3)]
    return "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])


class ServedLog:
    """The log of a tenant, or with None the deployment log."""

    def __init__(self, client: Client, tenant: str | None) -> None:
        self._client = client
        self._prefix = "/audit/log" if tenant is None else f"/audit/log/{quote(tenant, safe='')}"
        self._with_token = tenant is not None
        self._tiles: OrderedDict[tuple[int, int, int], list[bytes]] = OrderedDict()

    def checkpoint(self) -> Checkpoint:
        """Its latest checkpoint. Raises FormatError and ServerError."""
        try:
            return parse_checkpoint(self._get("/checkpoint").decode())
        except UnicodeDecodeError:
            raise FormatError("the checkpoint that is served is not UTF-8") from None

    def tile(self, level: int, index: int, width: int = TILE_WIDTH) -> list[bytes]:
        """The hashes of a tile. Raises FormatError and ServerError."""
        key = (level, index, width)
        if key not in self._tiles:
            raw = self._tile_bytes(f"/tile/{level}/{index_path(index)}", width)
            hashes = [raw[start : start + HASH_BYTES] for start in range(0, len(raw), HASH_BYTES)]
            if len(raw) % HASH_BYTES or not width <= len(hashes) <= TILE_WIDTH:
                raise FormatError(f"tile {level}/{index} is served with {len(raw)} bytes")
            self._tiles[key] = hashes[:width]
            if len(self._tiles) > CACHED:
                self._tiles.popitem(last=False)
        return self._tiles[key]

    def entries(self, index: int, width: int = TILE_WIDTH) -> list[bytes]:
        """The leaves of an entry bundle (tlog-tiles, Log entries). Raises FormatError and ServerError."""
        raw = self._tile_bytes(f"/tile/entries/{index_path(index)}", width)
        leaves: list[bytes] = []
        start = 0
        while start < len(raw):
            end = start + 2 + int.from_bytes(raw[start : start + 2])
            if end > len(raw):
                raise FormatError(f"entry bundle {index} is cut off")
            leaves.append(raw[start + 2 : end])
            start = end
        if not width <= len(leaves) <= TILE_WIDTH:
            raise FormatError(f"entry bundle {index} has {len(leaves)} entries instead of {width}")
        return leaves[:width]

    def is_consistent(self, old: Checkpoint, new: Checkpoint) -> bool:
        """Whether its tiles show that the tree of `old` is the beginning of that of `new`.

        Raises FormatError and ServerError.
        """
        if old.size > new.size:
            return False

        def range_hash(begin: int, end: int) -> bytes:
            return self._range_hash(begin, end, new.size)

        hashes = consistency_hashes(old.size, new.size, range_hash)
        return is_consistent((old.size, old.root), (new.size, new.root), hashes)

    def _range_hash(self, begin: int, end: int, size: int) -> bytes:
        count = end - begin
        if count & (count - 1):
            middle = begin + split(count)
            return node_hash(self._range_hash(begin, middle, size), self._range_hash(middle, end, size))
        level = (count.bit_length() - 1) // TILE_HEIGHT
        first = begin >> TILE_HEIGHT * level
        index, position = divmod(first, TILE_WIDTH)
        width = min((size >> TILE_HEIGHT * level) - index * TILE_WIDTH, TILE_WIDTH)
        return root_of(self.tile(level, index, width)[position : position + (count >> TILE_HEIGHT * level)])

    def _tile_bytes(self, path: str, width: int) -> bytes:
        """A tile; where a partial one is gone, the full one (tlog-tiles, Partial Tiles)."""
        if width == TILE_WIDTH:
            return self._get(path)
        status, body = self._client.get(f"{self._prefix}{path}.p/{width}", with_token=self._with_token)
        return body if status == 200 else self._get(path)

    def _get(self, path: str) -> bytes:
        status, body = self._client.get(self._prefix + path, with_token=self._with_token)
        if status != 200:
            raise refusal(self._prefix + path, status, body)
        return body
