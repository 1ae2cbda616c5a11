"""GET /audit/export?format=bundle: verified by libs/audit_verifier, then changed by somebody who owns the database."""

import json
import tracemalloc
import zlib
from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from quartet_audit.checkpoints.checkpoint_usecases import CheckpointSigner
from quartet_audit.entries.entry_usecases import record_events
from quartet_audit.erasures.erasure_usecases import carry_out_all
from quartet_audit.exports.bundle_usecases import bundle_lines, open_bundle
from quartet_audit.retention.retention_usecases import prune_all
from quartet_audit.trees.tree_domain import Frontier, leaf_hash
from quartet_audit_verifier.proof import verify_proof
from quartet_audit_verifier.report import Report
from quartet_audit_verifier.state import State
from quartet_audit_verifier.trust import Trust
from quartet_audit_verifier.verify import verify_files
from quartet_common.core.clock import utc_now
from quartet_testing.services import new_tenant

if TYPE_CHECKING:
    from services.audit.tests.conftest import Audit, MakeEvent

EXPORT = ["audit:export"]
COUNT = 300
BATCH_BYTES = 60_000 * 128


class Reader:
    """An auditor of one tenant with a state directory."""

    def __init__(self, audit: "Audit", tenant: str, folder: Path) -> None:
        self.audit = audit
        self.tenant = tenant
        self.folder = folder
        self.signer = CheckpointSigner(audit.container)

    async def bundle(self, start: int = 0, known: int | str = "") -> bytes:
        """The bundle from an entry on, whose deployment log continues that of `known` leaves."""
        headers = self.audit.tokens.headers(self.tenant, EXPORT)
        url = f"/audit/export?format=bundle&from={start}&deployment={known}"
        answer = await self.audit.client.get(url, headers=headers)
        body: bytes = await answer.get_data(as_text=False)
        assert answer.status_code == 200, body
        assert answer.content_type == "application/x-ndjson"
        return body

    def check(self, *pieces: bytes, state: str = "state") -> Report:
        """The report of a bundle in pieces."""
        paths = [self.folder / f"{number}.ndjson" for number in range(len(pieces))]
        for path, piece in zip(paths, pieces, strict=True):
            path.write_bytes(piece)
        return verify_files(paths, Trust(State(self.folder / state)), self.tenant)

    async def verify(self, state: str = "state") -> Report:
        """The report of the bundle as it is served now."""
        return self.check(await self.bundle(), state=state)

    async def execute(self, table: str, statement: str, *values: object) -> None:
        """Run a statement as the owner of the tables, whom no trigger stops."""
        async with self.audit.owner.database.transaction() as connection:
            await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            await connection.execute(statement, self.tenant, *values)
            await connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")

    async def value(self, query: str) -> Any:
        """One value of the tenant."""
        async with self.audit.container.database.connection() as connection:
            return await connection.fetchval(query, self.tenant)


@pytest.fixture
async def reader(audit: "Audit", make_event: "MakeEvent", tmp_path: Path) -> Reader:
    """A reader of a log of 300 entries that has verified it."""
    made = Reader(audit, new_tenant(), tmp_path)
    await audit.record(
        [
            make_event("users.user.updated", made.tenant, subject=f"users/{number}", data={"userName": f"user{number}"},
                       sourceip="192.0.2.7", actorname="Ada")
            for number in range(COUNT)
        ]
    )  # fmt: skip
    await made.signer.run()
    report = await made.verify()
    assert report.is_verified, report.as_text()
    return made


def kinds(report: Report) -> dict[str, int]:
    return {str(kind): count for kind, count in report.findings.counts.items()}


def sequences(report: Report, kind: str) -> list[int | None]:
    return [finding.sequence for finding in report.findings.listed if finding.kind == kind]


async def test_a_bundle_has_every_entry_with_its_tiles_and_signatures(reader: Reader) -> None:
    report = await reader.verify("another")
    assert report.is_verified, report.as_text()
    facts = report.facts
    assert (facts["entries"], facts["size"], facts["tiles"], facts["tenant"]) == (COUNT, COUNT, 1, reader.tenant)
    assert facts["parts"] == dict.fromkeys(("facts", "actor", "resource", "source", "changes"), COUNT)
    algorithms = [each["algorithm"] for log in facts["logs"].values() for each in log["signatures"]]
    assert sorted(algorithms) == ["Ed25519", "Ed25519", "ML-DSA-44"]


@pytest.mark.parametrize("start", [1, 255, 256, 257, COUNT])
async def test_a_bundle_goes_on_where_another_one_was_cut_off(reader: Reader, start: int) -> None:
    whole = await reader.bundle()
    cut = whole[: whole.index(b'{"sequence":%d,' % start) + 5] if start < COUNT else whole[: whole.rindex(b'{"check')]
    rest = await reader.bundle(start)
    report = reader.check(cut, rest)
    assert report.is_verified, report.as_text()
    assert (report.facts["entries"], report.facts["size"]) == (COUNT, COUNT)
    alone = reader.check(rest)
    assert alone.is_verified, alone.as_text()
    assert alone.facts["entries"] == COUNT - start


@pytest.mark.parametrize("part", ["actor", "resource", "source", "changes"])
@pytest.mark.parametrize("column", ["", "_salt"])
async def test_a_changed_part_or_salt_is_found(reader: Reader, part: str, column: str) -> None:
    name = f"{part}{column}"
    change = f"UPDATE personal_parts SET {name} = set_byte({name}, 5, get_byte({name}, 5) # 1)"
    await reader.execute("personal_parts", f"{change} WHERE tenant_id = $1 AND sequence = 70")
    report = await reader.verify()
    assert (kinds(report), sequences(report, "changed")) == ({"changed": 1}, [70])
    assert report.findings.listed[0].part == part


@pytest.mark.parametrize("column", ["facts", "facts_salt"])
async def test_changed_facts_are_found(reader: Reader, column: str) -> None:
    change = f"UPDATE entries SET {column} = set_byte({column}, 5, get_byte({column}, 5) # 1)"
    await reader.execute("entries", f"{change} WHERE tenant_id = $1 AND sequence = 299")
    report = await reader.verify()
    assert (kinds(report), sequences(report, "changed")) == ({"changed": 1}, [299])


@pytest.mark.parametrize(("sequence", "position"), [(70, 40), (70, 60), (299, 190)])
async def test_a_changed_leaf_is_found(reader: Reader, sequence: int, position: int) -> None:
    change = (
        "UPDATE leaves SET leaf = set_byte(leaf, $3, get_byte(leaf, $3) # 1) WHERE tenant_id = $1 AND sequence = $2"
    )
    await reader.execute("leaves", change, sequence, position)
    report = await reader.verify()
    assert report.findings.has("root")
    assert sequence in sequences(report, "changed") + sequences(report, "disagreement")
    assert sequences(report, "leaf") == ([sequence] if sequence < 256 else [])


async def test_a_changed_tile_is_found(reader: Reader) -> None:
    change = "UPDATE tiles SET hashes = set_byte(hashes, 32 * 9, get_byte(hashes, 32 * 9) # 1)"
    await reader.execute("tiles", f"{change} WHERE tenant_id = $1 AND level = 0")
    report = await reader.verify()
    assert (kinds(report), sequences(report, "tile")) == ({"tile": 1}, [9])


async def test_two_swapped_entries_are_found(reader: Reader) -> None:
    for table in ("entries", "personal_parts", "leaves"):
        for old, new in ((70, 900), (71, 70), (900, 71)):
            await reader.execute(
                table, f"UPDATE {table} SET sequence = $3 WHERE tenant_id = $1 AND sequence = $2", old, new
            )
    report = await reader.verify()
    assert sequences(report, "out_of_order") == [70, 71]
    assert report.findings.has("root")


async def test_the_last_ten_entries_that_are_deleted_are_found(reader: Reader) -> None:
    for table in ("entries", "personal_parts", "leaves"):
        await reader.execute(table, f"DELETE FROM {table} WHERE tenant_id = $1 AND sequence >= 290")
    report = await reader.verify()
    assert sequences(report, "missing") == [290]
    assert "Entries 290 to 299 are missing." in report.as_text()


async def test_parts_that_are_removed_without_an_erasure_are_found(reader: Reader) -> None:
    await reader.execute(
        "personal_parts",
        "UPDATE personal_parts SET actor = NULL, actor_salt = NULL WHERE tenant_id = $1 AND sequence = 7",
    )
    report = await reader.verify()
    assert (kinds(report), sequences(report, "missing_part")) == ({"missing_part": 1}, [7])


async def test_an_erasure_that_nobody_requested_is_found(reader: Reader) -> None:
    await reader.execute(
        "erased_parts",
        "INSERT INTO erased_parts SELECT $1, 7, 'actor', '2026-01-31T09:00:00Z', gen_random_uuid()",
    )
    await reader.execute(
        "personal_parts",
        "UPDATE personal_parts SET actor = NULL, actor_salt = NULL WHERE tenant_id = $1 AND sequence = 7",
    )
    report = await reader.verify()
    assert (kinds(report), sequences(report, "erasure")) == ({"erasure": 1}, [7])


async def sign_again(reader: Reader) -> None:
    """Make tiles, frontier and checkpoint of the leaves as they are, and sign them with the real keys."""
    async with reader.audit.container.database.connection() as connection:
        query = "SELECT leaf FROM leaves WHERE tenant_id = $1 ORDER BY sequence"
        hashes = [leaf_hash(row["leaf"]) for row in await connection.fetch(query, reader.tenant)]
    frontier = Frontier().grow(hashes)
    await reader.execute(
        "tiles", "UPDATE tiles SET hashes = $2 WHERE tenant_id = $1 AND level = 0", b"".join(hashes[:256])
    )
    root = Frontier().grow(hashes[:256]).root()
    await reader.execute("tiles", "UPDATE tiles SET hashes = $2 WHERE tenant_id = $1 AND level = 1", root)
    await reader.execute(
        "logs", "UPDATE logs SET size = $2, frontier = $3 WHERE tenant_id = $1", frontier.size, frontier.encode()
    )
    await reader.execute("checkpoints", "DELETE FROM checkpoints WHERE tenant_id = $1")
    await reader.signer.run()


async def rewrite(reader: Reader) -> None:
    """Change what an entry says, its leaf and the tree, and sign again."""
    row = "SELECT convert_from(facts, 'UTF8') FROM entries WHERE tenant_id = $1 AND sequence = 70"
    facts = json.loads(await reader.value(row))
    old: bytes = await reader.value("SELECT leaf FROM leaves WHERE tenant_id = $1 AND sequence = 70")
    content, salt = b'{"data":{"userName":"somebody else"}}', b"s" * 32
    await reader.execute(
        "personal_parts",
        "UPDATE personal_parts SET changes = $2, changes_salt = $3 WHERE tenant_id = $1 AND sequence = 70",
        content,
        salt,
    )
    assert facts["sequence"] == 70
    leaf = old[:-32] + sha256(salt + content).digest()
    await reader.execute("leaves", "UPDATE leaves SET leaf = $2 WHERE tenant_id = $1 AND sequence = 70", leaf)
    await sign_again(reader)


async def test_a_rewritten_and_signed_log_is_found_by_the_checkpoint_that_the_reader_has(reader: Reader) -> None:
    await rewrite(reader)
    stranger = await reader.verify("another")
    assert stranger.is_verified, stranger.as_text()  # who has seen nothing before cannot know
    report = await reader.verify()
    assert kinds(report) == {"fork": 1}


async def test_a_rewritten_log_that_has_grown_is_found_too(
    reader: Reader, audit: "Audit", make_event: "MakeEvent"
) -> None:
    await rewrite(reader)
    await audit.record([make_event(tenant=reader.tenant)])
    await reader.signer.run()
    assert kinds(await reader.verify()) == {"rewritten": 1}


async def test_a_log_whose_last_entries_are_removed_and_that_is_signed_again_is_found(reader: Reader) -> None:
    for table in ("entries", "personal_parts", "leaves"):
        await reader.execute(table, f"DELETE FROM {table} WHERE tenant_id = $1 AND sequence >= 290")
    await sign_again(reader)
    assert (await reader.verify("another")).is_verified
    assert kinds(await reader.verify()) == {"rolled_back": 1}


async def test_an_old_bundle_that_is_shown_again_is_found(
    reader: Reader, audit: "Audit", make_event: "MakeEvent"
) -> None:
    old = await reader.bundle()
    await audit.record([make_event(tenant=reader.tenant)])
    await reader.signer.run()
    assert (await reader.verify()).is_verified
    assert kinds(reader.check(old)) == {"rolled_back": 1}


async def test_two_readers_who_are_shown_different_logs_find_it(reader: Reader, audit: "Audit") -> None:
    mine = State(reader.folder / "state")
    await rewrite(reader)
    assert (await reader.verify("another")).is_verified
    others = State(reader.folder / "another")
    origin = (await reader.verify("another")).facts["origin"]
    [checkpoint] = mine.checkpoints(origin)
    path = reader.folder / "0.ndjson"
    report = verify_files([path], Trust(others, checkpoints=[checkpoint]), reader.tenant)
    assert kinds(report) == {"fork": 1}


async def test_an_erased_person_is_shown_as_erased_and_all_else_is_verified(
    reader: Reader, audit: "Audit", make_event: "MakeEvent"
) -> None:
    tenant = reader.tenant
    proof = await audit.ask(tenant, f"/audit/events/{await first_id(reader)}/proof")
    headers = audit.tokens.headers(tenant, ["audit:erase"])
    assert (await audit.client.post("/audit/erasures", headers=headers, json={"user": "0"})).status_code == 202
    await audit.deliver(tenant)
    await carry_out_all(audit.container)
    await audit.deliver(tenant)
    await reader.signer.run()
    report = await reader.verify()
    assert report.is_verified, report.as_text()
    assert report.facts["erased"]["changes"] == 1
    assert report.facts["erasure_requests"] == {"recorded": 1, "later": 0}
    status, answer = proof
    assert status == 200
    before = verify_proof(json.dumps(answer).encode(), Trust(State(reader.folder / "state")), tenant)
    assert before.is_verified, before.as_text()


async def test_a_compressed_bundle_is_verified_as_it_is(reader: Reader, audit: "Audit") -> None:
    headers = audit.tokens.headers(reader.tenant, EXPORT) | {"Accept-Encoding": "gzip"}
    answer = await audit.client.get("/audit/export?format=bundle", headers=headers)
    body = await answer.get_data(as_text=False)
    assert (answer.headers["Content-Encoding"], body[:2]) == ("gzip", b"\x1f\x8b")
    whole = reader.check(body, state="compressed")
    assert (whole.is_verified, whole.facts["entries"]) == (True, COUNT), whole.as_text()
    cut = body[: len(body) // 2]
    known = zlib.decompressobj(wbits=31).decompress(cut).count(b'{"sequence":') - 1  # the last line is cut
    assert 0 < known < COUNT
    assert reader.check(cut, await reader.bundle(known), state="pieces of it").is_verified


async def test_pieces_show_that_the_deployment_log_goes_on_too(
    reader: Reader, audit: "Audit", make_event: "MakeEvent"
) -> None:
    own = Reader(audit, new_tenant(), reader.folder)
    pieces, sizes = list[bytes](), list[int]()
    for number in range(3):
        await audit.record([make_event(tenant=own.tenant), make_event(tenant=new_tenant())])
        await own.signer.run()
        pieces.append(await own.bundle(number, sizes[-1] if sizes else ""))
        sizes.append(json.loads(pieces[-1].splitlines()[-1])["deployment"]["tree_size"])
    report = own.check(*pieces, state="pieces")
    assert (report.is_verified, report.facts["entries"]) == (True, 3), report.as_text()
    unlinked = own.check(*pieces[:2], await own.bundle(2), state="others")
    assert [each.kind for each in unlinked.findings.listed] == ["unlinked"]
    assert f"&deployment={sizes[1]}" in unlinked.as_text()
    headers = audit.tokens.headers(own.tenant, EXPORT)
    answer = await audit.client.get(f"/audit/export?format=bundle&deployment={sizes[-1] + 1}", headers=headers)
    assert (answer.status_code, (await answer.get_json(force=True))["detail"].split(",")[0]) == (
        400,
        f"deployment must be at most {sizes[-1]}",
    )


async def test_a_pruned_log_is_verified_by_its_hashes_and_continues_what_was_seen(
    reader: Reader, audit: "Audit", make_event: "MakeEvent"
) -> None:
    tenant = new_tenant()
    pruned = Reader(audit, tenant, reader.folder)
    for count, age in ((300, 40), (300, 1)):
        events = [make_event(tenant=tenant, actorname="Ada") for _ in range(count)]
        async with audit.container.database.transaction() as connection:
            await record_events(connection, events, utc_now() - timedelta(days=age))
        await pruned.signer.run()
        assert (await pruned.verify()).is_verified
    proof = await audit.ask(tenant, f"/audit/events/{await first_id(pruned)}/proof")
    headers = audit.tokens.headers(tenant, ["audit:retention"])
    assert (await audit.client.put("/audit/retention", headers=headers, json={"days": 30})).status_code == 200
    await prune_all(audit.container)
    before = await pruned.verify("another")  # the run is not in the log yet
    assert (before.is_verified, before.facts["expired"]["later"]) == (True, True), before.as_text()
    await audit.record(await audit.service.outbox(tenant))
    await pruned.signer.run()
    report = await pruned.verify()
    assert report.is_verified, report.as_text()
    assert report.facts["expired"] == {"entries": 300, "last": 299, "later": False}
    assert report.facts["parts"]["facts"] == report.facts["entries"] - 300
    [log, _] = report.facts["logs"].values()
    assert log["seen_checkpoints"]["compared"] == 2
    for start in (5, 128, 256, 300):
        rest = pruned.check(await pruned.bundle(start), state="another")
        assert rest.is_verified, rest.as_text()
        assert rest.facts["expired"]["entries"] == 300 - start
    # a proof that was issued before stays valid, and the verifier needs nothing else for it
    assert verify_proof(json.dumps(proof[1]).encode(), Trust(State(pruned.folder / "state")), tenant).is_verified
    # an entry that is removed without the record of a run is found
    await pruned.execute("entries", "DELETE FROM entries WHERE tenant_id = $1 AND sequence = 400")
    await pruned.execute(
        "pruned_logs", "UPDATE pruned_logs SET entries = 401, pruned_at = '2026-01-01' WHERE tenant_id = $1"
    )
    assert sequences(await pruned.verify(), "retention") == [400]


async def test_a_bundle_that_is_read_while_its_entries_expire_is_verified(
    audit: "Audit", make_event: "MakeEvent", tmp_path: Path
) -> None:
    reader = Reader(audit, new_tenant(), tmp_path)
    async with audit.container.database.transaction() as connection:
        events = [make_event(tenant=reader.tenant, actorname="Ada") for _ in range(600)]
        await record_events(connection, events, utc_now() - timedelta(days=40))
    await reader.signer.run()
    lines = bundle_lines(audit.container, await open_bundle(audit.container, reader.tenant, 0))
    pieces = [await anext(lines), await anext(lines)]  # the header, and the first half of a tile
    async with audit.container.database.transaction() as connection:
        await connection.execute("INSERT INTO retentions VALUES ($1, 30, now(), 'x')", reader.tenant)
    await prune_all(audit.container)
    report = reader.check(b"".join([*pieces, *[piece async for piece in lines]]))
    assert report.is_verified, report.as_text()
    assert report.facts["expired"] == {"entries": 600 - 128, "last": 599, "later": True}
    assert report.facts["parts"]["facts"] == 128


async def first_id(reader: Reader) -> str:
    return str(await reader.value("SELECT id FROM entries WHERE tenant_id = $1 AND sequence = 0"))


async def test_a_proof_of_the_service_is_verified(reader: Reader, audit: "Audit") -> None:
    path = f"/audit/events/{await first_id(reader)}/proof"
    status, answer = await audit.ask(reader.tenant, path)
    assert status == 200
    trust = Trust(State(reader.folder / "state"))
    report = verify_proof(json.dumps(answer).encode(), trust, reader.tenant)
    assert report.is_verified, report.as_text()
    headers = audit.tokens.headers(reader.tenant, ["audit:read"])
    text = await (await audit.client.get(f"{path}.tlog-proof", headers=headers)).get_data(as_text=False)
    report = verify_proof(text, trust, reader.tenant)
    assert report.is_verified, report.as_text()


async def test_a_bundle_holds_a_part_of_the_log_in_memory_only(audit: "Audit", make_event: "MakeEvent") -> None:
    tenant, text = new_tenant(), "x" * 60_000
    for _ in range(20):
        await audit.record([make_event(tenant=tenant, data={"text": text}) for _ in range(30)])
    await CheckpointSigner(audit.container).run()
    bundle, size = await open_bundle(audit.container, tenant, 0), 0
    tracemalloc.start()
    async for piece in bundle_lines(audit.container, bundle):
        size += len(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 600 * len(text)
    assert peak < 6 * BATCH_BYTES


async def test_who_takes_a_bundle_along_is_recorded(reader: Reader, audit: "Audit") -> None:
    before = len(await audit.service.outbox(reader.tenant))
    headers = audit.tokens.headers(reader.tenant, EXPORT, actor="auditor")
    await audit.client.get("/audit/export?format=bundle", headers=headers)
    events: Sequence[Any] = (await audit.service.outbox(reader.tenant))[before:]
    assert [(event.action, event.actorid) for event in events] == [("audit.data.exported", "auditor")]


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("", 400, "format"),
        ("format=bundle&format=bundle", 400, "format"),
        ("format=bundle&from=-1", 400, "from"),
        ("format=bundle&from=x", 400, "from"),
        ("format=bundle&from=301", 400, "must be at most 300"),
        ("format=bundle&to=5", 400, "to"),
    ],
)
async def test_wrong_parameters_are_named(reader: Reader, audit: "Audit", query: str, status: int, said: str) -> None:
    headers = audit.tokens.headers(reader.tenant, EXPORT)
    answer = await audit.client.get(f"/audit/export?{query}", headers=headers)
    assert answer.status_code == status
    assert said in (await answer.get_json())["detail"]


async def test_a_bundle_needs_its_own_scope_and_a_checkpoint(audit: "Audit") -> None:
    tenant = new_tenant()
    for scopes, status in ((["audit:read"], 403), (EXPORT, 404)):
        headers = audit.tokens.headers(tenant, scopes)
        assert (await audit.client.get("/audit/export?format=bundle", headers=headers)).status_code == status
