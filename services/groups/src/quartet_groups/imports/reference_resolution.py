"""Resolves the references of files to users and groups: a few queries and calls of users for many of them."""

from collections.abc import Collection, Iterable
from typing import NamedTuple
from uuid import UUID

from quartet_common.core.caller import Caller
from quartet_common.core.identifiers import parse_id
from quartet_common.runtime.container import AppContainer
from quartet_directory_formats import MemberReference
from quartet_groups import group_store
from quartet_groups.config import GroupsConfig
from quartet_groups.events import NestedGroup
from quartet_groups.imports import import_store
from quartet_groups.imports.import_store import FoundGroups
from quartet_groups.users_client import KnownUser, UserDirectory
from quartet_scim.errors import ScimError
from quartet_scim.usernames import prepare

MAX_KNOWN = 200_000
"""Users that are remembered for the following sets of a file."""

Found = UUID | NestedGroup | str
"""What a reference is: a user, a group, or why it is neither."""


class _Users(NamedTuple):
    """Users that were found, by what files name them with."""

    by_id: dict[UUID, UUID]
    by_external_id: dict[str, list[UUID]]
    by_name: dict[str, UUID]


class References:
    """Resolves the references of one file; remembers the users that it has found."""

    def __init__(self, container: AppContainer[GroupsConfig], directory: UserDirectory, caller: Caller) -> None:
        self._container = container
        self._directory = directory
        self._caller = caller
        self._users = _Users({}, {}, {})
        self.planned = FoundGroups()
        """Groups that a dry run would create."""

    async def resolve(self, references: Iterable[MemberReference]) -> dict[MemberReference, Found]:
        """What each reference is. Users that are new to this service are stored. Raises UnavailableError (503)."""
        asked = set(references)
        ids = {found for one in asked if one.id and (found := parse_id(one.id))}
        external_ids = {one.external_id for one in asked if one.external_id}
        names = {one.display_name.lower() for one in asked if one.display_name and one.kind != "user"}
        async with self._container.database.connection() as connection:
            groups = await import_store.find_groups(connection, self._caller.tenant, list(external_ids), list(names))
            group_names = await group_store.names_of(connection, self._caller.tenant, list(ids))
        await self._find_users([one for one in asked if one.kind != "group"], ids - group_names.keys())
        by_id = {group_id: NestedGroup(group_id, name) for group_id, name in group_names.items()}
        return {one: self._choose(one, by_id, groups) for one in asked}

    def _choose(self, one: MemberReference, by_id: dict[UUID, NestedGroup], groups: FoundGroups) -> Found:
        """The only user or group that the first of the given fields names."""
        identifier = parse_id(one.id) if one.id else None
        fields: list[tuple[list[NestedGroup], list[UUID]]] = []
        if identifier is not None:
            group, user = by_id.get(identifier), self._users.by_id.get(identifier)
            fields.append(([group] if group else [], [user] if user else []))
        if one.external_id:
            known = groups.by_external_id.get(one.external_id, []) or self.planned.by_external_id.get(
                one.external_id, []
            )
            fields.append((known, self._users.by_external_id.get(one.external_id, [])))
        if one.user_name and one.kind != "group" and (user := self._users.by_name.get(_key(one.user_name))):
            fields.append(([], [user]))
        if one.display_name:
            name = one.display_name.lower()
            fields.append((groups.by_name.get(name, []) or self.planned.by_name.get(name, []), []))
        for found_groups, found_users in fields:
            found: list[UUID | NestedGroup] = [
                *(found_groups if one.kind != "user" else ()),
                *(found_users if one.kind != "group" else ()),
            ]
            if found:
                return found[0] if len(found) == 1 else "Several users or groups have this name or externalId."
        what = {"user": "No user has", "group": "No group has", None: "No user or group has"}[one.kind]
        return f"{what} this id, name or externalId."

    async def _find_users(self, references: Collection[MemberReference], ids: Collection[UUID]) -> None:
        """Look up those that are not remembered, and store them as known users."""
        if len(self._users.by_id) > MAX_KNOWN:
            self._users = _Users({}, {}, {})
        names = {key: one.user_name for one in references if one.user_name and (key := _key(one.user_name))}
        external_ids = {one.external_id for one in references if one.external_id}
        found = await self._directory.lookup(self._caller, [one for one in ids if one not in self._users.by_id])
        found += await self._directory.lookup_names(
            self._caller,
            [name for key, name in names.items() if key not in self._users.by_name],
            [one for one in external_ids if one not in self._users.by_external_id],
        )
        users = {user.id: user for user in found}
        for user in users.values():
            self._remember(user)
        if users:
            learnt = [(user.id, user.display_name or "", user.version, False) for user in users.values()]
            async with self._container.database.transaction() as connection:
                await group_store.upsert_users(connection, self._caller.tenant, learnt)

    def _remember(self, user: KnownUser) -> None:
        self._users.by_id[user.id] = user.id
        self._users.by_name[_key(user.user_name)] = user.id
        if user.external_id:
            same = self._users.by_external_id.setdefault(user.external_id, [])
            if user.id not in same:
                same.append(user.id)


def _key(user_name: str) -> str:
    """The form in which userNames are compared; "" for a text that no user can have as its name."""
    try:
        return prepare(user_name)
    except ScimError:
        return ""
