"""Failed logins: counted, and published as a limited number of events."""

from dataclasses import dataclass, replace
from typing import cast
from uuid import UUID

from quartet_common.core.caller import ANONYMOUS, Caller
from quartet_common.core.identifiers import SYSTEM_TENANT
from quartet_common.messaging.event_aggregation import OTHERS, EventAggregator, Tally
from quartet_common.messaging.outbox import DomainEvent
from quartet_users.logins import login_events

MAX_NAME = 128


@dataclass(frozen=True)
class Failure:
    """A failed login: its tenant (None for an unknown one), user, source address and reason."""

    tenant: str | None
    user_name: str
    user_id: UUID | None
    address: str | None
    reason: str


class FailedLogins(EventAggregator[Failure, None]):
    """Counts failed logins by tenant, name, address and reason; each tenant has its own limit of events."""

    name = "failed logins"

    def failed(self, failure: Failure) -> None:
        """Count a failed login."""
        name = failure.user_name.replace("\0", "\ufffd")[:MAX_NAME]
        self.add(replace(failure, user_name=name), None)

    def partition(self, kind: Failure) -> str | None:
        """The tenant of a failure."""
        return kind.tenant

    def overflow_key(self, kind: Failure) -> Failure:
        """The key that counts further failures of the tenant together."""
        return Failure(kind.tenant, OTHERS, None, None, OTHERS)

    def event_of(self, kind: Failure, tally: Tally[None]) -> tuple[Caller, DomainEvent]:
        """`users.login.failed.v1`."""
        who = {
            "userName": kind.user_name,
            "userId": None if kind.user_id is None else str(kind.user_id),
            "reason": kind.reason,
        }
        caller = Caller(kind.tenant or SYSTEM_TENANT, ANONYMOUS, kind.address, actor_type=ANONYMOUS)
        return caller, login_events.login_failed(cast(login_events.FailedLoginFacts, {**who, **tally.facts}))
