"""Witnesses: an independent one verifies each consistency proof; cosignatures are served; failures delay nothing."""

import copy
import json
import time
from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from quartet_audit import config
from quartet_audit.checkpoints.checkpoint_usecases import CheckpointSigner
from quartet_audit.witnesses import witness_usecases
from quartet_audit.witnesses.witness_usecases import Witnesses
from quartet_common.core.errors import UnavailableError
from quartet_testing.services import new_tenant
from quartet_testing.tlog import Head, read_note, verify
from quartet_testing.witness import ML_DSA, Witness

if TYPE_CHECKING:
    from services.audit.tests.conftest import Audit, MakeEvent


async def checkpoint(audit: "Audit") -> bytes:
    """The served checkpoint of the deployment log."""
    response = await audit.client.get("/audit/log/checkpoint")
    return bytes(await response.get_data(as_text=False))


async def log_keys(audit: "Audit") -> list[str]:
    """The vkeys of the deployment log that sign now."""
    keys = json.loads(await (await audit.client.get("/audit/log/keys")).get_data())["keys"]
    return [key["vkey"] for key in keys if key["until"] is None]


class Signing:
    """A worker's signer and its witnesses, run by the test."""

    def __init__(self, audit: "Audit", witnesses: Sequence[Witness]) -> None:
        container = copy.copy(audit.container)
        known = tuple(config.Witness(url=one.url, vkey=one.vkey) for one in witnesses)
        container.config = audit.container.config.model_copy(update={"witnesses": known})
        self.audit = audit
        self.signer = CheckpointSigner(container)
        self.witnesses = Witnesses(container, self.signer)

    async def grow(self, make_event: "MakeEvent", tenant: str, count: int = 1) -> str:
        """Append an entry and sign, `count` times; returns the id of the last one."""
        event = ""
        for _ in range(count):
            made = make_event(tenant=tenant)
            event = str(made.id)
            await self.audit.record([made])
            await self.signer.run()
            assert await self.signer.check()
        return event

    async def head(self) -> Head:
        """The served checkpoint, verified by the keys of the log."""
        note = await checkpoint(self.audit)
        return verify(note, (await log_keys(self.audit))[0])


@pytest.fixture
async def keys(audit: "Audit", make_event: "MakeEvent") -> list[str]:
    """The vkeys of the log, which has been signed by them, and has no cosignature that is still served."""
    async with audit.owner.database.transaction() as connection:
        await connection.execute("DELETE FROM cosigned_checkpoints")
    await audit.record([make_event(tenant=new_tenant())])
    await CheckpointSigner(audit.container).run()
    return await log_keys(audit)


async def test_cosignatures_of_all_witnesses_are_served_with_the_checkpoint_and_with_proofs(
    audit: "Audit", make_event: "MakeEvent", keys: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witness_usecases, "TIMEOUT", 30)  # the second one signs in Python
    tenant = new_tenant()
    with Witness("one.example/w", keys) as one, Witness("two.example/w", keys, ML_DSA) as two:
        signing = Signing(audit, [one, two])
        for count in (1, 3, 1):
            event = await signing.grow(make_event, tenant, count)
            await signing.witnesses.run()
            head = await signing.head()
            assert (one.size, two.size) == (head.size, head.size)
            for witness in (one, two):
                assert verify(await checkpoint(audit), witness.vkey) == head
        status, proof = await audit.ask(tenant, f"/audit/events/{event}/proof")
        assert status == 200
        assert verify(proof["deployment"]["checkpoint"].encode(), one.vkey) == head
        assert await signing.witnesses.check()
        assert one.statuses == [200, 200, 200]
        await signing.witnesses.run()
        assert one.statuses == [200, 200, 200], "what is cosigned is not submitted again"


async def test_a_worker_that_starts_learns_what_the_witness_knows(
    audit: "Audit", make_event: "MakeEvent", keys: list[str]
) -> None:
    tenant = new_tenant()
    with Witness("one.example/w", keys) as witness:
        await Signing(audit, [witness]).witnesses.run()
        signing = Signing(audit, [witness])
        await signing.grow(make_event, tenant, 2)
        await signing.witnesses.run()
        assert witness.statuses == [200, 409, 200]
        assert verify(await checkpoint(audit), witness.vkey) == await signing.head()


async def test_an_unavailable_witness_delays_nothing_and_is_asked_again_later(
    audit: "Audit", make_event: "MakeEvent", keys: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witness_usecases, "TIMEOUT", 0.3)
    tenant = new_tenant()
    with (
        Witness("good.example/w", keys) as good,
        Witness("slow.example/w", keys) as slow,
        Witness("refusing.example/w", keys) as refusing,
        Witness("forging.example/w", keys) as forging,
    ):
        slow.pause, refusing.refusal, forging.forged = 1.0, 500, True
        gone = Witness("gone.example/w", keys)
        with gone:
            pass
        signing = Signing(audit, [slow, good, refusing, forging, gone])
        await signing.grow(make_event, tenant)
        await signing.witnesses.run()
        note = await checkpoint(audit)
        assert verify(note, good.vkey) == await signing.head()
        assert len(read_note(note)[1]) == len(keys) + 1
        assert await signing.witnesses.check()
        await signing.grow(make_event, tenant)
        await signing.witnesses.run()
        assert good.statuses == [200, 200]
        assert (refusing.statuses, forging.statuses) == ([500], [200]), "those that failed wait"
        refusing.refusal = 0
        for state in signing.witnesses._states:
            state.due = time.monotonic()
        await signing.witnesses.run()
        assert verify(await checkpoint(audit), refusing.vkey) == verify(await checkpoint(audit), good.vkey)


async def test_a_newer_checkpoint_without_cosignatures_waits_for_them_but_not_for_long(
    audit: "Audit", make_event: "MakeEvent", keys: list[str]
) -> None:
    tenant = new_tenant()
    with Witness("one.example/w", keys) as witness:
        signing = Signing(audit, [witness])
        await signing.grow(make_event, tenant)
        await signing.witnesses.run()
        cosigned = await signing.head()
        event = await signing.grow(make_event, tenant)
        assert await signing.head() == cosigned
        status, proof = await audit.ask(tenant, f"/audit/events/{event}/proof")
        assert (status, proof["deployment"]["tree_size"]) == (200, cosigned.size + 1)
        async with audit.owner.database.transaction() as connection:
            await connection.execute("UPDATE cosigned_checkpoints SET signed_at = signed_at - interval '11 seconds'")
        assert (await signing.head()).size == cosigned.size + 1


async def test_the_last_checkpoint_is_served_in_the_end_if_its_cosignatures_never_come(
    audit: "Audit", make_event: "MakeEvent", keys: list[str]
) -> None:
    """Also where no newer one is signed: the checkpoint of a proof must not stay larger than the served one."""
    tenant = new_tenant()
    with Witness("one.example/w", keys) as witness:
        signing = Signing(audit, [witness])
        await signing.grow(make_event, tenant)
        await signing.witnesses.run()
        cosigned = await signing.head()
        await signing.grow(make_event, tenant)
        assert await signing.head() == cosigned
        async with audit.owner.database.transaction() as connection:
            for table in ("checkpoints", "cosigned_checkpoints"):
                await connection.execute(f"UPDATE {table} SET signed_at = signed_at - interval '11 seconds'")
        assert (await signing.head()).size == cosigned.size + 1
        await signing.witnesses.run()
        note = await checkpoint(audit)
        assert len(read_note(note)[1]) == len(keys) + 1, "a cosigned one is served however old it is"


async def test_a_witness_of_another_history_is_reported(
    audit: "Audit", make_event: "MakeEvent", keys: list[str]
) -> None:
    tenant = new_tenant()
    with Witness("one.example/w", keys) as witness:
        signing = Signing(audit, [witness])
        await signing.grow(make_event, tenant)
        await signing.witnesses.run()
        witness.root = sha256(b"another").digest()
        before = await checkpoint(audit)
        await signing.grow(make_event, tenant)
        await signing.witnesses.run()
        assert witness.statuses == [200, 422]
        with pytest.raises(UnavailableError, match="another history"):
            await signing.witnesses.check()
        assert await checkpoint(audit) == before


async def test_a_log_that_is_older_than_a_witness_knows_is_not_signed(
    audit: "Audit", make_event: "MakeEvent", keys: list[str]
) -> None:
    tenant = new_tenant()
    with Witness("one.example/w", keys) as witness:
        signing = Signing(audit, [witness])
        await signing.grow(make_event, tenant)
        size = (await signing.head()).size
        witness.size = size + 5
        await signing.witnesses.run()
        assert witness.statuses == [409]
        with pytest.raises(UnavailableError, match=f"knows {size + 5} leaves"):
            await signing.witnesses.check()
        await audit.record([make_event(tenant=tenant)])
        await signing.signer.run()
        with pytest.raises(UnavailableError, match=f"QUARTET_ACCEPT_LOG_SIZE={size}"):
            await signing.signer.check()
        assert (await signing.head()).size == size
        signing.signer._container.config = audit.container.config.model_copy(update={"accept_log_size": size})
        for more in (1, 2):
            await signing.grow(make_event, tenant)
            await signing.witnesses.run()
            assert (await signing.head()).size == size + more, "accepted, also after the witness has answered again"


async def test_signing_goes_on_once_the_witness_knows_no_larger_log(
    audit: "Audit", make_event: "MakeEvent", keys: list[str]
) -> None:
    tenant = new_tenant()
    with Witness("one.example/w", keys) as witness:
        signing = Signing(audit, [witness])
        await signing.grow(make_event, tenant)
        size, root = (await signing.head()).size, witness.root
        witness.size = size + 5
        await signing.witnesses.run()
        assert signing.signer.witnessed_size == size + 5
        witness.size, witness.root = 0, root
        signing.witnesses._states[0].due = 0.0
        await signing.witnesses.run()
        assert signing.signer.witnessed_size == 0
        await signing.grow(make_event, tenant)
        await signing.witnesses.run()
        assert (await signing.head()).size == size + 1
