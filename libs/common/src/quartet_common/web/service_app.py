"""The Quart application of a service: its requests and responses hold bytes of their tenant's share of memory, and have
an id, headers and a log line.
"""

import asyncio
import logging
import re
import time
from http import HTTPStatus
from typing import Any, cast

from quart import Quart, Request, Response
from quart.ctx import RequestContext
from quart.typing import ResponseReturnValue
from quart.wrappers.response import DataBody
from werkzeug.wrappers import Response as WerkzeugResponse

from quartet_common.auth.opaque_tokens import hide
from quartet_common.auth.origin_list import OriginList
from quartet_common.core.errors import BadRequestError
from quartet_common.core.identifiers import new_id_text
from quartet_common.runtime.unit_of_work import PUBLISHED
from quartet_common.telemetry.logs import begin_context
from quartet_common.web.cors import cors_headers
from quartet_common.web.memory import Memory
from quartet_common.web.pauses import Pauses
from quartet_common.web.service_request import FREE_BYTES, ServiceRequest, running_globals, running_request
from quartet_serving.asgi import WITH_BODY, ServedApp
from quartet_serving.exchange import EXTENSION, Exchange
from quartet_serving.request import ServedRequest
from quartet_serving.sending import add_headers

logger = logging.getLogger(__name__)

TOO_MANY_REQUESTS = 429
EVENT_HEADER = "Quartet-Event"
"""The header with the ids of the events that a request has published: those of their entries in the audit log."""
MAX_EVENT_IDS = 20
"""Maximum ids in this header, 38 bytes each; further ids are left out."""
REQUEST_ID = re.compile(r"[A-Za-z0-9._~-]{1,128}")

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}

BY_LOWER_NAME = {name.lower(): (name, value) for name, value in SECURITY_HEADERS.items()}


class ServiceApp(ServedApp):
    """An application whose large requests and responses are charged to their tenants."""

    request_class = ServiceRequest

    def __init__(self, *arguments: Any, stopping: asyncio.Event, **options: Any) -> None:
        """`stopping` ends the pauses before 429 responses."""
        super().__init__(*arguments, **options)
        self.memory = Memory()
        """Counts finished large requests."""
        self.pauses = Pauses(stopping)

    async def handle_request(self, request: Request) -> Response | WerkzeugResponse:
        """Handle `request`; the pause before a 429 response ends when the client disconnects."""
        response = await super().handle_request(request)
        if response.status_code != TOO_MANY_REQUESTS or not isinstance(request, ServiceRequest):
            return response
        if not request.is_internal:
            exchange: Exchange | None = cast(Any, request.scope).get("extensions", {}).get(EXTENSION)
            if exchange is not None:
                exchange.on_disconnect = request.abandon
            request.body.clear()
            request.release_bytes()
            request.stop_on_disconnect()
            await self.pauses.pause()
        return response

    async def dispatch_request(self, request_context: RequestContext | None = None) -> ResponseReturnValue:
        """Run the view; a large response holds its size of the tenant's share of bytes in flight until it is sent."""
        result = await super().dispatch_request(request_context)
        request = running_request() if request_context is None else request_context.request
        size = len(result.response.data) if isinstance(result, Response) and type(result.response) is DataBody else 0
        charged = size if size > FREE_BYTES else 0
        if isinstance(request, ServiceRequest) and charged != request.bytes_held:
            request.release_bytes(kept=charged)
            if request.method not in WITH_BODY:  # a write that was done cannot be refused any more
                await request.hold_bytes(charged)
        return result

    def end_request(self, request: ServedRequest) -> None:
        """Release all bytes that the request holds."""
        if isinstance(request, ServiceRequest):
            request.release_bytes()
            if request.is_large:
                self.memory.requests += 1

    def loggable_path(self, path: str) -> str:
        """`path` without tokens and secrets."""
        return hide(path)


def install_request_hooks(app: Quart, origins: OriginList) -> None:
    async def begin() -> None:
        state = running_globals()
        state.started = time.perf_counter()
        request = running_request()
        sent = request.headers.get("X-Request-Id", "")
        state.request_id = sent if REQUEST_ID.fullmatch(sent) else new_id_text()
        begin_context(request_id=state.request_id)
        PUBLISHED.set([])
        if "\x00" in request.path or b"%00" in request.query_string:
            raise BadRequestError("The URL contains a NUL character (%00). Remove it.", "bad_address")

    async def finish(response: Response) -> Response:
        state, asked = running_globals(), running_request()
        added = [("X-Request-Id", state.get("request_id", "")), *cors_headers(origins, asked)]
        limits = state.get("limits")
        if limits is not None:
            added += [("RateLimit-Policy", limits[0]), ("RateLimit", limits[1])]
        published = PUBLISHED.get()
        if published and response.status_code < HTTPStatus.BAD_REQUEST:
            added.append((EVENT_HEADER, ", ".join(map(str, published[:MAX_EVENT_IDS]))))
        present = {name.lower() for name, _ in response.headers}
        added += [header for lower, header in BY_LOWER_NAME.items() if lower not in present]
        add_headers(response, added)
        _log_request(asked, response, state.get("started"))
        return response

    app.before_request(begin)
    app.after_request(finish)


def _log_request(request: Request, response: Response, started: float | None) -> None:
    now = time.perf_counter()
    logger.info(
        "request",
        extra={
            "method": request.method,
            "path": hide(request.path),
            "status": response.status_code,
            "ms": round((now - (started or now)) * 1000, 2),
        },
    )
