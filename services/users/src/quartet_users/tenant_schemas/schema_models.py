"""Shapes of requests and responses about schemas of tenants."""

from dataclasses import dataclass
from typing import Any


@dataclass
class SchemaDocument:
    """A schema (RFC 7643 section 7)."""

    id: str
    name: str
    attributes: list[dict[str, Any]]
    schemas: list[str] | None = None
    description: str | None = None
    meta: dict[str, Any] | None = None
