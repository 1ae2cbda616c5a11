"""Migrations: numbered SQL files, applied in order under an advisory lock.

A file expands the schema: code that does not know it goes on working. One that does not, because it removes what older
code uses, is a contract migration: its line `-- contract: 0015` names the lowest migration that code must know. Older
code is refused. docs/decisions/0004 says why no migration library is used, 0047 why old code runs on a new schema.
"""

import hashlib
import importlib.util
import logging
import re
from dataclasses import dataclass
from pathlib import Path

from quartet_common.data.connections import Connection

logger = logging.getLogger(__name__)

FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
CONTRACT = re.compile(r"^-- contract: (\d{4})$", re.MULTILINE)
LOCK_KEY = 0x51554152  # "QUAR"

CREATE_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    component text NOT NULL,
    version integer NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (component, version)
);
ALTER TABLE schema_migrations ADD COLUMN IF NOT EXISTS lowest integer NOT NULL DEFAULT 0"""
INSERT = """
INSERT INTO schema_migrations (component, version, name, checksum, lowest) VALUES ($1, $2, $3, $4, $5)"""


class MigrationError(Exception):
    """The schema does not match the code; the text says what to do."""


@dataclass(frozen=True)
class Migration:
    """One SQL file: `0001_users.sql` is version 1, name `users`."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, so that an edited migration is noticed."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def lowest(self) -> int:
        """The lowest migration that code must know to run on the schema after this one; 0: any code."""
        found = CONTRACT.search(self.sql)
        return int(found[1]) if found else 0


@dataclass(frozen=True)
class Applied:
    """A row of `schema_migrations`."""

    checksum: str
    lowest: int


def find_migrations(package: str) -> list[Migration]:
    """The migrations of an importable package: inside a built one, next to `src/` in a checkout."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MigrationError(f"{package} is not an installed package")
    inside = Path(spec.origin).parent / "migrations"
    return read_migrations(inside if inside.is_dir() else Path(spec.origin).parents[2] / "migrations")


def read_migrations(folder: Path) -> list[Migration]:
    """The migrations in `folder`, in order. Raises MigrationError for a gap, a duplicate number, an invalid name or an
    invalid `-- contract` line.
    """
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = FILE_NAME.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path.name}: a migration is named like 0001_users.sql")
        migration = Migration(int(match[1]), match[2], path.read_text(encoding="utf-8"))
        if migration.sql.count("-- contract") != bool(migration.lowest) or migration.lowest > migration.version:
            raise MigrationError(
                f"{path.name}: a contract migration has one line like `-- contract: 0015`, the lowest migration that "
                "code must know to run after it, which is not above its own number"
            )
        found.append(migration)
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise MigrationError(f"{folder}: migrations must be numbered 0001, 0002, ... without a gap")
    return found


async def migrate(connection: Connection, component: str, migrations: list[Migration], *, rolling: bool = False) -> int:
    """Apply the missing migrations, each file in a transaction; return how many. Safe to run concurrently. A newer
    schema stays as it is.

    Raises MigrationError if code that knows `migrations` cannot run on the schema, if an applied file was edited, or if
    processes run (`rolling`) that cannot run on the new schema.
    """
    await connection.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)
    try:
        await connection.execute(CREATE_TABLE)
        applied = await _applied(connection, component)
        _check(component, applied, migrations)
        missing = migrations[len(applied) :]
        if rolling:
            _require_expand(component, len(applied), missing)
        for migration in missing:
            async with connection.transaction():
                await connection.execute(migration.sql)
                row = migration.version, migration.name, migration.checksum, migration.lowest
                await connection.execute(INSERT, component, *row)
            logger.info("migrated", extra={"component": component, "version": migration.version})
        return len(missing)
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", LOCK_KEY)


async def is_newer(connection: Connection, component: str, migrations: list[Migration]) -> bool:
    """Whether the schema has migrations that the code does not know."""
    return len(await _applied(connection, component)) > len(migrations)


async def check_schema(connection: Connection, component: str, migrations: list[Migration]) -> None:
    """Raise MigrationError unless the code can run on the schema: it has all migrations that the code knows, and none
    that needs newer code.
    """
    exists = await connection.fetchval("SELECT to_regclass('schema_migrations') IS NOT NULL")
    applied = await _applied(connection, component) if exists else {}
    _check(component, applied, migrations)
    if len(applied) < len(migrations):
        raise MigrationError(
            f"the schema of {component} is at version {len(applied)}, the code needs {len(migrations)}: "
            "run migrate first"
        )


async def _applied(connection: Connection, component: str) -> dict[int, Applied]:
    # all columns: an older release may have made the table without `lowest`
    rows = await connection.fetch("SELECT * FROM schema_migrations WHERE component = $1 ORDER BY version", component)
    return {row["version"]: Applied(row["checksum"], row.get("lowest", 0)) for row in rows}


def _check(component: str, applied: dict[int, Applied], migrations: list[Migration]) -> None:
    known = len(migrations)
    needed = max((one.lowest for one in applied.values()), default=0)
    if needed > known:
        raise MigrationError(
            f"the schema of {component} is at version {max(applied)}, newer than this code ({known}), and needs code "
            f"that knows {needed:04}: start the newer release, or restore the database (docs/upgrading.md)"
        )
    for migration in migrations:
        found = applied.get(migration.version)
        if found is not None and found.checksum != migration.checksum:
            raise MigrationError(
                f"{component} {migration.version:04}_{migration.name}.sql was edited after it was applied"
            )


def _require_expand(component: str, running: int, missing: list[Migration]) -> None:
    """Raise MigrationError if a missing migration breaks processes that know `running` migrations."""
    for migration in missing:
        if migration.lowest > running:
            raise MigrationError(
                f"{component} {migration.version:04}_{migration.name}.sql needs code that knows {migration.lowest:04}, "
                f"and the running processes know {running:04}: upgrade to the release before first, or stop all "
                "processes, migrate and start them (docs/upgrading.md)"
            )
