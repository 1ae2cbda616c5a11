"""Health: `live` shows that the process runs, `ready` whether it can answer, and which servers are down."""

from typing import Any

from quart import Blueprint
from quart_schema import tag_blueprint

from quartet_common.runtime.readiness import Readiness
from quartet_common.web.dependencies import dependency
from quartet_common.web.guard import unlimited

blueprint = Blueprint("health", __name__)
tag_blueprint(blueprint, ["Operations"])


@blueprint.get("/live")
@unlimited
async def live() -> dict[str, str]:
    """Check that the process runs."""
    return {"status": "live"}


@blueprint.get("/ready")
@unlimited
async def ready() -> tuple[dict[str, Any], int]:
    """Check that the service is ready; 503 names the servers that are down."""
    return await dependency(Readiness).report()
