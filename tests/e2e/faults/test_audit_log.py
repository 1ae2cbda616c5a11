"""The worker of audit is killed again and again while a log grows: nothing is lost or doubled, and no checkpoint that
somebody has seen is taken back.
"""

import asyncio
from base64 import b64decode
from itertools import pairwise

import pytest

from quartet_audit_verifier.merkle import is_consistent
from quartet_audit_verifier.notes import Checkpoint, parse_checkpoint
from quartet_cli.stack import Stack
from quartet_testing.client import Api, unique
from quartet_testing.conditions import PATIENCE, eventually
from quartet_testing.faults import back, kill

pytestmark = [pytest.mark.local_stack, pytest.mark.usefixtures("whole_stack")]

EVENTS, BATCH, KILLS = 50_000, 500, 10
BATCHES = {"Content-Type": "application/cloudevents-batch+json"}
KIND = "com.example.counted"
PAUSE = 0.2
"""Seconds between two looks at the checkpoint."""


async def send(api: Api, number: int, sent: set[str]) -> None:
    """Send a batch of events until it is accepted; adds the ids of their entries to `sent`."""
    batch = [
        {"specversion": "1.0", "id": f"{number}-{place}", "source": "/kills", "type": KIND} for place in range(BATCH)
    ]

    async def accepted() -> set[str] | None:
        answer = await api.post("/audit/events", json=batch, headers=BATCHES)
        return {one["event"] for one in answer.json()["events"]} if answer.status_code == 202 else None

    sent |= await eventually(accepted, f"batch {number} to be accepted", PATIENCE)


async def send_all(api: Api, sent: set[str]) -> None:
    """Send all batches, one after the other."""
    for number in range(EVENTS // BATCH):
        await send(api, number, sent)


async def watch(api: Api, path: str, seen: list[Checkpoint]) -> None:
    """Note each checkpoint that is served."""
    while True:
        answer = await api.get(f"{path}/checkpoint")
        if answer.status_code == 200 and (not seen or seen[-1].note != answer.text):
            seen.append(parse_checkpoint(answer.text))
        await asyncio.sleep(PAUSE)


@pytest.mark.slow
async def test_a_worker_that_is_killed_ten_times_loses_and_doubles_nothing_and_its_checkpoints_fit(
    api: Api, stack: Stack
) -> None:
    user = await api.create_user(displayName=unique("first"))
    [first] = await api.entries_of(user["id"], "users.user.created")
    path = f"/audit/log/{first['tenant']}"
    sent: set[str] = set()
    seen: list[Checkpoint] = []
    sending, watching = asyncio.create_task(send_all(api, sent)), asyncio.create_task(watch(api, path, seen))
    try:
        for number in range(1, KILLS + 1):

            async def reached(events: int = number * EVENTS // (KILLS + 1)) -> bool:
                return len(sent) >= events or sending.done()

            await eventually(reached, f"the sending of part {number}", 2 * PATIENCE)
            await kill(stack, "audit-worker")
            await back(stack, "audit-worker")
        await sending
        await api.counted("app", EVENTS, 2 * PATIENCE)

        async def recorded() -> bool:
            return seen[-1].size > EVENTS

        await eventually(recorded, "a checkpoint with all entries", 2 * PATIENCE)
    finally:
        sending.cancel()
        watching.cancel()
    entries = [entry["id"] for entry in await api.entries(action=f"app.{KIND}")]
    assert len(entries) == len(set(entries)) == EVENTS
    assert set(entries) == sent
    assert len(seen) > KILLS
    for old, new in pairwise(seen):
        query = {"from": str(old.size), "to": str(new.size)}
        proof = (await api.get(f"{path}/consistency", params=query)).raise_for_status().json()
        hashes = [b64decode(each) for each in proof["hashes"]]
        assert is_consistent((old.size, old.root), (new.size, new.root), hashes), (old, new)
