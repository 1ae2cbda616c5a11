"""Archives: what the metrics service archives of a tenant, in the order of the restore.

Counts are the lines of an export, and are imported. Points of applications are in the engine, not here.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from quartet_common.data.archived_table import ORIGINS, ArchivedTable
from quartet_common.data.connections import Connection
from quartet_common.runtime.archives import Archived
from quartet_metrics.active_users import active_user_store
from quartet_metrics.imports.import_domain import read_lines
from quartet_metrics.imports.import_usecases import store_import
from quartet_metrics.queries import query_store


@dataclass(frozen=True)
class Counts:
    """The lines of one kind of an export; `table` has their rows."""

    kind: str
    lines: Callable[[Connection, str], AsyncIterator[bytes]]
    table: ArchivedTable

    def export(self, connection: Connection, tenant: str) -> AsyncIterator[bytes]:
        """The data of the lines."""
        return self.lines(connection, tenant)

    async def restore(self, connection: Connection, tenant: str, rows: Sequence[bytes]) -> None:
        """Import lines. Raises LineError and ValueError."""
        lines = [b'{"kind":"%b","data":%b}' % (self.kind.encode(), row) for row in rows]
        await store_import(connection, tenant, read_lines(lines))

    async def exists(self, connection: Connection, tenant: str) -> bool:
        """Whether the tenant has a count."""
        return await self.table.exists(connection, tenant)


_USERS = "active_users"
ARCHIVED: Mapping[str, Archived] = MappingProxyType(
    {
        "series": Counts("series", query_store.export_series, ArchivedTable("series", "series", ())),
        "sample": Counts("sample", query_store.export_samples, ArchivedTable("samples", "series", ())),
        "active_user": Counts("active_user", active_user_store.export_active_users, ArchivedTable(_USERS, "day", ())),
        "former_user": ArchivedTable("former_users", "user_id", ("user_id", "alias", "deleted_on")),
        "alert_rule": ArchivedTable("alert_rules", "id", ("id", "version", "definition", "created_at", "changed_at")),
        "tenant_origins": ORIGINS,
    }
)
"""What is archived. tests/conventions/test_archives.py has the reason for each table and column not archived."""
