"""The client for users: looks up members that no event has named yet, and scopes of groups."""

from collections.abc import Collection, Sequence
from typing import Protocol
from uuid import UUID

import msgspec

from quartet_common.core.caller import Caller
from quartet_common.core.errors import UnavailableError
from quartet_common.runtime.service_client import ServiceClient

MAX_IDS = 1000
MAX_NAMES = 500
"""userNames or externalIds of one call: the body of the call has at most 1 MB."""


class KnownUser(msgspec.Struct, frozen=True, rename="camel"):
    """A user in a response of the users service, with the fields that groups needs."""

    id: UUID
    user_name: str
    version: int
    display_name: str | None = None
    external_id: str | None = None


class _Lookup(msgspec.Struct, frozen=True):
    users: list[KnownUser]


class _Scopes(msgspec.Struct, frozen=True):
    scopes: frozenset[str]


class UserDirectory(Protocol):
    """Looks up users and scopes of groups."""

    async def lookup(self, caller: Caller, ids: Sequence[UUID]) -> list[KnownUser]:
        """The users of the caller's tenant among `ids`."""

    async def lookup_names(
        self, caller: Caller, user_names: Sequence[str], external_ids: Sequence[str]
    ) -> list[KnownUser]:
        """The users of the caller's tenant with these userNames, in any case, or externalIds."""

    async def scopes_of_groups(self, caller: Caller, groups: Collection[UUID]) -> frozenset[str]:
        """The scopes of the roles that are granted to `groups` themselves."""


class UsersClient:
    """UserDirectory by HTTP calls to the users service."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def lookup(self, caller: Caller, ids: Sequence[UUID]) -> list[KnownUser]:
        """The users of the caller's tenant among `ids`. Raises UnavailableError (503)."""
        found: list[KnownUser] = []
        for start in range(0, len(ids), MAX_IDS):
            found += await self._lookup(caller, {"ids": [str(one) for one in ids[start : start + MAX_IDS]]})
        return found

    async def lookup_names(
        self, caller: Caller, user_names: Sequence[str], external_ids: Sequence[str]
    ) -> list[KnownUser]:
        """The users of the caller's tenant with these userNames, in any case, or externalIds. Raises UnavailableError
        (503).
        """
        found: list[KnownUser] = []
        for name, texts in (("userNames", user_names), ("externalIds", external_ids)):
            for start in range(0, len(texts), MAX_NAMES):
                found += await self._lookup(caller, {name: texts[start : start + MAX_NAMES]})
        return found

    async def _lookup(self, caller: Caller, asked: dict[str, Sequence[str]]) -> list[KnownUser]:
        response = await self._client.request("POST", "/users/lookup", caller, json=asked)
        if response.status_code != 200:
            raise UnavailableError("users")
        return msgspec.json.decode(response.content, type=_Lookup).users

    async def scopes_of_groups(self, caller: Caller, groups: Collection[UUID]) -> frozenset[str]:
        """The scopes of the roles that are granted to `groups` themselves. Raises UnavailableError (503)."""
        ids = [str(one) for one in groups]
        scopes: frozenset[str] = frozenset()
        for start in range(0, len(ids), MAX_IDS):
            body = {"ids": ids[start : start + MAX_IDS]}
            response = await self._client.request("POST", "/users/lookup/group-scopes", caller, json=body)
            if response.status_code != 200:
                raise UnavailableError("users")
            scopes |= msgspec.json.decode(response.content, type=_Scopes).scopes
        return scopes
