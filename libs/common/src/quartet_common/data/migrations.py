"""Migrations: numbered SQL files, applied in order under an advisory lock; a schema newer than the code is refused.

docs/decisions/0004 says why no migration library is used.
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
LOCK_KEY = 0x51554152  # "QUAR"

CREATE_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    component text NOT NULL,
    version integer NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (component, version)
)"""


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


def find_migrations(package: str) -> list[Migration]:
    """The migrations of an importable package: inside a built one, next to `src/` in a checkout."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MigrationError(f"{package} is not an installed package")
    inside = Path(spec.origin).parent / "migrations"
    return read_migrations(inside if inside.is_dir() else Path(spec.origin).parents[2] / "migrations")


def read_migrations(folder: Path) -> list[Migration]:
    """The migrations in `folder`, in order. Raises MigrationError for a gap, a duplicate number or an invalid name."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = FILE_NAME.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path.name}: a migration is named like 0001_users.sql")
        found.append(Migration(int(match[1]), match[2], path.read_text(encoding="utf-8")))
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise MigrationError(f"{folder}: migrations must be numbered 0001, 0002, ... without a gap")
    return found


async def migrate(connection: Connection, component: str, migrations: list[Migration]) -> int:
    """Apply the missing migrations, each file in a transaction; return how many. Safe to run concurrently.

    Raises MigrationError if the schema is newer than the code or an applied file was edited.
    """
    await connection.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)
    try:
        await connection.execute(CREATE_TABLE)
        applied = await _applied(connection, component)
        _check(component, applied, migrations)
        for migration in migrations[len(applied) :]:
            async with connection.transaction():
                await connection.execute(migration.sql)
                await connection.execute(
                    "INSERT INTO schema_migrations (component, version, name, checksum) VALUES ($1, $2, $3, $4)",
                    component,
                    migration.version,
                    migration.name,
                    migration.checksum,
                )
            logger.info("migrated", extra={"component": component, "version": migration.version})
        return len(migrations) - len(applied)
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", LOCK_KEY)


async def check_schema(connection: Connection, component: str, migrations: list[Migration]) -> None:
    """Raise MigrationError unless the schema is exactly the one that the code knows."""
    exists = await connection.fetchval("SELECT to_regclass('schema_migrations') IS NOT NULL")
    applied = await _applied(connection, component) if exists else {}
    _check(component, applied, migrations)
    if len(applied) < len(migrations):
        raise MigrationError(
            f"the schema of {component} is at version {len(applied)}, the code needs {len(migrations)}: "
            "run migrate first"
        )


async def _applied(connection: Connection, component: str) -> dict[int, str]:
    rows = await connection.fetch(
        "SELECT version, checksum FROM schema_migrations WHERE component = $1 ORDER BY version", component
    )
    return {row["version"]: row["checksum"] for row in rows}


def _check(component: str, applied: dict[int, str], migrations: list[Migration]) -> None:
    if applied and max(applied) > len(migrations):
        raise MigrationError(
            f"the schema of {component} is at version {max(applied)}, newer than this code ({len(migrations)}): "
            "start the newer release, or restore the database"
        )
    for migration in migrations:
        if applied.get(migration.version, migration.checksum) != migration.checksum:
            raise MigrationError(
                f"{component} {migration.version:04}_{migration.name}.sql was edited after it was applied"
            )
