"""Archived tables: the rows of a tenant in a table as lines of an archive, and back, by PostgreSQL's own JSON."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from quartet_common.data.connections import Connection
from quartet_common.data.row_exports import PREFETCH


@dataclass(frozen=True)
class ArchivedTable:
    """The rows of `table`, in the order of `key`: its `columns` without tenant_id.

    `replaced` are columns that are not archived, with the SQL of what a restored row has instead; `row` is the row.
    All names are constants of the service.
    """

    table: str
    key: str
    columns: Sequence[str]
    replaced: Mapping[str, str] = field(default_factory=dict)
    prefetch: int = PREFETCH

    async def export(self, connection: Connection, tenant: str) -> AsyncIterator[bytes]:
        """The rows as JSON; `connection` must be in a snapshot."""
        query = f"""
            SELECT row_to_json(row)::text FROM (
                SELECT {", ".join(self.columns)} FROM {self.table} WHERE tenant_id = $1 ORDER BY {self.key}
            ) AS row"""
        async for row in connection.cursor(query, tenant, prefetch=self.prefetch):
            yield row[0].encode()

    async def restore(self, connection: Connection, tenant: str, rows: Sequence[bytes]) -> None:
        """Store rows that `export` has made. Raises asyncpg's DataError and IntegrityConstraintViolationError."""
        names, values = [*self.columns, *self.replaced], [*self.columns, *self.replaced.values()]
        await connection.execute(
            f"""
            INSERT INTO {self.table} (tenant_id, {", ".join(names)})
            SELECT $1, {", ".join(values)} FROM json_populate_recordset(NULL::{self.table}, $2::json) AS row
            """,
            tenant,
            (b"[%b]" % b",".join(rows)).decode(),
        )

    async def exists(self, connection: Connection, tenant: str) -> bool:
        """Whether the tenant has a row."""
        query = f"SELECT EXISTS (SELECT FROM {self.table} WHERE tenant_id = $1)"
        found: bool = await connection.fetchval(query, tenant)
        return found


ORIGINS = ArchivedTable("tenant_origins", "version", ("version", "origins"))
"""The origins of a tenant, which every service has."""
