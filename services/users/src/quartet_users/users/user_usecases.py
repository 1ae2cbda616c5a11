"""Use cases of users: one function per command; each opens the one transaction of its command."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from quartet_common.core.caller import Caller
from quartet_common.core.identifiers import new_id
from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import UnitOfWork, one_statement, unit_of_work
from quartet_scim.errors import ScimError, invalid_value, not_found, uniqueness
from quartet_scim.normalise import Normalised
from quartet_scim.patch import SMALL_BUDGET, Operation, Patched, PatchEngine
from quartet_scim.preconditions import ANY_VERSION, IfMatch
from quartet_scim.resource import require_size
from quartet_users.config import UsersConfig
from quartet_users.errors import TAKEN
from quartet_users.passwords import credential_store
from quartet_users.passwords.password_hashing import Passwords
from quartet_users.roles.privilege_usecases import require_scopes_of_user
from quartet_users.sessions import session_ending, session_store
from quartet_users.tenant_schemas.schema_usecases import own_urns, require_schemas
from quartet_users.users import user_domain, user_store
from quartet_users.users.user_domain import User

Container = AppContainer[UsersConfig]

FEW_OPERATIONS = 100
FEW_VALUES = 500
"""Limits up to which a PATCH is applied on the event loop, in a few milliseconds."""


class UnhashedError(Exception):
    """A patch sets a password that must be hashed first, outside of the transaction."""

    def __init__(self, password: str, user_name: str) -> None:
        super().__init__()  # without the password, since the message may be logged
        self.password = password
        self.user_name = user_name


async def create_user(container: Container, passwords: Passwords, caller: Caller, sent: Normalised) -> User:
    """Create a user. Raises ScimError 409 `uniqueness`."""
    require_size(sent.attributes, container.config.max_user_bytes)
    password_hash = await _hash(passwords, sent, caller.tenant)
    user, events = user_domain.create(new_id(), sent.attributes, container.clock())
    if password_hash is None and not own_urns([user.attributes]):
        async with one_statement(container, caller, *events) as (connection, row):
            return _require_stored(await user_store.insert_user_and_event(connection, caller.tenant, user, row))
    async with unit_of_work(container, caller) as work:
        stored = _require_stored(await user_store.insert_user(work.connection, caller.tenant, user))
        await _lock_schemas_and_set_password(work, stored, password_hash)
        work.publish(events)
    return stored


def _require_stored(stored: User | None) -> User:
    """The user that a store function returned. Raises ScimError 409 for None: the userName is taken."""
    if stored is None:
        raise uniqueness(TAKEN)
    return stored


async def replace_user(
    container: Container,
    passwords: Passwords,
    caller: Caller,
    user_id: UUID,
    sent: Normalised,
    if_match: IfMatch = ANY_VERSION,
) -> User:
    """Replace the attributes of a user by `sent` (RFC 7644 section 3.5.1).

    Raises ScimError 404, 409, 412, MissingScopesError 403.
    """
    password_hash = await _hash(passwords, sent, caller.tenant)
    async with unit_of_work(container, caller) as work:
        before = await _lock(work.connection, caller.tenant, user_id, if_match)
        require_size(sent.attributes, container.config.max_user_bytes, before.attributes)
        new_password = password_hash is not None
        user, events = user_domain.change(before, sent.attributes, work.now(), new_password=new_password)
        if user_domain.is_privileged(before, user, new_password=new_password):
            await require_scopes_of_user(work.connection, caller, user_id)
        if events:
            user = _require_stored(await user_store.update_user(work.connection, caller.tenant, user))
        await _lock_schemas_and_set_password(work, user, password_hash)
        work.publish(events)
        await _end_sessions(work, before, user, new_password=new_password)
    return user


async def patch_user(
    container: Container,
    passwords: Passwords,
    engine: PatchEngine,
    caller: Caller,
    user_id: UUID,
    operations: Sequence[Operation],
    if_match: IfMatch = ANY_VERSION,
    *,
    is_large: bool = False,
) -> User:
    """Apply `operations` to a user, all or none (RFC 7644 section 3.5.2).

    `is_large`: they are from a large body and are applied in a thread. Raises ScimError 400, 404, 409, 412,
    MissingScopesError 403.
    """
    try:
        return await _patch(container, {}, engine, caller, user_id, operations, if_match, is_large=is_large)
    except UnhashedError as unhashed:
        password, user_name = unhashed.password, unhashed.user_name
    require_good_password(passwords, password, user_name, caller.tenant)
    hashes = {password: await passwords.hash(password, caller.tenant)}
    return await _patch(container, hashes, engine, caller, user_id, operations, if_match, is_large=is_large)


async def _patch(
    container: Container,
    hashes: Mapping[str, str],
    engine: PatchEngine,
    caller: Caller,
    user_id: UUID,
    operations: Sequence[Operation],
    if_match: IfMatch,
    *,
    is_large: bool,
) -> User:
    """`patch_user` with the `hashes` of passwords. Raises UnhashedError for another password."""
    async with unit_of_work(container, caller) as work:
        before = await _lock(work.connection, caller.tenant, user_id, if_match)
        patched = await _applied(engine, before, operations, is_large=is_large)
        require_size(patched.attributes, container.config.max_user_bytes, before.attributes)
        new_password = "password" in patched.secrets
        user, events = user_domain.change(before, patched.attributes, work.now(), new_password=new_password)
        if user_domain.is_privileged(before, user, new_password=new_password):
            await require_scopes_of_user(work.connection, caller, user_id)
        password_hash = _hash_among(hashes, patched.secrets, patched.attributes)
        if events:
            user = _require_stored(await user_store.update_user(work.connection, caller.tenant, user))
        if new_password and password_hash is None:
            await credential_store.delete_password(work.connection, caller.tenant, user_id)
        await _lock_schemas_and_set_password(work, user, password_hash)
        work.publish(events)
        await _end_sessions(work, before, user, new_password=new_password)
    return user


async def _applied(engine: PatchEngine, user: User, operations: Sequence[Operation], *, is_large: bool) -> Patched:
    """The user after `operations`, applied in a thread if that takes more than a few milliseconds."""
    values = sum(len(value) for value in user.attributes.values() if isinstance(value, list))
    if not is_large and len(operations) <= FEW_OPERATIONS and values <= FEW_VALUES:
        try:
            return engine.apply(user.attributes, operations, SMALL_BUDGET)
        except ScimError as error:
            if error.scim_type != "tooMany":
                raise
    return await asyncio.to_thread(engine.apply, user.attributes, operations)


async def delete_user(container: Container, caller: Caller, user_id: UUID, if_match: IfMatch = ANY_VERSION) -> None:
    """Delete a user and end its sessions. Raises ScimError 404, 412, MissingScopesError 403."""
    async with unit_of_work(container, caller) as work:
        user = await _lock(work.connection, caller.tenant, user_id, if_match)
        await require_scopes_of_user(work.connection, caller, user_id)
        ended = await session_store.delete_user(work.connection, caller.tenant, user_id)
        session_ending.revoke_user(work, user_id, ended, "deleted")
        work.publish(user_domain.delete(user))


async def _lock(connection: Connection, tenant: str, user_id: UUID, if_match: IfMatch) -> User:
    user = await user_store.lock_user(connection, tenant, user_id)
    if user is None:
        raise not_found()
    if_match.require(user.version)
    return user


def require_good_password(passwords: Passwords, password: str, user_name: str, tenant: str) -> None:
    """Check a new password by the policy. Raises ScimError 400 invalidValue."""
    fault = passwords.policy.fault(password, user_name, tenant)
    if fault is not None:
        raise invalid_value(f"password: {fault}")


async def _hash(passwords: Passwords, sent: Normalised, tenant: str) -> str | None:
    password = sent.secrets.get("password")
    if not isinstance(password, str):
        return None
    passwords.share.require_queue_space(tenant)  # before the policy check, which costs more than a refusal
    require_good_password(passwords, password, str(sent.attributes["userName"]), tenant)
    return await passwords.hash(password, tenant)


def _hash_among(hashes: Mapping[str, str], secrets: Mapping[str, Any], attributes: Mapping[str, Any]) -> str | None:
    password = secrets.get("password")
    if not isinstance(password, str):
        return None
    if password not in hashes:
        raise UnhashedError(password, str(attributes["userName"]))
    return hashes[password]


async def _end_sessions(work: UnitOfWork, before: User, after: User, *, new_password: bool) -> None:
    """End a user's sessions if the change requires it; the user's row is locked, so that no new one can begin."""
    why = user_domain.ends_sessions(before, after, new_password=new_password)
    if why is not None:
        await session_ending.end_sessions_of(work, after.id, why)


async def _lock_schemas_and_set_password(work: UnitOfWork, user: User, password_hash: str | None) -> None:
    await require_schemas(work.connection, work.tenant, [user.attributes])
    if password_hash is not None:
        await credential_store.set_password(work.connection, work.tenant, user.id, password_hash, user.modified)
