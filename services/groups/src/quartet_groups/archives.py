"""Archives: what the groups service archives of a tenant, in the order of the restore."""

from collections.abc import Mapping
from types import MappingProxyType

from quartet_common.data.archived_table import ORIGINS, ArchivedTable

ARCHIVED: Mapping[str, ArchivedTable] = MappingProxyType(
    {
        "known_user": ArchivedTable("known_users", "id", ("id", "display", "version", "deleted")),
        "group": ArchivedTable(
            "groups",
            "id",
            ("id", "display_name", "external_id", "version", "created_at", "modified_at", "resource"),
        ),
        "nesting": ArchivedTable("nestings", "parent_id, child_id", ("parent_id", "child_id")),
        "member": ArchivedTable("members", "group_id, member_id", ("group_id", "member_id")),
        "privileged_group": ArchivedTable("privileged_groups", "group_id", ("group_id", "marked_at")),
        "tenant_origins": ORIGINS,
    }
)
"""The archived tables. tests/conventions/test_archives.py has the reason for each table and column not archived."""
