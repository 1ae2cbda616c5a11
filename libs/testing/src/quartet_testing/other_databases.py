"""Other databases: a second deployment's, with the same roles, on the servers of a test run."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar
from uuid import uuid4

import asyncpg

from quartet_cli.layout import SERVICES
from quartet_cli.stack import Stack
from quartet_common.config.settings import ServiceConfig

SERVER = "127.0.0.1"
OWNER = {"audit": "quartet_audit_owner"}
"""Roles that own a schema, if it is not the one that serves."""

C = TypeVar("C", bound=ServiceConfig)


def moved(config: C, database: str) -> C:
    """`config` for another database."""
    return config.model_copy(update={"database_url": f"{config.database_url.rpartition('/')[0]}/{database}"})


@asynccontextmanager
async def empty_database(servers: Stack) -> AsyncIterator[str]:
    """The name of a database with the schemas of all services, as those of init.sh; it is gone afterwards."""
    name, port = f"test_{uuid4().hex}", servers.state.ports["postgres"]
    secret = (servers.home.secrets / "postgres/password").read_text().strip()
    connect = partial(asyncpg.connect, host=SERVER, port=port, user="postgres", password=secret)
    superuser = await connect(database="quartet")
    try:
        await superuser.execute(f"CREATE DATABASE {name}")
        there = await connect(database=name)
        for service in SERVICES:
            owner = OWNER.get(service, f"quartet_{service}")
            for role in {owner, f"quartet_{service}"}:
                await there.execute(f"ALTER ROLE {role} IN DATABASE {name} SET search_path = {service}")
                await there.execute(f"GRANT CONNECT ON DATABASE {name} TO {role}")
            await there.execute(f"CREATE SCHEMA {service} AUTHORIZATION {owner}")
        await there.execute("GRANT USAGE ON SCHEMA audit TO quartet_audit")
        await there.close()
        yield name
    finally:
        await superuser.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await superuser.close()
