"""The private port of each process: Prometheus text and health, never reached through the proxy."""

from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from quart import Quart, Response

from quartet_common.readiness import Readiness


def create_private_app(readiness: Readiness) -> Quart:
    """`/metrics`, `/health/live` and `/health/ready`."""
    app = Quart("quartet_private", static_folder=None)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)

    @app.get("/health/live")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/health/ready")
    async def ready() -> tuple[dict[str, Any], int]:
        return await readiness.report()

    return app
