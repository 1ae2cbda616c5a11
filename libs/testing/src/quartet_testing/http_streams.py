"""Streams of HTTP/1.1 requests, as they should be and with faults: the same each time for a seed."""

import random

MANY_HEADERS = 150
METHODS = (b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"PATCH")
ODD_METHODS = (b"CONNECT", b"FOO", b"get", b"DESCRIBE", b"SOURCE", b"G@T", b"", b"QUERY", b"M-SEARCH")
TARGETS = (b"/", b"/a", b"/a?b=c", b"/a%20b?c", b"http://quartet/a?b")
ODD_TARGETS = (
    b"*", b"a", b"?a", b"a:1", b"http://", b"ftp://a/", b"/a#b", b"//a", b"/\xe9", b"/a b", b"http://a@b/", b"", b" /",
)  # fmt: skip
VERSIONS = (*(b"HTTP/1.1",) * 9, b"HTTP/1.0")
ODD_VERSIONS = (
    b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.2", b"HTTP/11", b"http/1.1", b"RTSP/1.0", b"ICE/1.0", b"HTTP/1.1 ", b"",
    b" HTTP/1.1",
)  # fmt: skip
HEADERS = (
    b"Accept: */*", b"X-A: b", b"Connection: keep-alive", b"User-Agent: x", b"X-Empty:", b"Authorization: Bearer a",
)  # fmt: skip
ODD_HEADERS = (
    b"Host: another", b"Content-Length: 3", b"Content-Length: +3", b"Content-Length: 3, 3", b"Content-Length: 0x3",
    b"Content-Length: 99999999999999999999", b"Content-Length : 3", b"Content-Length:", b"Content-Length: 03",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: identity",
    b"Transfer-Encoding: xchunked", b"Transfer-Encoding:\tchunked", b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: Chunked", b"Transfer-Encoding: \x0bchunked", b"Transfer_Encoding: chunked", b" X: folded",
    b"X: a\r\n folded", b"X: a\x00b", b"X: a\x01b", b"X: a\x7fb", b"X: \xff", b"X: a\rb", b"X: a\nY: b",
    b": nameless", b"X Y: b", b"X\t: b", b"no colon", b"X(: b", b"Connection: close", b"Connection: upgrade",
    b"Upgrade: h2c", b"Upgrade: websocket", b"Authorization: Bearer b", b"Expect: 100-continue", b"Expect: 200-ok",
    b"Content-Length: 3 ", b"Content-Length: 3\t", b"Connection: close, keep-alive",
    b"Connection: upgrade\r\nUpgrade: websocket", b"X:" + b"a" * 40_000,
)  # fmt: skip
CODINGS = (
    b"Transfer-Encoding: chunked ", b"transfer-encoding:CHUNKED", b"Transfer-Encoding: gzip",
    b"Transfer-Encoding: chunked,",
)  # fmt: skip
LENGTHS = (b"2", b"4", b"0", b"-3", b"3 3")
SIZES = (
    b"3", b"03", b"0x3", b"+3", b"-3", b"3 ", b" 3", b"3;a=b", b"3;a", b'3;a="b\n"', b'3;a="b"', b"3\t", b"3;",
    b"FFFFFFFFFFFFFFFFF", b"3;a\rb", b"3;a b", b"3;a@", b"g",
)  # fmt: skip
LAST_CHUNKS = (b"00\r\n", b"0;x\r\n", b"0\n", b"0 \r\n", b"")
TRAILERS = (
    b"X: y\r\n",
    b"Content-Length: 3\r\n",
    b"bad\r\n",
    b"X : y\r\n",
    b"X: y\n",
    b"Transfer-Encoding: chunked\r\n",
)
ENDS = (b"\n", b"\r", b"\r\r\n", b"\n\r", b"", b" \r\n", b"\x0b\r\n")
BEGINNINGS = (b"\r\n", b"\n", b"\r\n\r\n", b" ", b"\0")
BYTES = b'\x00\t\n\x0b\x0c\r !"#()*+,-./0123:;<=>?@AZ[\\]^_`az{|}~\x7f\x80\xe9\xff'


class StreamMaker:
    """Makes requests as they should be, puts faults in, and changes bytes at random."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  # nosec B311  # the same streams each time

    def make(self) -> bytes:
        """One to three requests; half of all streams have random changes too."""
        made = b"".join(self._request() for _ in range(self._random.choice((1, 2, 2, 3))))
        if self._random.random() < 0.5:
            for _ in range(self._random.choice((1, 1, 2, 4))):
                made = self._changed(made)
        return made

    def _pick(self, usual: tuple[bytes, ...], odd: tuple[bytes, ...], chance: float = 0.06) -> bytes:
        return self._random.choice(odd if self._random.random() < chance else usual)

    def _request(self) -> bytes:
        words = self._pick(METHODS, ODD_METHODS), self._pick(TARGETS, ODD_TARGETS), self._pick(VERSIONS, ODD_VERSIONS)
        lines = [self._pick(HEADERS, ODD_HEADERS, 0.15) for _ in range(self._random.randrange(4))]
        if self._random.random() < 0.95:
            lines.append(b"Host: quartet")
        if self._random.random() < 0.005:
            lines += [b"X: y"] * MANY_HEADERS
        framing, body = self._body()
        lines += framing
        self._random.shuffle(lines)
        usual = self._pick((b"\r\n",), ENDS, 0.04)
        head = [line + self._pick((usual,), ENDS, 0.004) for line in (b" ".join(words), *lines, b"")]
        return self._pick((b"",), BEGINNINGS, 0.03) + b"".join(head) + body

    def _body(self) -> tuple[list[bytes], bytes]:
        """The headers that frame a body, and the body."""
        kind = self._random.random()
        if kind < 0.45:
            return [], b""
        if kind < 0.7:
            return [b"Content-Length: " + self._pick((b"3",), LENGTHS)], b"abc"
        chunk = self._pick((b"3",), SIZES, 0.25) + b"\r\nabc" + self._pick((b"\r\n",), ENDS, 0.08)
        last = self._pick((b"0\r\n",), LAST_CHUNKS, 0.1) + self._pick((b"",), TRAILERS, 0.15)
        return [self._pick((b"Transfer-Encoding: chunked",), CODINGS)], chunk + last + b"\r\n"

    def _changed(self, made: bytes) -> bytes:
        """`made` with one change: bytes added, removed, replaced, repeated or in the other case, or no end."""
        at = self._random.randrange(len(made) + 1)
        to = min(len(made), at + self._random.choice((1, 1, 2, 8)))
        odd = bytes((self._random.choice(BYTES),))
        found = made[at:to]
        put = self._random.choice((odd, odd + found, b"", found * 2, found.swapcase()))
        return made[:at] if self._random.random() < 0.05 else made[:at] + put + made[to:]
