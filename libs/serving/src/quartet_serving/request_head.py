"""Request heads: target and headers as they arrive, their errors, and the ASGI scope."""

import re
from typing import Any

from quartet_serving.percent import unquote

MAX_HEAD = 32 * 1024
"""Bytes of the request line and all headers together."""
MAX_HEADERS = 100
"""Maximum number of headers: each costs some work, however short it is."""
PATH = re.compile(rb"/[!$-;=?-\[\]_a-z|~\x22\\\^`{}]*")
"""A path and a query of visible ASCII characters; no `#`, `<` or `>`."""
ASGI = {"version": "3.0", "spec_version": "2.3"}

_OTHER_TARGET = re.compile(
    rb"\*|https?://([a-z0-9._~!$&'()*+,;=%-]+|\[[0-9a-f:.]+\])(:[0-9]*)?([/?].*)?", re.IGNORECASE | re.DOTALL
)
"""Targets without a slash at the start (RFC 9112 section 3.2): absolute-form, or the asterisk."""

Address = tuple[str, int] | None


class Head:
    """Target and headers; names are in lower case."""

    def __init__(self) -> None:
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self._size = 0

    def add_target(self, piece: bytes) -> None:
        """A piece of the target has arrived."""
        self.target += piece
        self._size += len(piece)

    def add(self, name: bytes, value: bytes) -> None:
        """A header has arrived."""
        self.headers.append((name.lower(), value))
        self._size += len(name) + len(value)

    def flaw(self, method: bytes, version: str) -> int:
        """The status of the refusal; 0 for a valid head."""
        if self._size > MAX_HEAD or len(self.headers) > MAX_HEADERS:
            return 431
        if version not in ("2", "1.1", "1.0"):
            return 505
        names = [name for name, _ in self.headers]
        hosts = names.count(b"host")
        # RFC 9112 section 3.2; and of two tokens, a proxy may have checked the other one
        is_target = self.target.startswith(b"/") or method == b"CONNECT" or _OTHER_TARGET.fullmatch(self.target)
        if not is_target or hosts > 1 or (hosts == 0 and version == "1.1") or names.count(b"authorization") > 1:
            return 400
        if b"transfer-encoding" in names:
            if version != "1.1":
                return 400  # RFC 9112 section 6.1; RFC 9113 section 8.2.2
            if [value.lower() for name, value in self.headers if name == b"transfer-encoding"] != [b"chunked"]:
                return 501
        return 501 if method == b"CONNECT" else 0

    def is_path(self, method: bytes) -> bool:
        """Whether the target is a path without a fragment, spaces or other bytes that are invalid in a URI (RFC 9113
        section 8.3.1); `*` is valid for OPTIONS.
        """
        return PATH.fullmatch(self.target) is not None or (method == b"OPTIONS" and self.target == b"*")

    def line(self, method: bytes, version: str) -> bytes:
        """The request line."""
        return b"%b %b HTTP/%b\r\n" % (method, self.target, version.encode("ascii"))

    def is_only_line(self, raw: bytes, method: bytes) -> bool:
        """Whether everything like the request line in `raw` has single spaces and HTTP.

        For pipelined requests in the same piece: the place of the line in it is unknown.
        """
        like = rb"%b +%b +(?:HTTP|RTSP|ICE)/" % (re.escape(method), re.escape(self.target))
        return set(re.findall(like, raw)) == {b"%b %b HTTP/" % (method, self.target)}

    def without_offer(self, method: bytes, version: str) -> bytes:
        """The head without the upgrade (RFC 9110 section 7.8)."""
        lines = [b": ".join(pair) for pair in self.headers if pair[0] != b"upgrade"]
        return self.line(method, version) + b"\r\n".join((*lines, b"", b""))

    def expects_continue(self, version: str) -> bool:
        """Whether the client waits for 100 Continue before it sends the body (RFC 9110 section 10.1.1)."""
        return version == "1.1" and any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in self.headers
        )

    def scope(self, method: bytes, version: str, scheme: str, client: Address, server: Address) -> dict[str, Any]:
        """The ASGI scope."""
        path, _, query = self.target.partition(b"?")
        if not path.startswith(b"/") and path != b"*":  # the authority is not needed: no route depends on it
            path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
        return {
            "type": "http",
            "asgi": ASGI,
            "http_version": version,
            "method": method.decode("ascii"),
            "scheme": scheme,
            "path": unquote(path) if b"%" in path else path.decode("ascii", "replace"),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": self.headers,
            "client": client,
            "server": server,
            "state": {},
        }
