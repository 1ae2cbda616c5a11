"""Differential fuzzing: what our connection, h11 and llhttp as it is (httptools) process of the same hostile bytes.

Where they differ, ours must be the stricter one: it processes a beginning of what the other does, then refuses. The
reason has to be one of those below, which the README of this library lists.
"""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quartet_serving.http1_connection import Connection, Host
from quartet_serving.request_head import MAX_HEAD, MAX_HEADERS
from quartet_testing.http_parsers import H11, Llhttp, Outcome, Processed
from quartet_testing.http_streams import METHODS, StreamMaker

SEED = 12
STREAMS = 25_000
SPLIT_EVERYWHERE = 40
"""Streams that are delivered in two pieces, split at every position, and byte by byte."""

TARGET = re.compile(
    rb"/.*|\*|https?://(\[[0-9a-f:.]+\]|[a-z0-9._~!$&'()*+,;=%-]+)(:[0-9]*)?([/?].*)?", re.IGNORECASE | re.DOTALL
)
Reasons = dict[str, Callable[[Processed], object]]

BOTH: Reasons = {
    "two `Authorization`": lambda one: len(one.values(b"authorization")) > 1,
    "chunks in HTTP/1.0": lambda one: one.version == b"1.0" and one.codings,
    "a version other than HTTP/1.0 and HTTP/1.1": lambda one: one.version not in (b"1.0", b"1.1"),
    "a target that is no path, http URL or asterisk": lambda one: not TARGET.fullmatch(one.target),
    "more than 100 headers": lambda one: len(one.headers) > MAX_HEADERS,
    "a head of more than 32 KiB": lambda one: sum(map(len, (one.target, *sum(one.headers, ())))) > MAX_HEAD,
}
H11_ONLY: Reasons = {
    "CONNECT": lambda one: one.method == b"CONNECT",
    "an unknown method": lambda one: one.method not in (*METHODS, b"CONNECT"),
    "several lengths": lambda one: len(re.findall(rb"(?im)^content-length:|,", one.sent)) > 1,
    "whitespace after a transfer coding": lambda one: re.search(rb"(?i)\ntransfer-encoding:[^\r]*[ \t]\r", one.sent),
    "a length with chunks": lambda one: one.values(b"content-length") and one.codings,
    "a line that ends with LF alone": lambda one: re.search(rb"(?<!\r)\n", one.sent),
    "a CR that ends no line": lambda one: re.search(rb"\r(?!\n)", one.sent),
    "a folded header": lambda one: re.search(rb"\n[ \t]", one.sent),
    "control characters in a header": lambda one: re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", one.sent),
    "whitespace after a chunk size": lambda one: re.search(rb"\n[0-9A-Fa-f]+[ \t]", one.sent),
    "a chunk extension without a name, or with other characters than tokens have": lambda one: re.search(
        rb"\n[0-9A-Fa-f]+;([^\r]*[^\r\w;=\"]|[^\r\"]*\"[^\r\"]*(\r|\"[^\r])|\r)", one.sent
    ),
    "a length or a transfer coding in a trailer": lambda one: re.search(
        rb"(?i)\n0[^\n]*\n(.*\n)*(content-length|transfer-encoding):", one.sent
    ),
}
LLHTTP_ONLY: Reasons = {
    "no Host, or several": lambda one: len(one.values(b"host")) != 1,
    "a transfer coding other than chunked": lambda one: [*map(bytes.lower, one.codings)] not in ([], [b"chunked"]),
}
ODD_LINE = "several spaces in a request line, or RTSP or ICE for HTTP"
AFTER_OLD = "a request after one in HTTP/1.0, with keep-alive"
EARLIER = "a request that is not complete: ours refuses the first wrong byte"
EMPTY_LINES = "empty lines before a request: ours ignores them (RFC 9112 section 2.2)"
OFFERS = "an offer of another protocol: ours ignores it (RFC 9110 section 7.8), and refuses CONNECT"
"""The last two are the only differences in which ours is not the stricter one: it does what the RFC says."""
REASONS = {
    "h11": (*BOTH, *H11_ONLY, ODD_LINE, EARLIER, EMPTY_LINES),
    "llhttp": (*BOTH, *LLHTTP_ONLY, ODD_LINE, EARLIER, AFTER_OLD, OFFERS),
}


class Wire(asyncio.Transport):
    """A transport without a socket."""

    is_closed = False

    def write(self, _: Any) -> None:
        pass

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    abort = write_eof = close

    def can_write_eof(self) -> bool:
        return True

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading


class Ours:
    """Our connection, with an application that reads each request and answers it."""

    def __init__(self) -> None:
        self.host = Host(self.answer, asyncio.Event(), 60.0)
        self.seen: list[Processed] = []

    async def answer(self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        query = scope["query_string"]
        self.seen.append(
            Processed(scope["method"].encode(), scope["raw_path"] + (b"?" + query if query else b""), body)
        )
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    async def run(self, *pieces: bytes) -> Outcome:
        """What becomes of a stream that arrives in `pieces`."""
        self.seen = []
        wire, connection = Wire(), Connection(self.host)
        connection.connection_made(wire)
        for piece in pieces:
            if not wire.is_closed:
                connection.data_received(piece)
                await self.settle()
        outcome = Outcome(tuple(self.seen), is_open=not wire.is_closed)
        connection.connection_lost(None)
        await self.settle()
        return outcome

    async def settle(self) -> None:
        """Let the application run until it has ended or waits for the client."""
        before = -1
        while self.host.tasks and before != len(self.seen):
            before = len(self.seen)
            await asyncio.sleep(0)
            await asyncio.sleep(0)


def reasons(name: str, stream: bytes, ours: Outcome, other: Outcome) -> Iterator[str]:
    """Why our connection may have done something else with `stream` than the parser `name`; nothing where ours is the
    less strict one.
    """
    count, others = len(ours.requests), len(other.requests)
    if other.ends_with_offer and ours.requests[:others] == other.requests:
        yield OFFERS
    elif ours.requests != other.requests[:count] or (count == others and ours.is_open):
        return
    elif count == others:
        yield AFTER_OLD if count and other.requests[-1].version == b"1.0" else EARLIER
    else:
        known = BOTH | (H11_ONLY if name == "h11" else LLHTTP_ONLY)
        yield from (reason for reason, applies in known.items() if applies(other.requests[count]))
        if re.search(rb"[A-Z]( {2,}[^ ]+| [^ ]+( {2,}| RTSP/| ICE/))", stream):
            yield ODD_LINE
        if name == "llhttp" and count and other.requests[count - 1].version == b"1.0":
            yield AFTER_OLD


def compare(stream: bytes, ours: Outcome) -> Iterator[tuple[str, list[str]]]:
    """Each parser that differs from ours, and the reasons."""
    plain, skipping = H11(2 * MAX_HEAD).run(stream), H11(2 * MAX_HEAD, skips_empty_lines=True).run(stream)
    if ours != skipping:
        yield "h11", list(reasons("h11", stream, ours, skipping))
    elif ours != plain:
        yield "h11", [EMPTY_LINES]
    llhttp = Llhttp().run(stream)
    if ours != llhttp:
        yield "llhttp", list(reasons("llhttp", stream, ours, llhttp))


async def test_ours_is_the_strictest_and_every_difference_has_a_reason() -> None:
    ours, maker, processed = Ours(), StreamMaker(SEED), 0
    alone = {name: Counter[str]() for name in REASONS}
    for _ in range(STREAMS):
        stream = maker.make()
        outcome = await ours.run(stream)
        processed += len(outcome.requests)
        for name, found in compare(stream, outcome):
            assert found, f"{name} does something else with {stream!r} than ours: {outcome}"
            alone[name].update(found if len(found) == 1 else [])
    assert processed > STREAMS // 3
    for name, known in REASONS.items():
        assert alone[name].keys() == set(known), "a reason that explains nothing alone"


async def test_a_stream_means_the_same_in_whatever_pieces_it_arrives() -> None:
    ours, maker = Ours(), StreamMaker(SEED)
    streams = [stream for stream in (maker.make() for _ in range(STREAMS)) if len(stream) < 1000]
    places = random.Random(SEED)  # noqa: S311  # the same places each time
    for stream in streams[: STREAMS // 4]:
        at = places.randrange(len(stream) + 1)
        assert await ours.run(stream[:at], stream[at:]) == await ours.run(stream), (stream, at)
    for stream in streams[:SPLIT_EVERYWHERE]:
        whole = await ours.run(stream)
        for at in range(len(stream)):
            assert await ours.run(stream[:at], stream[at:]) == whole, (stream, at)
        assert await ours.run(*(bytes((byte,)) for byte in stream)) == whole, stream


@pytest.mark.parametrize("name", REASONS)
def test_the_readme_lists_every_difference(name: str) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in readme.splitlines()]
    column = {"h11": 1, "llhttp": 2}[name]
    assert {row[0] for row in rows if len(row) == 3 and row[column] == "x"} == set(REASONS[name])
