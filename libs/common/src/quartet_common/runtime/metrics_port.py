"""The private port of each process: Prometheus text and health, never reached through the proxy.

A plain ASGI application: with Quart a worker would have 10 MB more.
"""

import hmac
from typing import Any, NamedTuple

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from quartet_common.runtime.readiness import Readiness

TEXT, JSON = "text/plain; charset=utf-8", "application/json"


class Answer(NamedTuple):
    """A response; its headers without type and length."""

    body: bytes
    content_type: str = TEXT
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()


NOT_FOUND = Answer(b"There is no such path.\n", status=404)
NOT_ALLOWED = Answer(b"Only GET and HEAD are allowed.\n", status=405, headers=((b"allow", b"GET, HEAD"),))
UNAUTHORIZED = Answer(b"The token is missing or wrong.\n", status=401, headers=((b"www-authenticate", b"Bearer"),))


class PrivateApp:
    """`/metrics`, which requires `token` as a bearer token (RFC 6750) unless it is empty, `/health/live` and
    `/health/ready`. Other users of the machine can reach the port, and metrics contain information about tenants.
    """

    def __init__(self, readiness: Readiness, token: str = "") -> None:
        self._readiness = readiness
        self._expected = f"Bearer {token}".encode() if token else None

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        """Answer one request (ASGI)."""
        answer = await self._answer(scope["path"], dict(scope["headers"]))
        if scope["method"] not in ("GET", "HEAD"):
            answer = NOT_ALLOWED
        length = str(len(answer.body)).encode()
        headers = [(b"content-type", answer.content_type.encode()), (b"content-length", length), *answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})

    async def _answer(self, path: str, headers: dict[bytes, bytes]) -> Answer:
        if path == "/metrics":
            if self._expected and not hmac.compare_digest(headers.get(b"authorization", b""), self._expected):
                return UNAUTHORIZED
            return Answer(generate_latest(REGISTRY), CONTENT_TYPE_LATEST)
        if path == "/health/live":
            return Answer(orjson.dumps({"status": "live"}), JSON)
        if path == "/health/ready":
            report, status = await self._readiness.report()
            return Answer(orjson.dumps(report), JSON, status)
        return NOT_FOUND
