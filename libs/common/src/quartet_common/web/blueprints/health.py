"""Health: live says that the process runs, ready names what it cannot work without."""

from typing import Any

from quart import Blueprint
from quart_schema import tag_blueprint

from quartet_common.config.settings import ServiceConfig
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.readiness import Check, Readiness, database_check
from quartet_common.web.guard import unlimited


def health_blueprint(container: AppContainer[ServiceConfig], checks: dict[str, Check]) -> Blueprint:
    """`/live` and `/ready`, public. Redis and RabbitMQ are not asked: the api works without them."""
    blueprint = Blueprint("health", __name__)
    tag_blueprint(blueprint, ["Operations"])
    readiness = Readiness({"postgresql": database_check(container), **checks}, container.stopping)

    @blueprint.get("/live")
    @unlimited
    async def live() -> dict[str, str]:
        """Check that the process runs."""
        return {"status": "live"}

    @blueprint.get("/ready")
    @unlimited
    async def ready() -> tuple[dict[str, Any], int]:
        """Check that the service is ready; 503 names the servers that are down."""
        return await readiness.report()

    return blueprint
