"""Bulk (RFC 7644 3.7): parses requests, resolves references, plans the order, and builds the response."""

from quartet_scim.bulk.bulk_results import BulkResults, Outcome
from quartet_scim.bulk.messages import (
    BULK_REQUEST_SCHEMA,
    MAX_OPERATIONS,
    BulkOperation,
    BulkRequest,
    Method,
    parse_bulk,
)
from quartet_scim.bulk.plan import Plan, Planned, make_plan

__all__ = [
    "BULK_REQUEST_SCHEMA",
    "MAX_OPERATIONS",
    "BulkOperation",
    "BulkRequest",
    "BulkResults",
    "Method",
    "Outcome",
    "Plan",
    "Planned",
    "make_plan",
    "parse_bulk",
]
