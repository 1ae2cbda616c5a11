"""Checkpoints, tiles and proofs over HTTP, read by an independent reader that recomputes every hash."""

import asyncio
import base64
import json
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from quartet_audit.checkpoints import changed_logs, checkpoint_store
from quartet_audit.checkpoints.checkpoint_usecases import CheckpointSigner
from quartet_audit.checkpoints.grown_logs import GrownLogs
from quartet_common.core.identifiers import new_id
from quartet_testing.merkle import WholeTree, hashed_leaf, is_consistent
from quartet_testing.services import new_tenant
from quartet_testing.tlog import (
    Head,
    is_included,
    read_bundle,
    read_note,
    read_proof,
    read_tile,
    read_vkey,
    tile_path,
    verify,
)

if TYPE_CHECKING:
    from services.audit.tests.conftest import Audit, MakeEvent

READ = ["audit:read"]


class Log:
    """Reads one log over HTTP: that of a tenant with its token, or the deployment log without one."""

    def __init__(self, audit: "Audit", tenant: str | None) -> None:
        self._audit = audit
        self._headers = {} if tenant is None else audit.tokens.headers(tenant, READ)
        self.prefix = "/audit/log" if tenant is None else f"/audit/log/{tenant}"

    async def get(self, path: str, status: int = 200) -> bytes:
        """The body of an answer that must have this status."""
        response = await self._audit.client.get(f"{self.prefix}/{path}", headers=self._headers)
        body: bytes = await response.get_data(as_text=False)
        assert response.status_code == status, body
        return body

    async def vkeys(self) -> list[str]:
        """The vkeys of the log that sign now."""
        keys = json.loads(await self.get("keys"))["keys"]
        return [key["vkey"] for key in keys if key["until"] is None]

    async def head(self) -> Head:
        """The last checkpoint, with all its signatures verified."""
        note = await self.get("checkpoint")
        heads = [verify(note, vkey) for vkey in await self.vkeys()]
        assert heads == [heads[0]] * len(heads)
        return heads[0]

    async def leaves(self, size: int) -> list[bytes]:
        """All entries of the tree of `size`."""
        found: list[bytes] = []
        for index in range(-(-size // 256)):
            width = min(256, size - index * 256)
            found += read_bundle(await self.get(tile_path("entries", index, width)))
        return found

    async def check(self, head: Head) -> WholeTree:
        """Read every entry and every tile of the tree of `head` and recompute all of them."""
        leaves = await self.leaves(head.size)
        assert len(leaves) == head.size
        tree = WholeTree([hashed_leaf(leaf) for leaf in leaves])
        assert tree.root(0, head.size) == head.root
        level, count = 0, head.size
        while count:
            span = 256**level
            hashes: list[bytes] = []
            for index in range(-(-count // 256)):
                hashes += read_tile(await self.get(tile_path(level, index, min(256, count - index * 256))))
            assert hashes == [tree.root(place * span, (place + 1) * span) for place in range(count)]
            level, count = level + 1, count // 256
        return tree


@pytest.fixture
def signer(audit: "Audit") -> CheckpointSigner:
    """Signs when a test runs it."""
    return CheckpointSigner(audit.container)


async def fill(audit: "Audit", make_event: "MakeEvent", tenant: str, count: int) -> list[str]:
    """Append `count` entries; returns their ids."""
    events = [make_event(tenant=tenant, subject=f"users/{number}", data={"n": number}) for number in range(count)]
    await audit.record(events)
    return [str(event.id) for event in events]


async def test_a_checkpoint_of_each_log_that_grew_is_in_the_deployment_log_and_all_tiles_are_right(
    audit: "Audit", make_event: "MakeEvent", signer: CheckpointSigner
) -> None:
    tenants = {new_tenant(): count for count in (1, 3, 256, 700)}
    for tenant, count in tenants.items():
        await fill(audit, make_event, tenant, count)
    await signer.run()
    deployment = Log(audit, None)
    deployed = await deployment.head()
    leaves = (await deployment.check(deployed)).leaf_hashes
    assert len(leaves) == deployed.size
    for tenant, count in tenants.items():
        log = Log(audit, tenant)
        head = await log.head()
        assert (head.origin, head.size) == (f"{deployed.origin}/{tenant}", count)
        await log.check(head)


async def test_a_log_grows_by_any_batches_and_each_checkpoint_extends_those_before(
    audit: "Audit", make_event: "MakeEvent", signer: CheckpointSigner
) -> None:
    tenant, log, deployment = new_tenant(), Log(audit, None), Log(audit, None)
    log = Log(audit, tenant)
    heads, deployed = [], []
    for count in (1, 254, 1, 1, 255, 1, 300, 2):
        await fill(audit, make_event, tenant, count)
        await signer.run()
        heads.append(await log.head())
        deployed.append(await deployment.head())
    assert [head.size for head in heads] == [1, 255, 256, 257, 512, 513, 813, 815]
    tree = await log.check(heads[-1])
    for head in heads:
        assert tree.root(0, head.size) == head.root
    newest = await deployment.check(deployed[-1])
    for head in deployed:
        assert newest.root(0, head.size) == head.root
    for old, new in pairwise(heads):
        answer = json.loads(await log.get(f"consistency?from={old.size}&to={new.size}"))
        hashes = [base64.b64decode(one, validate=True) for one in answer["hashes"]]
        assert hashes == tree.proof(old.size, new.size)
        assert is_consistent(old.size, new.size, (old.root, new.root), hashes)


async def test_a_proof_leads_from_the_stored_bytes_to_the_signed_deployment_log(
    audit: "Audit", make_event: "MakeEvent", signer: CheckpointSigner
) -> None:
    tenant = new_tenant()
    ids = await fill(audit, make_event, tenant, 300)
    await signer.run()
    await fill(audit, make_event, new_tenant(), 1)
    await signer.run()  # the deployment log goes on, the log of the tenant does not
    for index in (0, 41, 255, 256, 299):
        status, proof = await audit.ask(tenant, f"/audit/events/{ids[index]}/proof")
        assert status == 200, proof
        await check_proof(audit, tenant, proof, index, ids[index])


async def check_proof(audit: "Audit", tenant: str, proof: dict[str, Any], index: int, event: str) -> None:
    """Verify all of a proof as docs/audit-formats.md defines it."""
    decode = base64.b64decode
    leaf, hashes = decode(proof["leaf"]), [decode(one) for one in proof["hashes"]]
    head = verify(proof["checkpoint"].encode(), (await Log(audit, tenant).vkeys())[0])
    assert (proof["leaf_index"], proof["tree_size"], decode(proof["root_hash"])) == (index, head.size, head.root)
    assert decode(proof["leaf_hash"]) == hashed_leaf(leaf)
    assert is_included(index, leaf, hashes, head)
    assert struct.unpack_from(">BQ", leaf) == (1, index)
    commitments = leaf[-160:]
    for place, name in enumerate(("facts", "actor", "resource", "source", "changes")):
        expected = bytes(32)
        if name in proof["parts"]:
            part = proof["parts"][name]
            expected = sha256(decode(part["salt"]) + decode(part["bytes"])).digest()
        assert commitments[32 * place : 32 * place + 32] == expected
    facts = json.loads(decode(proof["parts"]["facts"]["bytes"]))
    assert (facts["id"], facts["sequence"]) == (event, index)
    deployment = proof["deployment"]
    leaf, hashes = decode(deployment["leaf"]), [decode(one) for one in deployment["hashes"]]
    for vkey in await Log(audit, None).vkeys():
        deployed = verify(deployment["checkpoint"].encode(), vkey)
        assert (deployment["tree_size"], decode(deployment["root_hash"])) == (deployed.size, deployed.root)
        assert is_included(deployment["leaf_index"], leaf, hashes, deployed)
    version, position, time = struct.unpack_from(">BQq", leaf)
    assert (version, position) == (1, deployment["leaf_index"])
    assert abs(datetime.now(UTC).timestamp() - time / 1e6) < 3600
    assert leaf[17:] == sha256(decode(deployment["salt"]) + head.text).digest()


async def test_the_proof_of_an_erased_part_says_when_and_by_which_request_and_the_older_proof_stays_valid(
    audit: "Audit", make_event: "MakeEvent", signer: CheckpointSigner
) -> None:
    tenant, request = new_tenant(), new_id()
    event = make_event(tenant=tenant, sourceip="192.0.2.7")
    await audit.record([event])
    await signer.run()
    path = f"/audit/events/{event.id}/proof"
    _, before = await audit.ask(tenant, path)
    assert {"facts", "source", "changes"} == before["parts"].keys()
    async with audit.owner.database.transaction() as connection:
        await connection.execute(
            "INSERT INTO erased_parts (tenant_id, sequence, part, erased_at, request_id) "
            "VALUES ($1, 0, 'source', $2, $3)",
            tenant,
            datetime(2026, 2, 1, tzinfo=UTC),
            request,
        )
        await connection.execute(
            "UPDATE personal_parts SET source = NULL, source_salt = NULL WHERE tenant_id = $1", tenant
        )
    _, after = await audit.ask(tenant, path)
    erased = after["parts"].pop("source")
    assert erased == {"erased": {"time": "2026-02-01T00:00:00.000000Z", "request": str(request)}}
    assert before["parts"].pop("source")
    assert (after["leaf"], after["checkpoint"], after["parts"]) == (
        before["leaf"],
        before["checkpoint"],
        before["parts"],
    )


@pytest.mark.parametrize("suffix", [True, False])
async def test_a_proof_is_a_tlog_proof_by_its_media_type_or_suffix(
    audit: "Audit", make_event: "MakeEvent", signer: CheckpointSigner, suffix: bool
) -> None:
    tenant = new_tenant()
    ids = await fill(audit, make_event, tenant, 9)
    await signer.run()
    media_type = "application/vnd.c2sp.tlog-proof"
    headers = {**audit.tokens.headers(tenant, READ), **({} if suffix else {"Accept": media_type})}
    path = f"/audit/events/{ids[5]}/proof{'.tlog-proof' if suffix else ''}"
    response = await audit.client.get(path, headers=headers)
    assert (response.status_code, response.headers["Content-Type"]) == (200, media_type)
    proof = read_proof(await response.get_data(as_text=False))
    head = verify(proof.checkpoint, (await Log(audit, tenant).vkeys())[0])
    assert (proof.index, head.size) == (5, 9)
    assert is_included(5, proof.extra, proof.hashes, head)


async def test_a_proof_waits_for_the_entry_and_its_checkpoint(
    audit: "Audit", make_event: "MakeEvent", signer: CheckpointSigner
) -> None:
    tenant, event = new_tenant(), make_event()
    path = f"/audit/events/{event.id}/proof"
    waiting = asyncio.ensure_future(audit.ask(tenant, path, {"wait": 10}))
    await audit.record([make_event(tenant=tenant, id=event.id)])
    status, problem = await audit.ask(tenant, path)
    assert (status, problem["code"]) == (503, "checkpoint_pending")
    await signer.run()
    status, proof = await asyncio.wait_for(waiting, 10)
    assert status == 200
    await check_proof(audit, tenant, proof, 0, str(event.id))
    [later] = await fill(audit, make_event, tenant, 1)
    status, problem = await audit.ask(tenant, f"/audit/events/{later}/proof")
    assert (status, problem["code"]) == (503, "checkpoint_pending")


async def test_there_is_no_proof_of_what_the_log_does_not_have(audit: "Audit") -> None:
    status, problem = await audit.ask(new_tenant(), f"/audit/events/{new_id()}/proof", {"wait": 0})
    assert (status, problem["code"]) == (404, "not_found")
    for suffix in ("", ".tlog-proof"):
        status, problem = await audit.ask(new_tenant(), f"/audit/events/nothing/proof{suffix}", {"wait": 0})
        assert (status, problem["code"]) == (400, "bad_parameter")
        assert problem["detail"] == "id must be the UUID of an entry, got 'nothing'"
    for wait in ("11", "-1", "soon", ""):
        status, problem = await audit.ask(new_tenant(), f"/audit/events/{new_id()}/proof", {"wait": wait})
        assert (status, problem["code"]) == (400, "bad_parameter")
        assert problem["detail"].startswith("wait ")


WRONG_TILES = [
    "tile/0/001", "tile/0/000.p/4", "tile/0/000", "tile/1/000.p/1", "tile/63/000.p/1", "tile/0/000.p/0",
    "tile/0/000.p/256", "tile/0/000.p/01", "tile/00/000.p/1", "tile/64/000.p/1", "tile/0/0", "tile/0/0000.p/1",
    "tile/0/x000/000.p/1", "tile/0/000/000.p/1", "tile/-1/000.p/1", "tile/entries/000", "tile/entries/000.p/4",
    "tile/entries/001.p/1", "tile/0/x999/x999/x999/x999/x999/x999/999.p/1",
    "tile/0/x999/x999/x999/x999/x999/x999/x999/999.p/1", "tile/0/000.p/1/", "tile/0/000.p/", "tile/0", "tile",
    "tile/entries", "tile/0/000.p/1x", "tile/0/00\u0660.p/1",
]  # fmt: skip


async def test_invalid_paths_levels_and_widths_beyond_the_tree_are_not_found(
    audit: "Audit", make_event: "MakeEvent", signer: CheckpointSigner
) -> None:
    tenant = new_tenant()
    await fill(audit, make_event, tenant, 3)
    await signer.run()
    log = Log(audit, tenant)
    assert len(await log.get("tile/0/000.p/3")) == 96
    assert len(await log.get("tile/0/000.p/1")) == 32
    for path in WRONG_TILES:
        await log.get(path, 404)
    await fill(audit, make_event, tenant, 300)
    await log.get("tile/0/000", 404)  # not signed yet
    await log.get("tile/0/000.p/4", 404)
    await signer.run()
    await log.get("tile/0/000")


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("", "from"),
        ("from=1", "to"),
        ("from=3&to=2", "from"),
        ("from=1&to=4", "to"),
        ("from=-1&to=2", "from"),
        ("from=1&to=2&to=3", "to"),
        ("from=1&to=2&x=1", "x"),
    ],
)
async def test_a_wrong_range_is_refused_by_its_name(
    audit: "Audit", make_event: "MakeEvent", signer: CheckpointSigner, query: str, name: str
) -> None:
    tenant = new_tenant()
    await fill(audit, make_event, tenant, 3)
    await signer.run()
    problem = json.loads(await Log(audit, tenant).get(f"consistency?{query}", 400))
    assert problem["detail"].startswith(f"{name} ")
    assert json.loads(await Log(audit, tenant).get("consistency?from=0&to=3")) == {"hashes": []}


async def test_headers_let_tiles_be_cached_for_long_and_checkpoints_for_a_second(
    audit: "Audit", make_event: "MakeEvent", signer: CheckpointSigner
) -> None:
    tenant = new_tenant()
    await fill(audit, make_event, tenant, 1)
    await signer.run()
    headers = audit.tokens.headers(tenant, READ)
    wanted = {
        f"/audit/log/{tenant}/checkpoint": ("text/plain; charset=utf-8", "private, max-age=1"),
        f"/audit/log/{tenant}/tile/0/000.p/1": ("application/octet-stream", "private, max-age=31536000, immutable"),
        "/audit/log/checkpoint": ("text/plain; charset=utf-8", "public, max-age=1"),
        "/audit/log/tile/entries/000.p/1": ("application/octet-stream", "public, max-age=31536000, immutable"),
    }
    for path, expected in wanted.items():
        response = await audit.client.get(path, headers=headers if tenant in path else {})
        assert (response.headers["Content-Type"], response.headers["Cache-Control"]) == expected


async def test_another_tenant_and_nobody_see_nothing_of_a_log(
    audit: "Audit", make_event: "MakeEvent", signer: CheckpointSigner
) -> None:
    tenant = new_tenant()
    [event] = await fill(audit, make_event, tenant, 1)
    await signer.run()
    stranger = audit.tokens.headers(new_tenant(), READ)
    for path in ("checkpoint", "tile/0/000.p/1", "tile/entries/000.p/1", "consistency?from=0&to=1", "keys"):
        assert (await audit.client.get(f"/audit/log/{tenant}/{path}", headers=stranger)).status_code == 404
        assert (await audit.client.get(f"/audit/log/{tenant}/{path}")).status_code == 401
        other = audit.tokens.headers(tenant, ["users:read"])
        assert (await audit.client.get(f"/audit/log/{tenant}/{path}", headers=other)).status_code == 403
    for path in (f"/audit/events/{event}/proof", f"/audit/events/{event}/proof.tlog-proof"):
        assert (await audit.client.get(path, headers=stranger)).status_code == 404


async def test_the_deployment_log_names_no_tenant(
    audit: "Audit", make_event: "MakeEvent", signer: CheckpointSigner
) -> None:
    tenant = new_tenant()
    await fill(audit, make_event, tenant, 1)
    await signer.run()
    await fill(audit, make_event, tenant, 1)
    await signer.run()
    log = Log(audit, None)
    leaves = await log.leaves((await log.head()).size)
    assert not [leaf for leaf in leaves if tenant.encode() in leaf]
    assert {len(leaf) for leaf in leaves} == {49}
    commitments = [leaf[17:] for leaf in leaves]
    assert len(set(commitments)) == len(commitments)


async def test_several_signers_at_once_never_fork(audit: "Audit", make_event: "MakeEvent") -> None:
    signers, tenants = [CheckpointSigner(audit.container) for _ in range(4)], [new_tenant() for _ in range(3)]
    seen: list[Head] = []
    await fill(audit, make_event, new_tenant(), 1)
    await signers[0].run()  # there is a checkpoint, whichever of them signs first

    async def grow(tenant: str) -> None:
        for _ in range(10):
            await fill(audit, make_event, tenant, 3)

    async def sign(signer: CheckpointSigner) -> None:
        for _ in range(15):
            await signer.run()
            seen.append(await Log(audit, None).head())

    await asyncio.gather(*map(grow, tenants), *map(sign, signers))
    await signers[0].run()
    deployment = Log(audit, None)
    tree = await deployment.check(await deployment.head())
    assert all(tree.root(0, head.size) == head.root for head in seen)
    for tenant in tenants:
        log = Log(audit, tenant)
        head = await log.head()
        assert head.size == 30
        await log.check(head)
    assert all([await signer.check() for signer in signers])


def names(notes: Sequence[bytes]) -> list[int]:
    return [len(read_note(note)[1]) for note in notes]


async def test_after_a_rotation_both_keys_sign_and_old_keys_stay_known(
    audit: "Audit", make_event: "MakeEvent", signer: CheckpointSigner
) -> None:
    tenant = new_tenant()
    await fill(audit, make_event, tenant, 1)
    await signer.run()
    log, deployment = Log(audit, tenant), Log(audit, None)
    [before], old = await log.vkeys(), await deployment.vkeys()
    headers = audit.tokens.headers("quartet", ["platform:admin"])
    response = await audit.client.post("/audit/log/keys/rotate", headers=headers)
    assert response.status_code == 200, await response.get_data()
    [after], new = await log.vkeys(), await deployment.vkeys()
    assert before != after
    assert not set(old) & set(new)
    assert {read_vkey(vkey)[2] for vkey in new} == {1, 6}
    await fill(audit, make_event, tenant, 1)
    await signer.run()
    note, deployed = await log.get("checkpoint"), await deployment.get("checkpoint")
    assert verify(note, before) == verify(note, after)
    assert len({verify(deployed, vkey) for vkey in (*old, *new)}) == 1
    response = await audit.client.post("/audit/log/keys/rotate?now=true", headers=headers)
    assert response.status_code == 200
    await fill(audit, make_event, tenant, 1)
    await signer.run()
    assert names([await log.get("checkpoint"), await deployment.get("checkpoint")]) == [1, 2]
    await log.head()
    known = {key["vkey"]: key["until"] for key in json.loads(await deployment.get("keys"))["keys"]}
    assert all(known[vkey] is not None for vkey in (*old, *new))


TOUCHED = """
SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::int FROM pg_stat_xact_user_tables
WHERE schemaname = 'audit' AND relname IN ('logs', 'checkpoints')"""


async def test_a_run_looks_at_the_logs_that_grew_and_at_a_few_others_in_turn(
    audit: "Audit", make_event: "MakeEvent", signer: CheckpointSigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changed_logs, "LOGS", 3)
    tenants = [new_tenant() for _ in range(40)]
    await audit.record([make_event(tenant=tenant) for tenant in tenants])
    await signer.run()
    await fill(audit, make_event, tenants[20], 2)
    async with audit.container.database.transaction() as connection:
        # small tables may be read whole, also by a plan that the connection has kept
        await connection.execute("SET LOCAL enable_seqscan = off; SET LOCAL plan_cache_mode = force_custom_plan")
        before = await connection.fetchval(TOUCHED)
        found = await checkpoint_store.read_changed(connection, 2000, [*tenants[:3], tenants[20]])
        touched = await connection.fetchval(TOUCHED) - before
    assert ([log.log for log in found], touched) == ([tenants[20]], 8)
    await signer.run()
    assert (await Log(audit, tenants[20]).head()).size == 3
    unknown = GrownLogs()  # another worker's, which has died
    monkeypatch.setattr(signer._changed, "_grown", unknown)
    await fill(audit, make_event, tenants[30], 1)
    async with audit.container.database.connection() as connection:
        count = await connection.fetchval("SELECT count(*) FROM logs")
    runs = 0
    while (await Log(audit, tenants[30]).head()).size == 1:
        await signer.run()
        runs += 1
        assert runs <= count // 3 + 1
    assert runs > 1 or count < 6
