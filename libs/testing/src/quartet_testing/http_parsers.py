"""HTTP/1.1 parsers to compare ours with, each as a server that answers every request: h11, and llhttp (httptools)."""

from dataclasses import dataclass, field

import h11
import httptools

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True)
class Processed:
    """A request that a server has processed, compared by method, path and body.

    `sent` is how it was sent; llhttp does not say where it begins and ends, and there it is the whole stream.
    """

    method: bytes
    path: bytes
    body: bytes
    target: bytes = field(default=b"", compare=False)
    version: bytes = field(default=b"", compare=False)
    headers: Headers = field(default=(), compare=False)
    sent: bytes = field(default=b"", compare=False)

    def values(self, name: bytes) -> list[bytes]:
        """The values of a header."""
        return [value for known, value in self.headers if known.lower() == name]

    @property
    def codings(self) -> list[bytes]:
        """The transfer codings of the body."""
        return self.values(b"transfer-encoding")


@dataclass(frozen=True)
class Outcome:
    """What became of a stream: the requests that were processed, and whether more may follow.

    `unfinished` is a request whose head was taken, and whose body is not complete. `ends_with_offer` says that the next
    one offers another protocol, with which the parser ended.
    """

    requests: tuple[Processed, ...]
    is_open: bool
    unfinished: Processed | None = field(default=None, compare=False)
    ends_with_offer: bool = field(default=False, compare=False)


class H11:
    """h11; a head that is not complete has at most `max_head` bytes.

    `skips_empty_lines` before requests, as RFC 9112 section 2.2 asks for; h11 itself does not.
    """

    def __init__(self, max_head: int, *, skips_empty_lines: bool = False) -> None:
        self._connection = h11.Connection(h11.SERVER, max_incomplete_event_size=max_head)
        self._max_head = max_head
        self._skips_empty_lines = skips_empty_lines
        self._stream = b""
        self._done: list[Processed] = []

    def run(self, stream: bytes) -> Outcome:
        """What becomes of `stream`."""
        self._stream = stream
        self._connection.receive_data(stream)
        try:
            while True:
                self._skip_empty_lines()
                start = self._position
                event = self._connection.next_event()
                if not isinstance(event, h11.Request):
                    return self._outcome(is_open=True)
                request = event.method, event.target, event.http_version, tuple(event.headers)
                if event.method == b"CONNECT":
                    self._done.append(_processed(request, b"", stream[start:]))
                    return self._outcome(is_open=False)  # what follows is not HTTP
                body = self._body()
                if body is None:
                    return self._outcome(is_open=True, unfinished=_processed(request, b"", stream[start:]))
                self._done.append(_processed(request, body, stream[start : self._position]))
                if not self._answer():
                    return self._outcome(is_open=False)
        except h11.RemoteProtocolError:
            return self._outcome(is_open=False)

    def _skip_empty_lines(self) -> None:
        rest = self._connection.trailing_data[0]
        if self._skips_empty_lines and rest[:1] in (b"\r", b"\n"):
            self._connection = h11.Connection(h11.SERVER, max_incomplete_event_size=self._max_head)
            self._connection.receive_data(rest.lstrip(b"\r\n"))

    @property
    def _position(self) -> int:
        return len(self._stream) - len(self._connection.trailing_data[0])

    def _outcome(self, *, is_open: bool, unfinished: Processed | None = None) -> Outcome:
        return Outcome(tuple(self._done), is_open, unfinished)

    def _body(self) -> bytes | None:
        """The body; None if it is not complete."""
        body = b""
        while isinstance(event := self._connection.next_event(), h11.Data):
            body += event.data
        return body if isinstance(event, h11.EndOfMessage) else None

    def _answer(self) -> bool:
        """Answer a request; False at the end of the connection."""
        self._connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
        self._connection.send(h11.EndOfMessage())
        if self._connection.our_state is not h11.DONE or self._connection.their_state is not h11.DONE:
            return False
        self._connection.start_next_cycle()
        return True


def _processed(head: tuple[bytes, bytes, bytes, Headers], body: bytes, sent: bytes) -> Processed:
    method, target, version, headers = head
    return Processed(method, path_of(target), body, target, version, headers, sent)


class Llhttp:
    """llhttp without what our connection adds to it; it ends with an offer of another protocol."""

    def __init__(self) -> None:
        self.stream = b""
        self.done: list[Processed] = []
        self.is_open = True
        self.unfinished: Processed | None = None
        self.parser = httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        """A request begins."""
        self.target = self.body = b""
        self.headers: list[tuple[bytes, bytes]] = []

    def on_url(self, piece: bytes) -> None:
        """A piece of the target."""
        self.target += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self.headers.append((name, value))

    def on_body(self, piece: bytes) -> None:
        """A piece of the body."""
        self.body += piece

    def on_headers_complete(self) -> None:
        """The head is complete."""
        version = self.parser.get_http_version().encode()
        self.head = self.parser.get_method(), self.target, version, tuple(self.headers)
        self.unfinished = _processed(self.head, b"", self.stream) if self.is_open else None

    def on_message_complete(self) -> None:
        """The request is complete."""
        if self.is_open:
            self.done.append(_processed(self.head, self.body, self.stream))
            self.unfinished = None
            self.is_open = self.parser.should_keep_alive()

    def run(self, stream: bytes) -> Outcome:
        """What becomes of `stream`."""
        self.stream = stream
        try:
            self.parser.feed_data(stream)
        except httptools.HttpParserUpgrade:
            return Outcome(tuple(self.done[:-1]), is_open=False, ends_with_offer=True)
        except httptools.HttpParserError:
            self.is_open = False
        return Outcome(tuple(self.done), self.is_open, self.unfinished)


def path_of(target: bytes) -> bytes:
    """The path and query of a target, as ours gives them to the application."""
    if not target.startswith(b"/") and b"://" in target:
        path, mark, query = target.partition(b"?")
        target = b"/" + path.partition(b"://")[2].partition(b"/")[2] + mark + query
    return target.removesuffix(b"?") if target.count(b"?") == 1 else target
