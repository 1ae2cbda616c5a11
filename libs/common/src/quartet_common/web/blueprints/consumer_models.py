"""Shapes of requests and responses about consumers."""

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct

from quartet_common.core.validation_messages import NO_CONTROL_CHARACTERS
from quartet_common.messaging.consumer_pauses import Pause


class NewPause(Struct, forbid_unknown_fields=True):
    """Why a consumer is paused."""

    reason: Annotated[str, Meta(min_length=1, max_length=300, pattern=NO_CONTROL_CHARACTERS)]


class ConsumerDocument(Struct):
    """A consumer; the last three are null unless it is paused."""

    name: str
    paused: bool
    reason: str | None = None
    paused_by: str | None = None
    paused_at: datetime | None = None

    @classmethod
    def of(cls, name: str, pause: Pause | None) -> "ConsumerDocument":
        """The document of a consumer."""
        if pause is None:
            return cls(name, paused=False)
        return cls(name, True, pause.reason, pause.paused_by, pause.paused_at)


class ConsumerListDocument(Struct):
    """The consumers of a service."""

    consumers: list[ConsumerDocument]


def examples(service: str) -> dict[str, Any]:
    """Examples of request bodies, by method and path."""
    return {f"POST /{service}/rabbitmq/consumers/{{consumer}}/pause": {"reason": "Its handler is being repaired."}}
