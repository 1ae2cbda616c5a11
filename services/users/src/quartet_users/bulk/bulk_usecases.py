"""Carries out a Bulk request run by run (RFC 7644 section 3.7): each run is one transaction or one call to groups."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from quartet_common.core.caller import Caller
from quartet_common.core.errors import ServiceError, UnavailableError
from quartet_common.core.fair_share import CapacityExceededError, ShareExceededError
from quartet_common.runtime.container import AppContainer
from quartet_scim.bulk import BulkResults, Method, Outcome, Plan, Planned
from quartet_scim.compiled_type import CompiledType
from quartet_scim.errors import HttpError, ScimError, as_scim_error
from quartet_scim.normalise import Normalised
from quartet_scim.patch import parse_patch
from quartet_scim.preconditions import IfMatch
from quartet_scim.resource import require_size
from quartet_scim_http.bulk_outcomes import BROKEN, LATE, outcome_of
from quartet_scim_http.requests import known_id
from quartet_users.bulk import bulk_user_usecases
from quartet_users.bulk.bulk_domain import Step, Wanted
from quartet_users.bulk.bulk_runs import Kind, Run, runs
from quartet_users.bulk.group_operations_client import GroupOperations
from quartet_users.config import UsersConfig
from quartet_users.passwords.password_hashing import AT_ONCE, Passwords
from quartet_users.users import user_usecases

logger = logging.getLogger(__name__)

TIME_LIMIT = 40.0
"""Seconds after which no further run and no further password hash is started: a proxy waits 60 s for the response, and
without it the client would lose all results.
"""
ANSWER_LIMIT = 50.0
"""Seconds after which a call to groups ends."""
YIELD_INTERVAL = 0.01
"""Seconds of work after which other tasks run."""

STOPPING = ScimError(503, "The operation was not carried out: the server is shutting down. Send it again.")
GROUPS_IN_A_CIRCLE = ScimError(409, "Groups cannot be members of each other: the references form a cycle.")


@dataclass(frozen=True)
class BulkDependencies:
    """The objects that a Bulk request needs."""

    container: AppContainer[UsersConfig]
    passwords: Passwords
    groups: GroupOperations


class Bulk:
    """One Bulk request of one caller; `results` has the outcomes of the operations carried out so far."""

    def __init__(
        self,
        dependencies: BulkDependencies,
        user_type: CompiledType,
        caller: Caller,
        plan: Plan,
        fail_on_errors: int | None,
        large: Set[int] = frozenset(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dependencies = dependencies
        self._user_type = user_type
        self._caller = caller
        self._plan = plan
        self._large = large
        """Indexes of operations that take milliseconds to normalise, which is done in a thread."""
        self._clock = clock
        self._ends = clock() + TIME_LIMIT
        self._answers = clock() + ANSWER_LIMIT
        self._yielded_at = clock()
        self.results = BulkResults(plan, fail_on_errors)

    async def carry_out(self) -> None:
        """Carry out the operations; those that fail, or come after the last accepted error or the time limit, get an
        error as their outcome.
        """
        methods = {Kind.CREATE_USERS: self._create, Kind.GROUPS: self._forward, Kind.ONE: self._change}
        stop_reason: HttpError | None = None
        for run in runs(self._plan):
            stop_reason = stop_reason or self._stop_reason()
            if stop_reason is not None:
                self._refuse(run.indexes, stop_reason)
                continue
            try:
                await methods[run.kind](run)
            except (CapacityExceededError, ShareExceededError) as error:  # the next run may succeed
                self._refuse(run.indexes, error)
            except UnavailableError as error:  # this service's own database: no other run can succeed
                logger.warning(
                    "a server became unavailable during a Bulk request",
                    extra={"server": error.server, "error": repr(error.__cause__)},
                )
                stop_reason = error
                self._refuse(run.indexes, error)
            if self.results.stopped:
                return

    def _stop_reason(self) -> ScimError | None:
        """Why no further operation may start, None if one may."""
        if self._dependencies.container.stopping.is_set():
            return STOPPING
        return LATE if self._clock() > self._ends else None

    def _refuse(self, indexes: Sequence[int], error: HttpError) -> None:
        """Record an error for those operations that have no outcome yet."""
        for index in indexes:
            if not self.results.stopped and index not in self.results:
                self.results.record(index, Outcome.failed(self.results.refusal(index) or error))

    async def _create(self, run: Run) -> None:
        wanted = {index: await self._wanted(index) for index in run.indexes}
        await self._hash_passwords(wanted)
        try:
            self.results = await self._create_set(run.steps, wanted)
        except (UnavailableError, ShareExceededError):
            raise
        except Exception as error:
            # One step or a deadlock may be the reason: try each step in a transaction of its own.
            logger.error("cannot store a set of users", exc_info=error)
            for step in run.steps:
                stop_reason = self._stop_reason()
                if stop_reason is None:
                    await self._create_step(step, wanted)
                else:
                    self._refuse(step, stop_reason)

    async def _create_set(self, steps: Sequence[Step], wanted: Mapping[int, Wanted | ScimError]) -> BulkResults:
        mine = {index: wanted[index] for step in steps for index in step}
        return await bulk_user_usecases.create_users(
            self._dependencies.container, self._caller, self.results, steps, mine
        )

    async def _create_step(self, step: Step, wanted: Mapping[int, Wanted | ScimError]) -> None:
        if self.results.stopped:
            return
        try:
            self.results = await self._create_set([step], wanted)
        except (UnavailableError, ShareExceededError):
            raise
        except ScimError as error:
            self._refuse(step, error)
        except Exception as error:
            logger.error("cannot store a user", exc_info=error)
            self._refuse(step, BROKEN)

    async def _wanted(self, index: int) -> Wanted | ScimError:
        await self._yield_to_others()
        planned = self._plan.operations[index]
        refusal = self.results.refusal(index)
        if refusal is not None:
            return refusal
        try:
            wanted = Wanted(known_id(planned.id or ""), await self._normalised(planned))
            require_size(wanted.sent.attributes, self._dependencies.container.config.max_user_bytes)
            if wanted.password is not None:
                name = str(wanted.sent.attributes["userName"])
                user_usecases.require_good_password(
                    self._dependencies.passwords, wanted.password, name, self._caller.tenant
                )
        except ScimError as error:
            return error
        return wanted

    async def _hash_passwords(self, wanted: dict[int, Wanted | ScimError]) -> None:
        """Hash a few passwords at a time, so that other requests are not blocked; none after the time limit."""
        found = [(index, one) for index, one in wanted.items() if isinstance(one, Wanted) and one.password is not None]
        for start in range(0, len(found), AT_ONCE):
            stop_reason = self._stop_reason()
            if stop_reason is not None:
                wanted.update({index: stop_reason for index, _ in found[start:]})
                return
            some = found[start : start + AT_ONCE]
            hashed = await asyncio.gather(*(self._hashed(one) for _, one in some))
            wanted.update({index: one for (index, _), one in zip(some, hashed, strict=True)})

    async def _hashed(self, one: Wanted) -> Wanted | ScimError:
        try:
            return replace(
                one, password_hash=await self._dependencies.passwords.hash(one.password or "", self._caller.tenant)
            )
        except ServiceError as error:  # the tenant's share of hashing is used up
            return as_scim_error(error)

    async def _forward(self, run: Run) -> None:
        going: list[int] = []
        for index in run.indexes:
            refusal = self.results.refusal(index)
            if refusal is None:
                going.append(index)
                continue
            if self.results.errors_left is not None:  # this error may stop the request (failOnErrors)
                await self._send(going)
                going = []
            if not self.results.stopped:
                self.results.record(index, Outcome.failed(refusal))
        await self._send(going)

    async def _send(self, indexes: Sequence[int]) -> None:
        if not indexes or self.results.stopped:
            return
        operations = [self._plan.operations[index] for index in indexes]
        try:
            seconds = self._answers - self._clock()
            outcomes = await self._dependencies.groups.carry_out(
                self._caller, operations, self.results.errors_left, seconds
            )
        except (UnavailableError, ShareExceededError) as error:
            outcomes = [Outcome.failed(error)] * len(indexes)
        for index, outcome in zip(indexes, outcomes, strict=False):
            if not self.results.stopped:
                self.results.record(index, outcome)

    async def _change(self, run: Run) -> None:
        for index in run.indexes:
            if self.results.stopped:
                return
            await self._yield_to_others()
            planned = self._plan.operations[index]
            refusal = self.results.refusal(index) or (GROUPS_IN_A_CIRCLE if len(run.indexes) > 1 else None)
            self.results.record(
                index, Outcome.failed(refusal) if refusal else await outcome_of(self._change_user(planned))
            )

    async def _change_user(self, planned: Planned) -> Outcome:
        container, passwords, caller = self._dependencies.container, self._dependencies.passwords, self._caller
        user_id, if_match = known_id(planned.id or ""), IfMatch.parse(planned.operation.version)
        if planned.operation.method is Method.DELETE:
            await user_usecases.delete_user(container, caller, user_id, if_match)
            return Outcome(204)
        if planned.operation.method is Method.PUT:
            sent = await self._normalised(planned)
            user = await user_usecases.replace_user(container, passwords, caller, user_id, sent, if_match)
        else:
            operations, engine = parse_patch(planned.data), self._user_type.engine
            user = await user_usecases.patch_user(
                container,
                passwords,
                engine,
                caller,
                user_id,
                operations,
                if_match,
                is_large=planned.operation.index in self._large,
            )
        return Outcome(200, user.version)

    async def _normalised(self, planned: Planned) -> Normalised:
        normalise = self._user_type.normaliser.normalise
        if planned.operation.index in self._large:
            return await asyncio.to_thread(normalise, planned.data)
        return normalise(planned.data)

    async def _yield_to_others(self) -> None:
        if self._clock() - self._yielded_at > YIELD_INTERVAL:
            await asyncio.sleep(0)
            self._yielded_at = self._clock()
