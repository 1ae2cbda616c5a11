"""Shapes of imports over HTTP."""

from typing import Annotated

from msgspec import Meta, Struct


class ImportQuery(Struct):
    """Whose counts are imported."""

    tenant: Annotated[str, Meta(description="The id of the tenant that counts what the body says. Required.")] = ""


class ImportDocument(Struct):
    """How many samples and active users were not there, or had another amount."""

    changed: int
