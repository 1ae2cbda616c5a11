"""The group operations of a Bulk, which the users service hands on: one after the other, each with its own result."""

import logging
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from quartet_common.container import AppContainer
from quartet_common.errors import UnavailableError
from quartet_common.ids import parse_id
from quartet_common.messaging.outbox import Caller
from quartet_groups import usecases
from quartet_groups.clients import UserDirectory
from quartet_groups.config import GroupsConfig
from quartet_groups.members import read_orders, split_members
from quartet_scim.bulk import Method, Outcome
from quartet_scim.compiled import CompiledType
from quartet_scim.errors import ScimError, not_found
from quartet_scim.patch import parse_patch, split_member_operations
from quartet_scim.preconditions import IfMatch

logger = logging.getLogger(__name__)

POSTGRESQL = "postgresql"
BROKEN = ScimError(500, "Something went wrong on our side.")


class GroupOperation(msgspec.Struct, frozen=True):
    """One operation; `id` is the group's, made by the sender for a POST, the client's own text for other methods."""

    method: Method
    id: str
    version: str | None = None
    data: Any = None


class GroupOperations(msgspec.Struct, frozen=True, rename={"fail_on_errors": "failOnErrors"}):
    """Operations in order, and the number of errors at which to stop, None for never."""

    operations: list[GroupOperation]
    fail_on_errors: int | None = None


@dataclass(frozen=True)
class GroupBulk:
    """Carries out group operations by the use cases that serve single requests."""

    container: AppContainer[GroupsConfig]
    directory: UserDirectory
    group_type: CompiledType

    async def carry_out(self, caller: Caller, sent: GroupOperations) -> list[Outcome]:
        """What became of the operations, in order; fewer where it ended at the last error that is accepted."""
        outcomes: list[Outcome] = []
        errors = 0
        away: Outcome | None = None
        for operation in sent.operations:
            try:
                outcome = away or await self._outcome(caller, operation)
            except UnavailableError as error:
                outcome = Outcome.failed(ScimError(error.status, error.detail))
                if error.server == POSTGRESQL:
                    away = outcome  # without it nothing else can be done either, and each try takes its time
            outcomes.append(outcome)
            errors += outcome.error is not None
            if errors == sent.fail_on_errors:
                break
        return outcomes

    async def _outcome(self, caller: Caller, operation: GroupOperation) -> Outcome:
        try:
            return await self._carry_out(caller, operation)
        except ScimError as error:
            return Outcome.failed(error)
        except UnavailableError:
            raise
        except Exception as error:
            logger.error("a group operation of a bulk failed", exc_info=error)
            return Outcome.failed(BROKEN)

    async def _carry_out(self, caller: Caller, operation: GroupOperation) -> Outcome:
        container, directory = self.container, self.directory
        group_id, if_match = _known_id(operation.id), IfMatch.parse(operation.version)
        if operation.method is Method.POST:
            attributes, members = split_members(self.group_type.normaliser.normalise(operation.data).attributes)
            await usecases.create_group(container, directory, caller, attributes, members, group_id)
            return Outcome(201, 1)
        if operation.method is Method.DELETE:
            await usecases.delete_group(container, caller, group_id, if_match)
            return Outcome(204)
        if operation.method is Method.PUT:
            attributes, members = split_members(self.group_type.normaliser.normalise(operation.data).attributes)
            version = await usecases.replace_group(
                container, directory, caller, group_id, attributes, members, if_match
            )
        else:
            changes, others = split_member_operations(parse_patch(operation.data))
            engine, orders = self.group_type.engine, read_orders(changes)
            version = await usecases.patch_group(
                container, directory, engine, caller, group_id, orders, others, if_match
            )
        return Outcome(200, version)


def _known_id(text: str) -> UUID:
    found = parse_id(text)
    if found is None:
        raise not_found()
    return found
