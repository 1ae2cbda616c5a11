"""The use case of import jobs: each set of records of a file becomes users in one transaction, with their events."""

import logging
from collections.abc import Iterator, Sequence

import asyncpg

from quartet_common.core.errors import MissingScopesError
from quartet_common.core.identifiers import new_id
from quartet_common.jobs.job_domain import JobError
from quartet_common.jobs.running_job import Command, RunningJob, SetOutcome
from quartet_common.runtime.unit_of_work import UnitOfWork
from quartet_directory_formats import FormatError, Options, parse
from quartet_scim.errors import ScimError
from quartet_scim.normalise import Normaliser
from quartet_scim.resource import require_size
from quartet_users.errors import TAKEN
from quartet_users.imports import import_store
from quartet_users.imports.import_domain import (
    SEVERAL,
    Incoming,
    Item,
    Match,
    Refused,
    distinct_runs,
    merge,
    read_item,
)
from quartet_users.passwords import credential_store
from quartet_users.roles.privilege_usecases import require_scopes_of_user
from quartet_users.sessions import session_ending
from quartet_users.tenant_schemas.schema_usecases import require_schemas
from quartet_users.tenant_schemas.user_types import UserTypes
from quartet_users.users import user_domain, user_store
from quartet_users.users.user_domain import User

logger = logging.getLogger(__name__)

SET = 500
"""Records of one transaction, about half a second."""
NOT_STORED = "The user cannot be stored. The log of the worker has the error of the database."


async def import_users(job: RunningJob) -> None:
    """Import the users of the job's file. Raises JobError if it cannot be read at all."""
    user_type = await UserTypes(lambda: job.container.database).current(job.tenant)
    async for some in job.sets(_items(job, user_type.normaliser), SET):
        await _import_set(job, some)


def _items(job: RunningJob, normaliser: Normaliser) -> Iterator[Item]:
    """The records of the file behind those of the finished sets; read in a thread."""
    options = Options(
        kind="user",
        mapping=job.options.get("mapping", {}),
        delimiter=job.options.get("delimiter"),
        encoding=job.options.get("encoding"),
    )
    match: Match = job.options["match"]
    try:
        for found in parse(job.state.format, job.open_file, options, skip=job.state.position):
            yield read_item(normaliser, found, match, job.container.config.max_user_bytes)
    except FormatError as error:
        raise JobError(str(error)) from None


async def _import_set(job: RunningJob, items: Sequence[Item]) -> None:
    """Import some records in a transaction; if it fails, each half in one of its own: one record fails alone."""
    try:
        await job.run_set(len(items), _command(job, items))
    except (ScimError, asyncpg.PostgresError) as error:
        if len(items) > 1:
            half = len(items) // 2
            await _import_set(job, items[:half])
            await _import_set(job, items[half:])
            return
        await job.run_set(1, _refusal(items[0], error))


def _refusal(item: Item, error: Exception) -> Command:
    async def refuse(_: UnitOfWork, outcome: SetOutcome) -> None:
        if isinstance(item, Incoming):
            is_clients = isinstance(error, ScimError)
            if not is_clients:
                logger.error("cannot store an imported user", exc_info=error)
            outcome.fail(item.line, str(error) if is_clients else NOT_STORED, _name(item))

    return refuse


def _command(job: RunningJob, items: Sequence[Item]) -> Command:
    async def store(work: UnitOfWork, outcome: SetOutcome) -> None:
        for item in items:
            if isinstance(item, Refused):
                outcome.fail(item.line, item.reason, item.value)
            elif item is not None:
                for note in item.notes:
                    outcome.note(item.line, note)
        for run in distinct_runs([item for item in items if isinstance(item, Incoming)]):
            await UserSet(job, work, outcome).store(run)

    return store


class UserSet:
    """Users of a set with different keys, in the transaction of the set."""

    def __init__(self, job: RunningJob, work: UnitOfWork, outcome: SetOutcome) -> None:
        self._match: Match = job.options["match"]
        self._max_bytes: int = job.container.config.max_user_bytes
        self._work = work
        self._outcome = outcome

    async def store(self, incoming: Sequence[Incoming]) -> None:
        """Create those that are new, and change the others. Raises ScimError if a schema was deleted meanwhile."""
        lock = import_store.lock_by_names if self._match == "userName" else import_store.lock_by_external_ids
        known = await lock(self._work.connection, self._work.tenant, [one.key for one in incoming])
        await self._create([one for one in incoming if one.key not in known])
        await self._change([(one, known[one.key]) for one in incoming if one.key in known])
        await require_schemas(self._work.connection, self._work.tenant, [one.sent.attributes for one in incoming])

    async def _create(self, incoming: Sequence[Incoming]) -> None:
        if not incoming:
            return
        work, now = self._work, self._work.now()
        made = [(one, *user_domain.create(new_id(), one.sent.attributes, now)) for one in incoming]
        stored = await user_store.insert_users(work.connection, work.tenant, [user for _, user, _ in made])
        hashes = []
        for one, user, events in made:
            if user.id not in stored:
                self._outcome.fail(one.line, TAKEN, _name(one))
                continue
            self._outcome.done += 1
            work.publish(events)
            if one.password_hash is not None:
                hashes.append((user.id, one.password_hash))
        if hashes:
            await credential_store.set_passwords(work.connection, work.tenant, hashes, now)

    async def _change(self, pairs: Sequence[tuple[Incoming, list[User]]]) -> None:
        if not pairs:
            return
        ids = [user.id for _, users in pairs for user in users]
        protected = await import_store.with_passwords(self._work.connection, self._work.tenant, ids)
        for one, users in pairs:
            if len(users) > 1:
                self._outcome.fail(one.line, SEVERAL, one.key)
                continue
            try:
                is_changed = await self._change_user(one, users[0], has_password=users[0].id in protected)
            except (ScimError, MissingScopesError) as error:
                self._outcome.fail(one.line, error.detail, _name(one))
                continue
            self._outcome.done += is_changed
            self._outcome.skipped += not is_changed

    async def _change_user(self, one: Incoming, before: User, *, has_password: bool) -> bool:
        """Change a user, whose row is locked, by a record; whether there was a difference. A password that the user has
        stays. Raises ScimError, MissingScopesError: then nothing was changed.
        """
        work = self._work
        new_password = one.password_hash is not None and not has_password
        attributes = merge(before.attributes, one.sent.attributes)
        require_size(attributes, self._max_bytes, before.attributes)
        user, events = user_domain.change(before, attributes, work.now(), new_password=new_password)
        if not events:
            return False
        if user_domain.is_privileged(before, user, new_password=new_password):
            await require_scopes_of_user(work.connection, work.caller, user.id)
        if not await self._update(before, user):
            raise ScimError(409, TAKEN, "uniqueness")
        if new_password and one.password_hash is not None:
            hashes = [(user.id, one.password_hash)]
            await credential_store.set_passwords(work.connection, work.tenant, hashes, user.modified)
        work.publish(events)
        why = user_domain.ends_sessions(before, user, new_password=new_password)
        if why is not None:
            await session_ending.end_sessions_of(work, user.id, why)
        return True

    async def _update(self, before: User, user: User) -> bool:
        """Store a changed user; False if its new name is taken, which a savepoint keeps from the others of the set."""
        work = self._work
        if user.user_name_key == before.user_name_key:
            return await user_store.update_user(work.connection, work.tenant, user) is not None
        try:
            async with work.connection.transaction():
                if await user_store.update_user(work.connection, work.tenant, user) is None:
                    raise NameTakenError
        except NameTakenError:
            return False
        return True


class NameTakenError(Exception):
    """The new userName of a changed user is taken: its savepoint is rolled back."""


def _name(one: Incoming) -> str:
    return str(one.sent.attributes["userName"])
