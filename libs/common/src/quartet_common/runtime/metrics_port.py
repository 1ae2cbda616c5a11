"""The private port of each process: Prometheus text and health, never reached through the proxy."""

import hmac
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from quart import Quart, Response, request

from quartet_common.runtime.readiness import Readiness


def create_private_app(readiness: Readiness, token: str = "") -> Quart:
    """`/metrics`, which requires `token` as a bearer token (RFC 6750) unless it is empty, `/health/live` and
    `/health/ready`. Other users of the machine can reach the port, and metrics contain information about tenants.
    """
    app = Quart("quartet_private", static_folder=None)
    expected = f"Bearer {token}".encode()

    @app.get("/metrics")
    async def metrics() -> Response:
        if token and not hmac.compare_digest(request.headers.get("Authorization", "").encode(), expected):
            return Response("The token is missing or wrong.\n", 401, {"WWW-Authenticate": "Bearer"}, "text/plain")
        return Response(generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)

    @app.get("/health/live")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/health/ready")
    async def ready() -> tuple[dict[str, Any], int]:
        return await readiness.report()

    return app
