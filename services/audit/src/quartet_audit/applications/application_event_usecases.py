"""Use cases of events of applications: accepts them in one transaction, and forgets old ones."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from uuid import UUID

from quartet_audit.applications import application_event_store as store
from quartet_audit.applications.application_event_domain import ApplicationEvent, RefusedEventError, keyed
from quartet_audit.applications.application_event_models import Receipt, Receipts
from quartet_audit.config import AuditConfig
from quartet_audit.entries.digest_keys import DigestKeys
from quartet_common.core.caller import Caller
from quartet_common.core.errors import LimitedError
from quartet_common.core.identifiers import new_id
from quartet_common.core.schedule import Schedule
from quartet_common.data.connections import Connection
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.unit_of_work import unit_of_work

Container = AppContainer[AuditConfig]

MAX_WAITING = 10_000
"""Events of one tenant that may wait to be published; then no more are accepted."""
PRUNE_INTERVAL = 3600.0

Sent = ApplicationEvent | RefusedEventError


async def accept_events(container: Container, caller: Caller, sent: Sequence[Sent]) -> Receipts:
    """Have `sent` published, each event that is not known yet, and say what became of each once that is committed.

    Raises LimitedError (429) while MAX_WAITING events of the tenant wait.
    """
    ids: dict[bytes, UUID] = {}
    new: set[bytes] = set()
    firsts: dict[bytes, ApplicationEvent] = {}
    for one in sent:
        if isinstance(one, ApplicationEvent):
            firsts.setdefault(one.digest, one)
    if firsts:
        async with unit_of_work(container, caller) as work:
            await _require_room(work.connection, caller.tenant)
            key = await DigestKeys.of(container).require(work.connection, caller.tenant)
            ids, new = await _claim(work.connection, caller.tenant, firsts.keys(), key)
            work.publish(firsts[digest].published(ids[digest], key) for digest in firsts if digest in new)
    receipts = list(_receipts(sent, ids, new))
    counts = Counter(one.status for one in receipts)
    return Receipts(counts["accepted"], counts["duplicate"], counts["refused"], receipts)


async def _claim(
    connection: Connection, tenant: str, digests: Collection[bytes], key: bytes
) -> tuple[dict[bytes, UUID], set[bytes]]:
    """The ids of the entries of events, given by digests without a key, and which of them are new."""
    ids = await store.find_ids(connection, tenant, digests, is_keyed=False)
    unknown = {keyed(digest, key): digest for digest in digests if digest not in ids}
    made = {digest: new_id() for digest in unknown}
    claimed = await store.claim(connection, tenant, made)
    made |= await store.find_ids(connection, tenant, made.keys() - claimed, is_keyed=True)
    return ids | {unknown[digest]: found for digest, found in made.items()}, {unknown[digest] for digest in claimed}


async def key_digests(container: Container) -> None:
    """Replace the digests of accepted events that were stored before digests had keys."""
    keys = DigestKeys.of(container)
    while True:
        async with container.database.transaction() as connection:
            tenant = await store.find_unkeyed(connection)
            if tenant is None:
                return
            key = await keys.require(connection, tenant)
            former = await store.lock_unkeyed(connection, tenant)
            await store.replace_digests(connection, tenant, {digest: keyed(digest, key) for digest in former})


def pruning(container: Container) -> Schedule:
    """The schedule that forgets which events were accepted long ago, and replaces digests without a key."""

    async def prune() -> None:
        await key_digests(container)
        pruned = store.PRUNED
        while pruned == store.PRUNED:
            async with container.database.statement() as connection:
                pruned = await store.prune(connection)

    return Schedule("application-events-prune", PRUNE_INTERVAL, prune)


async def _require_room(connection: Connection, tenant: str) -> None:
    if await store.count_waiting(connection, tenant, MAX_WAITING) >= MAX_WAITING:
        raise LimitedError("events", 1, f"{MAX_WAITING} events of the tenant wait to be published. Try again later.")


def _receipts(sent: Sequence[Sent], ids: Mapping[bytes, UUID], new: Collection[bytes]) -> Iterator[Receipt]:
    """The receipt of each event; of several with the same source and id the first one is the accepted one."""
    seen: set[bytes] = set()
    for one in sent:
        if isinstance(one, RefusedEventError):
            yield Receipt("refused", reason=str(one))
            continue
        digest = one.digest
        yield Receipt("accepted" if digest in new and digest not in seen else "duplicate", str(ids[digest]))
        seen.add(digest)
