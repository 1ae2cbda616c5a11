"""Legal holds: while one is on the log of a tenant, retention, erasures and the tenant's deletion remove nothing."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from quartet_common.core.errors import ServiceError


@dataclass(frozen=True)
class LegalHold:
    """A hold on the log of `tenant`, and who has set it when and why."""

    tenant: str
    id: UUID
    reason: str
    set_at: datetime
    set_by: str


class HeldLogError(ServiceError):
    """409: a legal hold forbids to remove anything of the log."""

    def __init__(self, hold: LegalHold) -> None:
        since = hold.set_at.isoformat(timespec="seconds").replace("+00:00", "Z")
        detail = (
            f"A legal hold is on the audit log since {since}, set by {hold.set_by}: {hold.reason}. No person is "
            "erased before it is released (DELETE /audit/legal-hold). Request the erasure again then."
        )
        super().__init__(409, "legal_hold", detail)
