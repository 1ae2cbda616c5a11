"""What is said to whoever has sent too much."""

from quartet_common.core.errors import ServiceError


class LimitedError(ServiceError):
    """429 with Retry-After (RFC 6585 section 4): `limit` names the limit, `wait` is in whole seconds."""

    def __init__(
        self,
        limit: str,
        wait: int,
        detail: str = "Too many requests. Wait as long as Retry-After says, then try again.",
    ) -> None:
        super().__init__(429, "too_many_requests", detail, {"Retry-After": str(wait)})
        self.limit = limit
