"""Request hooks: the id, the headers and the log line of each request."""

import logging
import re
import time

from quart import Quart, Request, Response

from quartet_common.auth.opaque_tokens import hide
from quartet_common.core.errors import BadRequestError
from quartet_common.core.identifiers import new_id_text
from quartet_common.telemetry.logs import begin_context
from quartet_common.web.service_request import running_globals, running_request
from quartet_serving.sending import add_headers

logger = logging.getLogger(__name__)

REQUEST_ID = re.compile(r"[A-Za-z0-9._~-]{1,128}")

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}

BY_LOWER_NAME = {name.lower(): (name, value) for name, value in SECURITY_HEADERS.items()}


def install_request_hooks(app: Quart) -> None:
    async def begin() -> None:
        known = running_globals()
        known.started = time.perf_counter()
        asked = running_request()
        sent = asked.headers.get("X-Request-Id", "")
        known.request_id = sent if REQUEST_ID.fullmatch(sent) else new_id_text()
        begin_context(request_id=known.request_id)
        if "\x00" in asked.path or b"%00" in asked.query_string:
            raise BadRequestError("The URL contains a NUL character (%00). Remove it.", "bad_address")

    async def finish(response: Response) -> Response:
        known = running_globals()
        added = [("X-Request-Id", known.get("request_id", ""))]
        said = known.get("limits")
        if said is not None:
            added += [("RateLimit-Policy", said[0]), ("RateLimit", said[1])]
        present = {name.lower() for name, _ in response.headers}
        added += [header for lower, header in BY_LOWER_NAME.items() if lower not in present]
        add_headers(response, added)
        _log_request(running_request(), response, known.get("started"))
        return response

    app.before_request(begin)
    app.after_request(finish)


def _log_request(asked: Request, response: Response, started: float | None) -> None:
    now = time.perf_counter()
    logger.info(
        "request",
        extra={
            "method": asked.method,
            "path": hide(asked.path),
            "status": response.status_code,
            "ms": round((now - (started or now)) * 1000, 2),
        },
    )
