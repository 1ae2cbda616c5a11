"""PATCH (RFC 7644 3.5.2): parses messages, applies operations to resources, and separates changes of group members."""

from quartet_scim.patch.engine import Patched, PatchEngine
from quartet_scim.patch.members import MemberChanges, split_member_operations
from quartet_scim.patch.messages import PATCH_SCHEMA, Op, Operation, parse_patch
from quartet_scim.patch.patch_budget import SMALL_BUDGET

__all__ = [
    "PATCH_SCHEMA",
    "SMALL_BUDGET",
    "MemberChanges",
    "Op",
    "Operation",
    "PatchEngine",
    "Patched",
    "parse_patch",
    "split_member_operations",
]
