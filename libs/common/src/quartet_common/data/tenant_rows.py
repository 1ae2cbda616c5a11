"""Rows of a tenant: the tables with such rows, and their deletion."""

from collections.abc import Collection, Sequence

from quartet_common.data.connections import Connection


async def tables(connection: Connection) -> list[str]:
    """The tables of the service's schema with a tenant_id, in an order in which they can be emptied: children before
    parents, then those without references and triggers, such as totals that triggers of other tables write.
    """
    rows = await connection.fetch(
        """
        SELECT c.relname AS name, c.oid, EXISTS (
            SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) AS triggers
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        ORDER BY c.relname
        """
    )
    names = {row["oid"]: row["name"] for row in rows}
    edges = await connection.fetch(
        "SELECT DISTINCT conrelid, confrelid FROM pg_constraint WHERE contype = 'f' AND conrelid <> confrelid"
    )
    pairs = [(names[edge[0]], names[edge[1]]) for edge in edges if edge[0] in names and edge[1] in names]
    active = {row["name"] for row in rows if row["triggers"]} | {name for pair in pairs for name in pair}
    passive = [name for name in names.values() if name not in active]
    return [*children_first(sorted(active), pairs), *passive]


def children_first(names: Sequence[str], pairs: Collection[tuple[str, str]]) -> list[str]:
    """`names` in an order in which the child of each pair (child, parent) comes first. Raises ValueError for a
    cycle.
    """
    left, ordered = list(names), list[str]()
    while left:
        parents = {parent for child, parent in pairs if child in left}
        free = [name for name in left if name not in parents]
        if not free:
            raise ValueError(f"tables refer to each other in a circle: {', '.join(left)}")
        ordered += free
        left = [name for name in left if name not in free]
    return ordered


async def erase_rows(connection: Connection, table: str, tenant: str, limit: int) -> int:
    """Delete at most `limit` rows of a tenant; return how many. `table` is a name from the catalogue.

    Forces an index scan, also for later statements of the transaction: for a tenant with many rows PostgreSQL would
    scan the whole table for each batch, and the last scan, which finds nothing, would take too long.
    """
    await connection.execute("SET LOCAL enable_seqscan = off")
    name = '"' + table.replace('"', '""') + '"'
    done: str = await connection.execute(
        f"""
        DELETE FROM {name} WHERE tenant_id = $1
        AND ctid = ANY(ARRAY(SELECT ctid FROM {name} WHERE tenant_id = $1 LIMIT $2))
        """,
        tenant,
        limit,
    )
    return int(done.rpartition(" ")[2])
