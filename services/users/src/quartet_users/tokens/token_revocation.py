"""Token revocation: stores revocations with the change that caused them, and publishes them to every service."""

from collections.abc import Sequence

from quartet_common.auth.revocations import Revocation
from quartet_common.runtime.unit_of_work import UnitOfWork
from quartet_users.tokens import token_events


def revoke(work: UnitOfWork, revocations: Sequence[Revocation]) -> None:
    """Revoke tokens: they are refused in this process from the commit on, in the other apis of this service within half
    a second, in the other services as soon as they receive the event.
    """
    work.revoke(revocations)
    work.publish(token_events.token_revoked(one) for one in revocations)
