"""Use cases of logins: who proves to be somebody gets a session; one function per command."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import msgspec

from quartet_common.core.caller import Caller
from quartet_common.core.identifiers import TENANT_ID
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import UnitOfWork, unit_of_work
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

NOWHERE = (None, "deleted")
"""The status of a tenant that does not exist."""
MAX_NAME = 1024
"""Characters of a userName; nobody has a longer one."""


@dataclass(frozen=True)
class LoginDependencies:
    """What logins are carried out with."""

    container: AppContainer[UsersConfig]
    keys: KeyRing
    passwords: Passwords
    lockout: Lockout
    failures: FailedLogins


class Attempt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A login as it is wanted."""

    tenant: str
    user_name: str
    password: str
    client_id: str = "quartet-cli"
    new_password: str | None = None

    def __repr__(self) -> str:
        return f"Attempt(tenant={self.tenant!r}, user_name={self.user_name!r})"


class PasswordChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new password of one's own."""

    old_password: str
    new_password: str

    def __repr__(self) -> str:
        return "PasswordChange()"


@dataclass(frozen=True)
class _Asked:
    """Whose password is tried, and what is known of them."""

    tenant: str
    user_name: str
    address: str | None
    status: str | None
    credential: Credential | None


async def log_in(dependencies: LoginDependencies, attempt: Attempt, visitor: Visitor) -> Tokens:
    """A session for who has the password.

    Raises InvalidCredentialsError (401), PasswordChangeRequiredError (403), PasswordRefusedError (400), and what the
    lockout raises. Whatever is wrong, the work is one verification at today's cost.
    """
    begun = await dependencies.lockout.start_attempt(
        attempt.tenant, prepare(attempt.user_name[:MAX_NAME]), visitor.address
    )
    async with _releasing(dependencies.lockout, begun):
        asked = await _ask(dependencies, attempt, visitor.address)
        right = await _is_right(dependencies, asked, attempt.password)
    credential = await _verdict(dependencies, begun, asked, right=right)
    if credential is None:
        raise InvalidCredentialsError
    pair = await dependencies.keys.signing_pair()
    new_hash = await _new_hash(dependencies, asked, credential, attempt)
    caller = Caller(attempt.tenant, str(credential.user_id), visitor.address)

    async def command(work: UnitOfWork) -> TokenGrant | None:
        return await _enter(dependencies.container, work, credential, new_hash, attempt, visitor)

    turn = await session_tokens.in_turn(dependencies.container, caller, command)
    if turn is None:
        raise InvalidCredentialsError
    return session_tokens.make_tokens(dependencies.container, pair, turn)


async def change_password(
    dependencies: LoginDependencies, caller: Caller, user_id: UUID, session: UUID | None, change: PasswordChange
) -> None:
    """Give a person who knows the old password a new one; all sessions but the given one end.

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
    """What is known of the one who wants in; the same questions for everybody."""
    tenant, name = attempt.tenant, attempt.user_name
    status, credential = None, None
    if TENANT_ID.fullmatch(tenant) is not None:
        async with dependencies.container.database.connection() as connection:
            status = await tenant_status_store.read_status(connection, tenant)
            if len(name) <= MAX_NAME and "\0" not in name:
                credential = await credential_store.find_by_name(connection, tenant, name)
    return _Asked(tenant, name, address, status, credential)


@asynccontextmanager
async def _releasing(lockout: Lockout, attempt: LockoutAttempt) -> AsyncIterator[None]:
    """What fails inside leaves the attempt uncounted, and not pending."""
    try:
        yield
    except Exception:
        await lockout.released(attempt)
        raise


async def _is_right(dependencies: LoginDependencies, asked: _Asked, password: str) -> bool:
    """Whether the password is that of the credential; the same work where there is none."""
    known = asked.credential
    tenant = None if asked.status in NOWHERE else asked.tenant
    return await dependencies.passwords.verify(None if known is None else known.password_hash, password, tenant)


async def _verdict(
    dependencies: LoginDependencies, attempt: LockoutAttempt, asked: _Asked, *, right: bool
) -> Credential | None:
    """The credential, if its password was right and may be used; otherwise a failure is counted."""
    reason = _fault(asked, right=right)
    if reason is None:
        await dependencies.lockout.succeeded(attempt)  # whatever comes now, it was no guess
        return asked.credential
    _count(dependencies, asked, reason)
    await dependencies.lockout.failed(attempt)
    return None


def _fault(asked: _Asked, *, right: bool) -> str | None:
    known = asked.credential
    faults = {
        "unknown_tenant": asked.status in NOWHERE,
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
    """The hash to store at this login: of the new password, or of the same at today's cost; None where it stays."""
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
    """The session, unless the user was changed while the password was verified."""
    connection, tenant, user_id = work.connection, work.tenant, credential.user_id
    if attempt.new_password is not None and new_hash is not None:
        if not await _replace(work, credential, new_hash, None):
            return None
    elif await credential_store.hold(connection, tenant, user_id) != credential:
        return None
    elif new_hash is not None:
        await credential_store.renew_hash(connection, tenant, credential, new_hash)
    grant = await session_tokens.begin(container, connection, tenant, user_id, visitor)
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
