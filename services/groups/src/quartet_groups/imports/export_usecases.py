"""The use case of export jobs: the groups of a tenant with their members become a file, page by page."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from quartet_common.core.identifiers import NIL_ID
from quartet_common.jobs.running_job import RunningJob, SetOutcome
from quartet_common.runtime.unit_of_work import UnitOfWork
from quartet_directory_formats import Writer
from quartet_groups.imports import import_store
from quartet_groups.member_domain import Kind
from quartet_groups.users_client import KnownUser, UserDirectory
from quartet_scim.render import timestamp

GROUPS, MEMBERS = 50, 1000
"""Groups of one page, and users of each of them that are read with it."""
MAX_NAMES = 200_000
"""Names of users that are remembered for the following pages."""

Document = dict[str, Any]


class GroupExport:
    """One export job."""

    def __init__(self, job: RunningJob, directory: UserDirectory) -> None:
        self._job = job
        self._directory = directory
        self._writer = Writer(job.state.format, "group")
        self._names: dict[UUID, KnownUser | None] = {}

    async def run(self) -> None:
        """Write the groups in the order of their ids, users before nested groups. Each page is as of its reading."""
        async with self._job.container.database.connection() as connection:
            self._job.expect(await import_store.count_groups(connection, self._job.tenant))
        if not self._job.state.saved:
            await self._store(self._writer.head(), 0, {"after": str(NIL_ID), "group": None})
        while True:
            self._job.require_running()
            saved = self._job.state.saved
            if saved["group"] is not None:
                await self._write_members(saved)
            elif not await self._write_groups(UUID(saved["after"])):
                return

    async def _write_groups(self, after: UUID) -> bool:
        """Write a page of groups; only the last of them can have more members. Returns whether there was one."""
        async with self._job.container.database.connection() as connection:
            rows = await import_store.read_groups(connection, self._job.tenant, after, GROUPS)
            if not rows:
                return False
            ids = [row["id"] for row in rows]
            users = _by_group(await import_store.read_users_of(connection, self._job.tenant, ids, NIL_ID, MEMBERS))
            nested = _by_group(await import_store.read_groups_in(connection, self._job.tenant, ids))
        await self._find_names([user for found in users.values() for _, user in found])
        pieces = []
        for count, row in enumerate(rows, 1):
            members = [self._user(user) for _, user in users[row["id"]]] + [_nested(one) for one in nested[row["id"]]]
            pieces.append(self._writer.record(_document(row, members)))
            if len(users[row["id"]]) == MEMBERS:
                saved = {"after": str(row["id"]), "group": str(row["id"]), "user": str(users[row["id"]][-1][1])}
                await self._store(b"".join(pieces), count, saved)
                return True
        await self._store(b"".join(pieces), len(rows), {"after": str(rows[-1]["id"]), "group": None})
        return True

    async def _write_members(self, saved: Mapping[str, Any]) -> None:
        """Write further users of the last group."""
        group_id = UUID(saved["group"])
        async with self._job.container.database.connection() as connection:
            rows = await import_store.read_groups(connection, self._job.tenant, UUID(int=group_id.int - 1), 1)
            users = await import_store.read_users_of(
                connection, self._job.tenant, [group_id], UUID(saved["user"]), MEMBERS * 10
            )
        if not users or not rows or rows[0]["id"] != group_id:
            await self._store(b"", 0, {"after": saved["after"], "group": None})
            return
        await self._find_names([user for _, user in users])
        members = [self._user(user) for _, user in users]
        piece = self._writer.more_members(_document(rows[0], ()), members)
        await self._store(piece, 0, {**saved, "user": str(users[-1]["member_id"])})

    async def _store(self, piece: bytes, handled: int, saved: Mapping[str, Any]) -> None:
        await self._job.run_set(handled, partial(_write, piece, saved))

    async def _find_names(self, ids: Sequence[UUID]) -> None:
        """Ask users for the names of members that are not remembered. Raises UnavailableError (503)."""
        if len(self._names) > MAX_NAMES:
            self._names = {}
        unknown = [one for one in dict.fromkeys(ids) if one not in self._names]
        self._names |= dict.fromkeys(unknown)
        self._names |= {user.id: user for user in await self._directory.lookup(self._job.state.caller, unknown)}

    def _user(self, user_id: UUID) -> Document:
        """A user as a member: by id, and by what other deployments know."""
        user = self._names[user_id]
        named = (
            {"userName": user.user_name, "externalId": user.external_id, "display": user.display_name} if user else {}
        )
        return _member(user_id, Kind.USER, named)


async def _write(piece: bytes, saved: Mapping[str, Any], _: UnitOfWork, outcome: SetOutcome) -> None:
    outcome.result, outcome.saved, outcome.done = piece, saved, outcome.handled


def _by_group(rows: Sequence[asyncpg.Record]) -> dict[UUID, list[asyncpg.Record]]:
    """Rows by their first column."""
    found: dict[UUID, list[asyncpg.Record]] = defaultdict(list)
    for row in rows:
        found[row[0]].append(row)
    return found


def _nested(row: asyncpg.Record) -> Document:
    named = {"displayName": row["display_name"], "externalId": row["external_id"], "display": row["display_name"]}
    return _member(row["child_id"], Kind.GROUP, named)


def _member(identifier: UUID, kind: Kind, named: Mapping[str, str | None]) -> Document:
    return {"value": str(identifier), "type": kind.value, **{name: text for name, text in named.items() if text}}


def _document(row: asyncpg.Record, members: Sequence[Document]) -> Document:
    """The SCIM document of a stored group."""
    meta = {
        "resourceType": "Group",
        "created": timestamp(row["created_at"]),
        "lastModified": timestamp(row["modified_at"]),
        "version": f'W/"{row["version"]}"',
    }
    return {"id": str(row["id"]), **orjson.loads(row["resource"]), "meta": meta, "members": list(members)}
