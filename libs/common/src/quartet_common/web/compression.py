"""Compression of streamed responses with gzip (RFC 1952), for clients that ask for it."""

import asyncio
import zlib
from collections.abc import AsyncGenerator
from contextlib import aclosing

from quart import Request

GZIP = {"Content-Encoding": "gzip"}
VARY = {"Vary": "Accept-Encoding"}
"""Of each response that may be compressed, also of one that is not."""
LEVEL = 6
GZIP_WINDOW = 16 + zlib.MAX_WBITS


def accepts_gzip(request: Request) -> bool:
    """Whether the client prefers gzip to no compression (RFC 9110 section 12.5.3); without the header it does not."""
    accepted = request.accept_encodings
    return accepted.quality("gzip") > 0 and accepted.best_match(["gzip", "identity"]) == "gzip"


async def gzipped(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The `pieces` as one gzip member. What has arrived can be decompressed up to the end of a piece at any time."""
    compressor = zlib.compressobj(LEVEL, wbits=GZIP_WINDOW)
    async with aclosing(pieces):
        async for piece in pieces:
            yield await asyncio.to_thread(_compress, compressor, piece)
    yield compressor.flush()


def _compress(compressor: "zlib._Compress", piece: bytes) -> bytes:
    return compressor.compress(piece) + compressor.flush(zlib.Z_SYNC_FLUSH)
