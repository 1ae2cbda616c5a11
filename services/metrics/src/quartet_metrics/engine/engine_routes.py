"""Routes of the engine: platform administrators see its state, and have its samples written again."""

from msgspec import Struct
from quart import Blueprint, Response
from quart_schema import document_response, tag

from quartet_common.web.dependencies import app_container
from quartet_common.web.guard import requires
from quartet_common.web.responses import json_response
from quartet_metrics.config import MetricsConfig
from quartet_metrics.engine.engine_usecases import EngineState, read_state
from quartet_metrics.engine.engine_usecases import rebuild as rebuild_engine

blueprint = Blueprint("engine", __name__, url_prefix="/metrics/engine")


class EngineDocument(Struct, frozen=True):
    """Whether there is an engine; the number of series, and of those that wait to be written again."""

    configured: bool
    series: int
    waiting: int


@blueprint.get("")
@requires("platform:admin")
@tag(["engine"])
@document_response(EngineDocument)
async def read() -> Response:
    """State how many series wait to be written to the engine again."""
    return _answer(await read_state(app_container(MetricsConfig)))


@blueprint.post("/rebuild")
@requires("platform:admin")
@tag(["engine"])
@document_response(EngineDocument, 202)
async def rebuild() -> Response:
    """Have the worker delete all series of Quartet in the engine, and write them again from PostgreSQL."""
    return _answer(await rebuild_engine(app_container(MetricsConfig)), 202)


def _answer(state: EngineState, status: int = 200) -> Response:
    return json_response({"configured": state.is_configured, "series": state.series, "waiting": state.waiting}, status)
