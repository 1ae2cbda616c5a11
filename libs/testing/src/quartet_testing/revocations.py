"""Revocations for tests and measurements that need no server: what a list reads, set by hand."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic, time
from typing import Any, cast

from msgspec.structs import asdict

from quartet_common.auth.revocation_list import RevocationList
from quartet_common.auth.revocations import Revocation
from quartet_common.core.errors import UnavailableError
from quartet_common.data.database import Database

NOTHING = dict.fromkeys(("tenant_id", "kind", "id", "revoked_at", "endless", "expires_at"))


class KeptRevocations:
    """Stands for the database of a RevocationList: gives `kept`, says up to which transaction, and can be away."""

    def __init__(self) -> None:
        self.kept: list[Revocation] = []
        self.horizon = 7
        self.asked: list[str] = []
        self.away = False

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["KeptRevocations"]:
        """Itself. Raises UnavailableError while it is away."""
        if self.away:
            raise UnavailableError("postgresql")
        yield self

    async def fetch(self, _: str, horizon: str) -> list[dict[str, Any]]:
        """All that is kept, whatever `horizon` is; one row without a revocation where there is none."""
        self.asked.append(horizon)
        rows = [{"tenant_id": one.tenant, **asdict(one)} for one in self.kept]
        return [{"horizon": str(self.horizon), **row} for row in rows or [NOTHING]]


def listing(
    kept: KeptRevocations, now: Callable[[], float] = monotonic, wall: Callable[[], float] = time
) -> RevocationList:
    """A list that reads `kept`."""
    return RevocationList(lambda: cast(Database, kept), now, wall)


async def fresh_list(*revocations: Revocation) -> RevocationList:
    """A list that has just been read, and holds `revocations`."""
    made = listing(KeptRevocations())
    await made.refresh()
    made.add(revocations)
    return made
