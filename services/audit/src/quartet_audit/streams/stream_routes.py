"""Routes of streams: destinations that get the entries of the caller's tenant; scope audit:streams."""

import msgspec
from quart import Blueprint, Response
from quart_schema import document_request, document_response, tag

from quartet_audit.config import AuditConfig
from quartet_audit.streams import stream_usecases
from quartet_audit.streams.stream_domain import Stream
from quartet_audit.streams.stream_models import NewStream, Replay, StreamChange, StreamList, StreamState
from quartet_audit.streams.stream_usecases import Streams
from quartet_common.web.bodies import read_json
from quartet_common.web.dependencies import app_container, dependency
from quartet_common.web.guard import caller, requires
from quartet_common.web.idempotency import idempotent
from quartet_common.web.openapi import ProblemDocument
from quartet_common.web.responses import json_response

blueprint = Blueprint("streams", __name__, url_prefix="/audit/streams")


@blueprint.post("")
@requires("audit:streams")
@tag(["audit"])
@document_request(NewStream)
@document_response(StreamState, 201)
@document_response(ProblemDocument, 409)
@idempotent
async def create() -> Response:
    """Create a stream; the answer shows the secret of a webhook, once."""
    container = app_container(AuditConfig)
    wanted = await read_json(NewStream)
    stream, secret = await stream_usecases.create_stream(container, dependency(Streams), caller(), wanted)
    location = f"{container.config.issuer}/audit/streams/{stream.id}"
    return _answer(stream, secret, 201, {"Location": location})


@blueprint.get("")
@requires("audit:streams")
@tag(["audit"])
@document_response(StreamList)
async def list_() -> Response:
    """List the streams of the caller's tenant."""
    found = await stream_usecases.list_streams(app_container(AuditConfig), caller().tenant)
    return json_response(msgspec.json.encode(StreamList([StreamState.of(stream) for stream in found])))


@blueprint.get("/<stream_id>")
@requires("audit:streams")
@tag(["audit"])
@document_response(StreamState)
async def read(stream_id: str) -> Response:
    """Read a stream: what it is, and how far it has come."""
    return _answer(await stream_usecases.read_stream(app_container(AuditConfig), caller().tenant, stream_id))


@blueprint.patch("/<stream_id>")
@requires("audit:streams")
@tag(["audit"])
@document_request(StreamChange)
@document_response(StreamState)
async def change(stream_id: str) -> Response:
    """Change a stream; what is not delivered yet goes to the new destination."""
    wanted = await read_json(StreamChange)
    container, streams = app_container(AuditConfig), dependency(Streams)
    stream, secret = await stream_usecases.change_stream(container, streams, caller(), stream_id, wanted)
    return _answer(stream, secret)


@blueprint.delete("/<stream_id>")
@requires("audit:streams")
@tag(["audit"])
async def delete(stream_id: str) -> Response:
    """Delete a stream."""
    await stream_usecases.delete_stream(app_container(AuditConfig), caller(), stream_id)
    return Response(b"", 204)


@blueprint.post("/<stream_id>/pause")
@requires("audit:streams")
@tag(["audit"])
@document_response(StreamState)
async def pause(stream_id: str) -> Response:
    """Pause a stream: it keeps its place in the log."""
    return _answer(await stream_usecases.pause_stream(app_container(AuditConfig), caller(), stream_id))


@blueprint.post("/<stream_id>/resume")
@requires("audit:streams")
@tag(["audit"])
@document_response(StreamState)
async def resume(stream_id: str) -> Response:
    """Resume a stream from its place in the log; one that fails is tried again at once."""
    return _answer(await stream_usecases.resume_stream(app_container(AuditConfig), caller(), stream_id))


@blueprint.post("/<stream_id>/replay")
@requires("audit:streams")
@tag(["audit"])
@document_request(Replay)
@document_response(StreamState)
@idempotent
async def replay(stream_id: str) -> Response:
    """Deliver again from an entry on, given by its sequence or by the time at which it was recorded."""
    start = (await read_json(Replay)).start
    return _answer(await stream_usecases.replay_stream(app_container(AuditConfig), caller(), stream_id, start))


def _answer(
    stream: Stream, secret: str | None = None, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    return json_response(msgspec.json.encode(StreamState.of(stream, secret)), status, headers=headers)
