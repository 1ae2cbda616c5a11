"""Use cases of logins and password changes: one function per command."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import msgspec

from quartet_common.core.caller import USER, Caller
from quartet_common.core.identifiers import TENANT_ID
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import UnitOfWork, unit_of_work
from quartet_scim.normalise import MAX_INDEXED_ATTRIBUTE_BYTES
from quartet_scim.usernames import prepare
from quartet_users.config import UsersConfig
from quartet_users.errors import (
    InvalidCredentialsError,
    PasswordChangeRequiredError,
    PasswordRefusedError,
    WrongPasswordError,
)
from quartet_users.lockout.lockout import Attempt as LockoutAttempt
from quartet_users.lockout.lockout import Lockout
from quartet_users.logins import login_events
from quartet_users.logins.failed_logins import FailedLogins, Failure
from quartet_users.passwords import credential_store
from quartet_users.passwords.credential_store import Credential
from quartet_users.passwords.password_hashing import Passwords
from quartet_users.passwords.password_policy import normalise
from quartet_users.sessions import session_ending, session_tokens
from quartet_users.sessions.session_tokens import TokenGrant, Tokens, Visitor
from quartet_users.tokens import tenant_status_store
from quartet_users.tokens.key_ring import KeyRing
from quartet_users.users import user_domain, user_store

ABSENT = (None, "deleted")
"""The statuses of tenants that do not exist."""
MAX_USER_NAME_LENGTH = MAX_INDEXED_ATTRIBUTE_BYTES
"""Characters; no stored userName has more, since none has more bytes."""


@dataclass(frozen=True)
class LoginDependencies:
    """The objects that logins need."""

    container: AppContainer[UsersConfig]
    keys: KeyRing
    passwords: Passwords
    lockout: Lockout
    failures: FailedLogins


class Attempt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The parsed body of a login request."""

    tenant: str
    user_name: str
    password: str
    client_id: str = "quartet-cli"
    new_password: str | None = None

    def __repr__(self) -> str:
        return f"Attempt(tenant={self.tenant!r}, user_name={self.user_name!r})"


class PasswordChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The parsed body of a password change."""

    old_password: str
    new_password: str

    def __repr__(self) -> str:
        return "PasswordChange()"


@dataclass(frozen=True)
class _Asked:
    """The user of a login, the status of the tenant and the stored credential; None for those that do not exist."""

    tenant: str
    user_name: str
    address: str | None
    status: str | None
    credential: Credential | None


async def log_in(dependencies: LoginDependencies, attempt: Attempt, visitor: Visitor) -> Tokens:
    """Verify a password, begin a session and return its tokens.

    Raises InvalidCredentialsError (401), PasswordChangeRequiredError (403), PasswordRefusedError (400), and what the
    lockout raises. Every failure costs the same: one verification at the present cost.
    """
    begun = await dependencies.lockout.start_attempt(
        attempt.tenant, prepare(attempt.user_name[:MAX_USER_NAME_LENGTH]), visitor.address
    )
    async with _releasing(dependencies.lockout, begun):
        asked = await _ask(dependencies, attempt, visitor.address)
        right = await _is_right(dependencies, asked, attempt.password)
    credential = await _verdict(dependencies, begun, asked, right=right)
    if credential is None:
        raise InvalidCredentialsError
    pair = await dependencies.keys.signing_pair()
    new_hash = await _new_hash(dependencies, asked, credential, attempt)
    caller = Caller(
        attempt.tenant,
        str(credential.user_id),
        visitor.address,
        actor_name=credential.user_name,
        actor_type=USER,
        user_agent=visitor.user_agent,
    )

    async def command(work: UnitOfWork) -> TokenGrant | None:
        return await _enter(dependencies.container, work, credential, new_hash, attempt, visitor)

    grant = await session_tokens.run_session_command(dependencies.container, caller, command)
    if grant is None:
        raise InvalidCredentialsError
    return session_tokens.make_tokens(dependencies.container, pair, grant)


async def change_password(
    dependencies: LoginDependencies, caller: Caller, user_id: UUID, session: UUID | None, change: PasswordChange
) -> None:
    """Replace the password of a user who knows the old one; ends all sessions but `session`.

    Raises WrongPasswordError (403), PasswordRefusedError (400), and what the lockout raises.
    """
    async with dependencies.container.database.connection() as connection:
        known = await credential_store.find_by_id(connection, caller.tenant, user_id)
    name = "" if known is None else known.user_name
    _require_good(dependencies, change.new_password, name, caller.tenant)
    begun = await dependencies.lockout.start_attempt(caller.tenant, prepare(name), caller.source_address)
    asked = _Asked(caller.tenant, name, caller.source_address, "active", known)
    async with _releasing(dependencies.lockout, begun):
        right = await _is_right(dependencies, asked, change.old_password)
    credential = await _verdict(dependencies, begun, asked, right=right)
    if credential is None:
        raise WrongPasswordError
    new_hash = await dependencies.passwords.hash(change.new_password, caller.tenant, urgent=True)
    async with unit_of_work(dependencies.container, caller) as work:
        if not await _replace(work, credential, new_hash, session):
            raise WrongPasswordError


async def _ask(dependencies: LoginDependencies, attempt: Attempt, address: str | None) -> _Asked:
    """Look up tenant and credential, with the same queries for users that exist and that do not."""
    tenant, name = attempt.tenant, attempt.user_name
    status, credential = None, None
    if TENANT_ID.fullmatch(tenant) is not None:
        async with dependencies.container.database.connection() as connection:
            status = await tenant_status_store.read_status(connection, tenant)
            if len(name) <= MAX_USER_NAME_LENGTH and "\0" not in name:
                credential = await credential_store.find_by_name(connection, tenant, name)
    return _Asked(tenant, name, address, status, credential)


@asynccontextmanager
async def _releasing(lockout: Lockout, attempt: LockoutAttempt) -> AsyncIterator[None]:
    """Release the attempt if the block fails, so that it is not counted."""
    try:
        yield
    except Exception:
        await lockout.released(attempt)
        raise


async def _is_right(dependencies: LoginDependencies, asked: _Asked, password: str) -> bool:
    """Whether the password is that of the credential; costs the same without a credential."""
    known = asked.credential
    tenant = None if asked.status in ABSENT else asked.tenant
    return await dependencies.passwords.verify(None if known is None else known.password_hash, password, tenant)


async def _verdict(
    dependencies: LoginDependencies, attempt: LockoutAttempt, asked: _Asked, *, right: bool
) -> Credential | None:
    """The credential if the login is valid; else counts a failure and returns None."""
    reason = _fault(asked, right=right)
    if reason is None:
        await dependencies.lockout.succeeded(attempt)  # whatever fails after this, the password was right
        return asked.credential
    _count(dependencies, asked, reason)
    await dependencies.lockout.failed(attempt)
    return None


def _fault(asked: _Asked, *, right: bool) -> str | None:
    known = asked.credential
    faults = {
        "unknown_tenant": asked.status in ABSENT,
        "tenant_suspended": asked.status != "active",
        "unknown_user": known is None,
        "no_password": known is not None and known.password_hash is None,
        "wrong_password": not right,
        "inactive": known is not None and not known.active,
    }
    return next((reason for reason, holds in faults.items() if holds), None)


def _count(dependencies: LoginDependencies, asked: _Asked, reason: str) -> None:
    tenant = None if reason == "unknown_tenant" else asked.tenant
    user_id = None if asked.credential is None or tenant is None else asked.credential.user_id
    dependencies.failures.failed(Failure(tenant, asked.user_name, user_id, asked.address, reason))


async def _new_hash(
    dependencies: LoginDependencies, asked: _Asked, credential: Credential, attempt: Attempt
) -> str | None:
    """The hash to store: of the new password, or of the same one if its hash has an old cost; None for no change."""
    if attempt.new_password is not None:
        if normalise(attempt.new_password) == normalise(attempt.password):
            raise PasswordRefusedError("It must differ from the old password.")
        _require_good(dependencies, attempt.new_password, credential.user_name, attempt.tenant)
        return await dependencies.passwords.hash(attempt.new_password, attempt.tenant, urgent=True)
    if credential.must_change:
        _count(dependencies, asked, "password_change_required")
        raise PasswordChangeRequiredError
    if dependencies.passwords.is_outdated(credential.password_hash or ""):
        return await dependencies.passwords.hash(attempt.password, attempt.tenant, urgent=True)
    return None


def _require_good(dependencies: LoginDependencies, password: str, user_name: str, tenant: str) -> None:
    fault = dependencies.passwords.policy.fault(password, user_name, tenant)
    if fault is not None:
        raise PasswordRefusedError(fault)


async def _enter(
    container: AppContainer[UsersConfig],
    work: UnitOfWork,
    credential: Credential,
    new_hash: str | None,
    attempt: Attempt,
    visitor: Visitor,
) -> TokenGrant | None:
    """Begin the session; None if the user was changed while the password was verified."""
    connection, tenant, user_id = work.connection, work.tenant, credential.user_id
    if attempt.new_password is not None and new_hash is not None:
        if not await _replace(work, credential, new_hash, None):
            return None
    elif await credential_store.lock_credential(connection, tenant, user_id) != credential:
        return None
    elif new_hash is not None:
        await credential_store.renew_hash(connection, tenant, credential, new_hash)
    grant = await session_tokens.begin_session(container, connection, tenant, credential, visitor)
    session = grant.session
    work.publish([login_events.login_succeeded(session.id, user_id, credential.user_name, session.client_id)])
    await session_ending.end_oldest(work, user_id)
    return grant


async def _replace(work: UnitOfWork, credential: Credential, new_hash: str, kept: UUID | None) -> bool:
    """Store a new password and end all sessions but `kept`; False if the user was changed since it was verified."""
    connection, tenant = work.connection, work.tenant
    user = await user_store.lock_user(connection, tenant, credential.user_id)
    if user is None or await credential_store.find_by_id(connection, tenant, user.id) != credential:
        return False
    changed, events = user_domain.change(user, user.attributes, work.now(), new_password=True)
    await user_store.update_user(connection, tenant, changed)
    await credential_store.set_password(connection, tenant, user.id, new_hash, changed.modified)
    work.publish(events)
    await session_ending.end_others(work, user.id, kept, "password_changed")
    return True
