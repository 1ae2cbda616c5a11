"""The meaning of driver errors: PostgreSQL is unavailable, or transactions contend."""

import asyncpg

from quartet_common.core.errors import ContendedError, UnavailableError
from quartet_common.data.database_watch import NO_SPACE, Answer

UNAVAILABLE = (
    OSError,  # connection refused or reset
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server ended the connection between two statements of a transaction
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.DatabaseDroppedError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InsufficientResourcesError,  # class 53: no disk space, no memory, too many connections
    asyncpg.ReadOnlySQLTransactionError,  # a standby, or a demoted primary
    asyncpg.PostgresSystemError,  # class 58: system errors of the server
)
OF_ONE_STATEMENT = (TimeoutError, asyncpg.OutOfMemoryError, asyncpg.ConfigurationLimitExceededError)
"""Errors of UNAVAILABLE that one statement may cause repeatedly while the server works for all others."""
CONTENDED = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
"""PostgreSQL rolled a transaction back in favour of another one; a retry may succeed."""


class unavailable:  # noqa: N801  # reads as a statement
    """Convert driver errors that mean that PostgreSQL is unavailable to UnavailableError, and contention to
    ContendedError.
    """

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        raise_meaning(error)


def raise_meaning(error: BaseException | None) -> None:
    """Raise UnavailableError or ContendedError if a driver error means that; else do nothing."""
    if isinstance(error, UNAVAILABLE):
        raise UnavailableError("postgresql", problem=_problem(error)) from error
    if isinstance(error, CONTENDED):
        raise ContendedError("postgresql") from error


def _problem(error: BaseException) -> str:
    """The problem of PostgreSQL for an error message."""
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return "has no server of the kind that target_session_attrs asks for"
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return Answer.READ_ONLY.value
    if isinstance(error, asyncpg.DiskFullError):
        return NO_SPACE
    if isinstance(error, asyncpg.TooManyConnectionsError):
        return "accepts no more connections"
    return Answer.ERROR.value
