"""Queries of memberships: members of a group, checks whether a user is in a group, groups of a user."""

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import asyncpg
import msgspec
import orjson

from quartet_common.core.errors import NotFoundError
from quartet_common.core.identifiers import parse_id
from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer
from quartet_groups import graph_store, group_store, member_store
from quartet_groups.config import GroupsConfig
from quartet_groups.group_view import GroupView
from quartet_groups.membership_cache import AnswerCache
from quartet_groups.membership_domain import Question, answer, ids_of

Read = Callable[[Connection], Awaitable[tuple[int, bytes]]]
"""Reads an answer, and by the same statement the version of the memberships."""


class Membership:
    """Answers questions, repeated ones from the cache if it has the answer for the present version.

    The version is always read from PostgreSQL, so no answer is older than the last committed write.
    """

    def __init__(self, container: AppContainer[GroupsConfig], view: GroupView) -> None:
        self._container = container
        self._cache = AnswerCache(container)
        self._view = view

    async def members(self, tenant: str, group_id: str, after: tuple[int, UUID], limit: int) -> list[asyncpg.Record]:
        """Members of a group after `after`, as (kind, id, text). Raises NotFoundError (404)."""
        known = parse_id(group_id)
        if known is None:
            raise NotFoundError
        async with self._container.database.connection() as connection:
            rows = await member_store.read_page(connection, tenant, self._view.members, known, after, limit)
            if not rows and not await group_store.names_of(connection, tenant, [known]):
                raise NotFoundError
        return rows

    async def check(self, tenant: str, questions: Sequence[Question]) -> bytes:
        """The answers to `questions` in their order, as a JSON list."""

        async def read(connection: Connection) -> tuple[int, bytes]:
            users, groups = ids_of(questions)
            graph = await graph_store.read_graph(connection, tenant, users, groups)
            return graph.version, orjson.dumps(answer(questions, graph))

        return await self._answer(tenant, b"check" + msgspec.json.encode(questions), read)

    async def groups_of(self, tenant: str, user: str, after: UUID, limit: int) -> list[bytes]:
        """Direct and nested groups of a user with ids after `after`, as JSON texts; none for an unknown user."""
        user_id = parse_id(user)
        if user_id is None:
            return []

        async def read(connection: Connection) -> tuple[int, bytes]:
            version, rows = await graph_store.read_groups_of(connection, tenant, user_id, after, limit)
            return version, b"\n".join(orjson.dumps(self._group(*row)) for row in rows)

        return (await self._answer(tenant, f"of/{user_id}/{after}/{limit}".encode(), read)).splitlines()

    async def _answer(self, tenant: str, question: bytes, read: Read) -> bytes:
        again = self._cache.is_asked_again(tenant, question)
        if again:
            async with self._container.database.connection() as connection:
                version = await graph_store.read_version(connection, tenant)
            found = await self._cache.find(tenant, version, question)
            if found is not None:
                return found
        async with self._container.database.connection() as connection:
            version, fresh = await read(connection)
        if again:
            self._cache.keep(tenant, version, question, fresh)
        return fresh

    def _group(self, identifier: UUID, display: str, direct: bool) -> dict[str, object]:
        return {
            "value": str(identifier),
            "display": display,
            "direct": direct,
            "$ref": self._view.location(identifier),
        }
