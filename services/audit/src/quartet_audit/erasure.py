"""Erasure: what is removed of a deleted tenant's log, and what of it stays."""

from functools import partial

from quartet_audit.erasures.erasure_store import erase_tenant
from quartet_audit.retention.legal_hold_store import get_hold_before_removal
from quartet_common.data.connections import Connection
from quartet_common.runtime.tenant_deletion import Erasure

OWNED = ("entries", "personal_parts", "erased_parts", "erasures")
"""Tables of which only a function of the owner removes rows, and none while a legal hold is on the log; the deletion
goes on when it is released.
"""


async def _erase_unless_held(table: str, connection: Connection, tenant: str, limit: int) -> int:
    if await get_hold_before_removal(connection, tenant) is not None:
        return 0
    return await erase_tenant(connection, table, tenant, limit)


ERASURE = Erasure(
    staying={
        *("logs", "leaves", "tiles", "checkpoints", "cosigned_checkpoints", "waiting_checkpoints"),
        *("signing_keys", "pruned_logs", "legal_holds"),
    },
    own={table: partial(_erase_unless_held, table) for table in OWNED},
)
"""Entries and their parts go; the tree and its checkpoint stay, which have no personal data, and what says how far the
log was pruned. A legal hold stays until it is released. Cosigned and waiting checkpoints and signing keys belong to the
platform; a trigger refuses every DELETE on the keys, also one that finds no row.
"""
