"""Shapes of what the routes of logs and proofs take and answer, from which OpenAPI is made."""

from typing import Annotated

from msgspec import Meta, Struct, field

from quartet_audit.entries.filter_domain import Filters


class ConsistencyQuery(Struct, frozen=True):
    """The sizes of two trees of a log."""

    start: Annotated[int, Meta(ge=0, description="The size of the older tree.")] = field(name="from")
    end: Annotated[int, Meta(ge=0, description="The size of the newer tree.")] = field(name="to")


class ConsistencyDocument(Struct, frozen=True):
    """The hashes of the proof in base64."""

    hashes: list[str]


class ExportQuery(Filters, frozen=True, kw_only=True):
    """What is exported, in which form, and where it begins. A bundle has all entries: no filters, and `from` is the
    sequence of its first one.
    """

    format: Annotated[str, Meta(description="The form of the export: `ndjson`, `csv`, `ocsf` or `bundle`.")]
    after: Annotated[
        str, Meta(description="The `sequence` of the last entry that you have; those after it follow. Not of a bundle.")
    ] = ""
    deployment: Annotated[
        str,
        Meta(description="Of a bundle: the size of the deployment log in the piece before, which this one continues."),
    ] = ""
    start: Annotated[
        str, Meta(description="RFC 3339 time of the event, inclusive. Of a bundle: the sequence of its first entry.")
    ] = field(name="from", default="")


class ProofQuery(Struct, frozen=True):
    """Whether a proof waits."""

    wait: Annotated[int, Meta(ge=0, le=10, description="The seconds to wait for the entry and its checkpoint.")] = 0


class LogKeysQuery(Struct, frozen=True):
    """Parameters of a rotation."""

    now: Annotated[bool, Meta(description="Whether the keys that are replaced stop signing at once.")] = False
