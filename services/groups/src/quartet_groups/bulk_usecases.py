"""Carries out the group operations of a Bulk request one after the other; each has its own outcome."""

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import UUID

import msgspec

from quartet_common.core.caller import Caller
from quartet_common.core.errors import UnavailableError
from quartet_common.core.fair_share import ShareExceededError
from quartet_common.runtime.container import AppContainer
from quartet_groups import group_usecases
from quartet_groups.config import GroupsConfig
from quartet_groups.group_domain import GroupPatch
from quartet_groups.member_domain import SentMember, split_members
from quartet_groups.member_resolution import resolve_members
from quartet_groups.users_client import UserDirectory
from quartet_scim.bulk import Method, Outcome
from quartet_scim.compiled_type import CompiledType
from quartet_scim.errors import ScimError
from quartet_scim.patch import parse_patch
from quartet_scim.preconditions import IfMatch
from quartet_scim.resource import Attributes
from quartet_scim_http.bulk_outcomes import LATE, outcome_of
from quartet_scim_http.requests import known_id

POSTGRESQL = "postgresql"


class GroupOperation(msgspec.Struct, frozen=True):
    """One operation; `id` is that of the group: made by users for a POST, as sent by the client otherwise."""

    method: Method
    id: str
    version: str | None = None
    data: Any = None


class GroupOperations(msgspec.Struct, frozen=True, rename={"fail_on_errors": "failOnErrors"}):
    """Operations in order; the number of errors at which to stop, and the seconds after which none is started (None: no
    limit). `scopes` are those of the client's access token.
    """

    operations: list[GroupOperation]
    fail_on_errors: int | None = None
    seconds: float | None = None
    scopes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Ready:
    """A parsed operation: the call that carries it out, and the members that it adds."""

    carry_out: Callable[[], Awaitable[Outcome]]
    new_members: Sequence[SentMember] = ()


@dataclass(frozen=True)
class GroupBulk:
    """Carries out group operations by the use cases that serve single requests."""

    container: AppContainer[GroupsConfig]
    directory: UserDirectory
    group_type: CompiledType
    clock: Callable[[], float] = time.monotonic

    async def carry_out(self, caller: Caller, sent: GroupOperations) -> list[Outcome]:
        """The outcomes of the operations, in order; fewer if `fail_on_errors` errors occurred."""
        caller = replace(caller, scopes=sent.scopes)
        outcomes: list[Outcome] = []
        errors = 0
        stopped: Outcome | None = None
        ends = math.inf if sent.seconds is None else self.clock() + sent.seconds
        for ready in await self._read(caller, sent.operations):
            if self.clock() > ends:
                stopped = stopped or Outcome.failed(LATE)
            try:
                outcome = stopped or (ready if isinstance(ready, Outcome) else await outcome_of(ready.carry_out()))
            except UnavailableError as error:
                outcome = Outcome.failed(error)
                if error.server == POSTGRESQL:
                    stopped = outcome  # all others would fail too, each after a timeout
            outcomes.append(outcome)
            errors += outcome.error is not None
            if errors == sent.fail_on_errors:
                break
        return outcomes

    async def _read(self, caller: Caller, operations: Sequence[GroupOperation]) -> list[Ready | Outcome]:
        """The parsed operations, or the outcomes of invalid ones; looks up all their members in users by one call."""
        found: list[Ready | Outcome] = []
        for operation in operations:
            await asyncio.sleep(0)  # normalising a large group takes milliseconds
            try:
                found.append(self._ready(caller, operation))
            except ScimError as error:
                found.append(Outcome.failed(error))
        new_members = {member.id: member for one in found if isinstance(one, Ready) for member in one.new_members}
        with contextlib.suppress(UnavailableError, ShareExceededError):  # operations that need it fail later
            await resolve_members(self.container, self.directory, caller, list(new_members.values()))
        return found

    def _ready(self, caller: Caller, operation: GroupOperation) -> Ready:
        group_id, if_match = known_id(operation.id), IfMatch.parse(operation.version)
        if operation.method is Method.DELETE:
            return Ready(partial(self._delete, caller, group_id, if_match))
        if operation.method is Method.PATCH:
            change = GroupPatch.of(self.group_type.engine, parse_patch(operation.data))
            return Ready(partial(self._patch, caller, group_id, change, if_match), change.orders.added)
        attributes, members = split_members(self.group_type.normaliser.normalise(operation.data).attributes)
        if operation.method is Method.POST:
            return Ready(partial(self._create, caller, group_id, attributes, members), members)
        return Ready(partial(self._replace, caller, group_id, attributes, members, if_match), members)

    async def _create(
        self, caller: Caller, group_id: UUID, attributes: Attributes, members: Sequence[SentMember]
    ) -> Outcome:
        await group_usecases.create_group(self.container, self.directory, caller, attributes, members, group_id)
        return Outcome(201, 1)

    async def _replace(
        self,
        caller: Caller,
        group_id: UUID,
        attributes: Attributes,
        members: Sequence[SentMember],
        if_match: IfMatch,
    ) -> Outcome:
        version = await group_usecases.replace_group(
            self.container, self.directory, caller, group_id, attributes, members, if_match
        )
        return Outcome(200, version)

    async def _patch(self, caller: Caller, group_id: UUID, change: GroupPatch, if_match: IfMatch) -> Outcome:
        version, _ = await group_usecases.patch_group(
            self.container, self.directory, caller, group_id, change, if_match
        )
        return Outcome(200, version)

    async def _delete(self, caller: Caller, group_id: UUID, if_match: IfMatch) -> Outcome:
        await group_usecases.delete_group(self.container, self.directory, caller, group_id, if_match)
        return Outcome(204)
