"""Shapes of requests and responses about origins; the Body struct parses requests, the rest is for OpenAPI."""

from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from quartet_common.core.validation_messages import NO_CONTROL_CHARACTERS
from quartet_users.origins.origin_domain import MAX_LENGTH

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_LENGTH, pattern=NO_CONTROL_CHARACTERS)]


class NewOriginBody(msgspec.Struct, forbid_unknown_fields=True):
    """The parsed body of NewOriginDocument."""

    origin: Text


@dataclass
class NewOriginDocument:
    """An origin to allow: scheme, host and port, such as https://app.example.com or https://*.example.com."""

    origin: str


@dataclass
class OriginDocument:
    """An allowed origin, in the form in which browsers send it."""

    id: str
    origin: str
    created_at: str
    created_by: str


@dataclass
class OriginListDocument:
    """A page of origins; `next` is the cursor of the next page, null on the last."""

    origins: list[OriginDocument] = field(default_factory=list)
    next: str | None = None


@dataclass
class OriginPageQuery:
    """The query parameters of a page."""

    cursor: str | None = None
    count: int | None = None
