"""The PostgreSQL of test runs."""

import asyncpg

from quartet_cli.stack import Stack
from quartet_testing.conditions import eventually


async def test_the_postgresql_of_a_test_run_waits_for_no_disk(servers: Stack) -> None:
    password = (servers.home.secrets / "postgres/password").read_text().strip()
    port = servers.state.ports["postgres"]
    connection = await asyncpg.connect(host="127.0.0.1", port=port, user="postgres", password=password)

    async def is_off() -> bool:
        return bool(await connection.fetchval("SHOW fsync") == "off")

    try:
        await eventually(is_off, "fsync to be off")
    finally:
        await connection.close()
