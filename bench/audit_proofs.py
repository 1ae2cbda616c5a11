"""How long the proof of an entry takes in a large log: `.venv/bin/python bench/audit_proofs.py [ENTRIES [PROOFS]]`.

Starts PostgreSQL, Redis and RabbitMQ of its own, runs the service in this process (no network, no proxy), and fills one
log with ENTRIES (500,000) small entries by the code that appends, STEP in a transaction, with a checkpoint after each
SIGNED of them. Then it asks for PROOFS (3,000) proofs of entries at random places, one after the other, each of another
entry, checks some of them by the verifier, and prints the milliseconds of a proof: p50, p90, p99 and the longest. For
10,000,000 entries it needs some 10 GB of disk, and 10 minutes on a quiet machine.
"""

import base64
import os
import random
import sys
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import uvloop
from audit_events import configured

from quartet_audit.app import SERVICE
from quartet_audit.checkpoints.checkpoint_usecases import CheckpointSigner
from quartet_audit.config import AuditConfig
from quartet_audit.entries.entry_usecases import append_events
from quartet_audit.trees import tree_store
from quartet_audit_verifier.deployment import check_root
from quartet_audit_verifier.notes import parse_checkpoint
from quartet_common.core.clock import utc_now
from quartet_common.core.identifiers import new_id
from quartet_common.data.connections import connect_once
from quartet_common.messaging.envelope import Event
from quartet_testing.services import RunningService, run_service

TENANT = "bench"
STEP = 5_000
SIGNED = 100_000
CHECKED = 50
"""Of so many proofs one is checked."""
choose = random.Random(7)  # noqa: S311  # nosec B311  # the same log each time


def small_event() -> Event:
    """An event with an actor and little data."""
    number = choose.randrange(100_000)
    return Event(
        id=new_id(),
        source="/users",
        type="quartet.users.user.updated.v1",
        subject=f"users/{number}",
        time=utc_now(),
        tenantid=TENANT,
        actorid=f"actor-{number % 1000}",
        actorname="okta",
        sequence=1,
        data={"n": number},
    )


async def fill(service: RunningService, owner: AuditConfig, count: int) -> None:
    """Append `count` entries and sign the log."""
    signer, begun = CheckpointSigner(service.container), time.perf_counter()
    for first in range(0, count, STEP):
        events = [small_event() for _ in range(min(STEP, count - first))]
        async with service.container.database.transaction() as connection:
            await tree_store.lock_logs(connection, {TENANT})
            await append_events(connection, events, utc_now())
        if (first + STEP) % SIGNED == 0:
            await signer.run()
            rate = (first + STEP) / (time.perf_counter() - begun)
            print(f"\r{first + STEP:,} entries, {rate:,.0f}/s", end="", flush=True)
    await signer.run()
    connection = await connect_once(owner)
    await connection.execute("ANALYZE", timeout=600)
    await connection.close()
    print(f"\nfilled with {count:,} entries in {time.perf_counter() - begun:.0f} s")


async def ids_at(service: RunningService, sequences: Sequence[int]) -> list[UUID]:
    """The ids of the entries at `sequences`."""
    async with service.container.database.connection() as connection:
        rows = await connection.fetch(
            "SELECT id FROM entries WHERE tenant_id = $1 AND sequence = ANY($2)", TENANT, sequences
        )
    return [row["id"] for row in rows]


async def prove(service: RunningService, identifier: UUID) -> tuple[dict[str, Any], float]:
    """The proof of an entry, and how many milliseconds it took."""
    headers = service.tokens.headers(TENANT, ["audit:read"])
    begun = time.perf_counter()
    response = await service.client.get(f"/audit/events/{identifier}/proof", headers=headers)
    body = await response.get_json()
    took = (time.perf_counter() - begun) * 1000
    assert response.status_code == 200, body
    return body, took


def check(proof: dict[str, Any]) -> None:
    """Check that the leaf is in the tree of the checkpoint."""
    leaf, checkpoint = base64.b64decode(proof["leaf"]), parse_checkpoint(proof["checkpoint"])
    assert check_root(proof, leaf, proof["leaf_index"], checkpoint) is None, proof


async def measure(service: RunningService, entries: int, count: int) -> None:
    """Ask for proofs and print what they take."""
    places = choose.sample(range(entries), min(count, entries))
    ids = await ids_at(service, places)
    for identifier in ids[:20]:  # connections and statements are prepared
        await prove(service, identifier)
    times, spent = [], time.process_time()
    for number, identifier in enumerate(ids):
        proof, took = await prove(service, identifier)
        times.append(took)
        if number % CHECKED == 0:
            check(proof)
    spent = (time.process_time() - spent) * 1000 / len(times)
    times.sort()
    p50, p90, p99 = (times[int(len(times) * share)] for share in (0.5, 0.9, 0.99))
    print(
        f"{len(times):,} proofs in a log of {proof['tree_size']:,} entries, {len(proof['hashes'])} hashes: "
        f"p50 {p50:.2f} ms, p90 {p90:.2f}, p99 {p99:.2f}, most {times[-1]:.2f}; "
        f"{spent:.2f} ms of CPU in the process (client and checks included); load {os.getloadavg()[0]:.0f}"
    )


async def main(entries: int, proofs: int) -> None:
    """Fill a log and measure."""
    with configured() as (_, config, owner):
        async with run_service(SERVICE, config, owner) as service:
            await fill(service, owner, entries)
            await measure(service, entries, proofs)


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    uvloop.run(main(*given, *(500_000, 3_000)[len(given) :]))
