"""What the driver's errors mean: PostgreSQL is away or cannot do its work, or transactions contend."""

import asyncpg

from quartet_common.core.errors import ContendedError, UnavailableError
from quartet_common.data.database_watch import NO_SPACE, Answer

UNAVAILABLE = (
    OSError,  # connection refused or reset
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server's farewell came between two statements of a transaction
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.DatabaseDroppedError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InsufficientResourcesError,  # class 53: no disk space, no memory, too many connections
    asyncpg.ReadOnlySQLTransactionError,  # a standby, or a primary that was demoted
    asyncpg.PostgresSystemError,  # class 58: the files of the server
)
OF_ONE_STATEMENT = (TimeoutError, asyncpg.OutOfMemoryError, asyncpg.ConfigurationLimitExceededError)
"""Of UNAVAILABLE, what one statement may meet again and again while the server does well by all others."""
CONTENDED = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
"""PostgreSQL has undone a transaction for the sake of another; the same again may well succeed."""


class unavailable:  # noqa: N801  # reads as a statement
    """Turns the driver's many ways to say that PostgreSQL is away into UnavailableError; contention into its own."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        raise_meaning(error)


def raise_meaning(error: BaseException | None) -> None:
    """Raise what an error of the driver means, if it means that PostgreSQL is away or that transactions contend."""
    if isinstance(error, UNAVAILABLE):
        raise UnavailableError("postgresql", problem=_problem(error)) from error
    if isinstance(error, CONTENDED):
        raise ContendedError("postgresql") from error


def _problem(error: BaseException) -> str:
    """What PostgreSQL cannot do, as an error message says it."""
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return "has no server of the kind that target_session_attrs asks for"
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        return Answer.READ_ONLY.value
    if isinstance(error, asyncpg.DiskFullError):
        return NO_SPACE
    if isinstance(error, asyncpg.TooManyConnectionsError):
        return "accepts no more connections"
    return Answer.ERROR.value
