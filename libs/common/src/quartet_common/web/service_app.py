"""The Quart application of a service: its requests and responses hold bytes of their tenant's share of memory."""

from typing import Any

from quart import Response
from quart.ctx import RequestContext
from quart.typing import ResponseReturnValue
from quart.wrappers.response import DataBody

from quartet_common.auth.opaque_tokens import hide
from quartet_common.web.memory import Memory
from quartet_common.web.service_request import FREE_BYTES, ServiceRequest, running_request
from quartet_serving.asgi import WITH_BODY, ServedApp
from quartet_serving.request import ServedRequest


class ServiceApp(ServedApp):
    """An application whose large requests and responses are charged to their tenants."""

    request_class = ServiceRequest

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.memory = Memory()
        """Knows when large requests have ended."""

    async def dispatch_request(self, request_context: RequestContext | None = None) -> ResponseReturnValue:
        """Run the view; a large response holds its size of the tenant's share of bytes in flight until it is sent."""
        result = await super().dispatch_request(request_context)
        asked = running_request() if request_context is None else request_context.request
        size = len(result.response.data) if isinstance(result, Response) and type(result.response) is DataBody else 0
        charged = size if size > FREE_BYTES else 0
        if isinstance(asked, ServiceRequest) and charged != asked.bytes_held:
            asked.release_bytes(kept=charged)
            if asked.method not in WITH_BODY:  # what a write has done is not refused any more
                await asked.hold_bytes(charged)
        return result

    def end_request(self, request: ServedRequest) -> None:
        """Have the request hold no bytes of its tenant's share any more."""
        if isinstance(request, ServiceRequest):
            request.release_bytes()
            if request.is_large:
                self.memory.requests += 1

    def loggable_path(self, path: str) -> str:
        """`path` without tokens and secrets."""
        return hide(path)
