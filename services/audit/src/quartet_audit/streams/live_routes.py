"""The route of live tails: the entries of the caller's tenant as they are appended; scope audit:read."""

from dataclasses import dataclass

from quart import Blueprint, Response, request
from quart_schema import document_querystring, tag

from quartet_audit.config import AuditConfig
from quartet_audit.entries.entry_range_store import read_size
from quartet_audit.entries.filter_domain import FILTERS, Filters, read_filters
from quartet_audit.streams.live_usecases import follow, share_of_tails
from quartet_common.core.fair_share import FairShare
from quartet_common.runtime.container import AppContainer
from quartet_common.web.dependencies import app_container, dependency
from quartet_common.web.guard import caller, requires
from quartet_common.web.openapi import answers
from quartet_common.web.query_parameters import BadParameterError, read_given, whole_number
from quartet_common.web.responses import hold_share, streamed_response

EVENT_STREAM = "text/event-stream"
LAST_EVENT = "Last-Event-ID"

blueprint = Blueprint("live", __name__, url_prefix="/audit/events")


@dataclass(frozen=True)
class Tails:
    """The share of a tenant in the live tails of a process."""

    share: FairShare

    @classmethod
    def of(cls, container: AppContainer[AuditConfig]) -> "Tails":
        """The share, which the process reports."""
        share = share_of_tails()
        container.shares.append(share)
        return cls(share)


@blueprint.get("/live")
@requires("audit:read")
@tag(["audit"])
@document_querystring(Filters)
@answers(EVENT_STREAM)
async def live() -> Response:
    """Follow the log of the caller's tenant: entries as Server-Sent Events as they are appended, or those after the
    header Last-Event-ID.
    """
    container, tenant = app_container(AuditConfig), caller().tenant
    search = read_filters(read_given(request.args.to_dict(flat=False), FILTERS))
    token = request.headers["Authorization"].partition(" ")[2].strip(" ")
    async with container.database.connection() as connection:
        size = await read_size(connection, tenant)
    position = read_position(request.headers.get(LAST_EVENT, ""), size)
    tail = follow(container, tenant, search, position, lambda: _verify(container, token))
    held = hold_share(dependency(Tails).share, tenant, tail)
    return await streamed_response(held, EVENT_STREAM, {"Cache-Control": "no-store"})


def read_position(last_event: str, size: int) -> int:
    """The sequence after that of the header Last-Event-ID; the end of the log without one. Raises BadParameterError."""
    if not last_event:
        return size
    if size == 0:
        raise BadParameterError(LAST_EVENT, "must not be sent: the log has no entry yet")
    return whole_number(LAST_EVENT, last_event, 0, size - 1) + 1


async def _verify(container: AppContainer[AuditConfig], token: str) -> None:
    await container.verifier.verify(token)
