"""GET /audit/export as NDJSON, CSV and OCSF: filtered, continued after an interruption, in constant memory."""

import csv
import gzip
import io
import json
import tracemalloc
import zlib
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from urllib.parse import parse_qsl

import pytest

from quartet_audit.entries import entry_range_store, entry_store
from quartet_audit.entries.entry_domain import Search
from quartet_audit.erasures.erasure_usecases import carry_out_all
from quartet_audit.exports import export_usecases
from quartet_audit.exports.csv_domain import COLUMNS
from quartet_audit.exports.export_parameters import FORMATS, ExportRequest, read_export
from quartet_audit.exports.export_usecases import export_lines, read_size
from quartet_audit.exports.log_export_routes import LogExports
from quartet_audit.trees.tree_domain import leaf_hash
from quartet_common.web.compression import gzipped
from quartet_testing.services import new_tenant
from services.audit.tests.conftest import MOMENT

if TYPE_CHECKING:
    from services.audit.tests.conftest import Audit, MakeEvent

EXPORT = ["audit:export"]
COUNT = 450
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ACTIONS = ("users.user.created", "users.user.updated", "groups.group.created")
LINES = ("ndjson", "csv", "ocsf")


class Exporter:
    """Somebody who exports the log of a tenant, which has COUNT entries."""

    def __init__(self, audit: "Audit", tenant: str) -> None:
        self.audit = audit
        self.tenant = tenant

    async def get(self, query: str) -> tuple[int, bytes]:
        """Status and body of an export."""
        headers = self.audit.tokens.headers(self.tenant, EXPORT, actor="auditor")
        answer = await self.audit.client.get(f"/audit/export?{query}", headers=headers)
        return answer.status_code, await answer.get_data(as_text=False)

    async def sequences(self, query: str, format_: str = "ndjson") -> list[int]:
        """The sequences of the entries of an export."""
        status, body = await self.get(f"format={format_}&{query}")
        assert status == 200, body
        return sequences_of(format_, body)


async def _measured(lines: AsyncGenerator[bytes, None], sizes: list[int]) -> AsyncGenerator[bytes, None]:
    async for piece in lines:
        sizes.append(len(piece))
        yield piece


def sequences_of(format_: str, body: bytes) -> list[int]:
    if format_ == "csv":
        return [int(row["sequence"]) for row in csv.DictReader(io.StringIO(body.decode(), newline=""), COLUMNS)
                if row["sequence"] != "sequence"]  # fmt: skip
    documents = [json.loads(line) for line in body.splitlines()]
    return [one["sequence"] if format_ == "ndjson" else one["metadata"]["sequence"] for one in documents]


@pytest.fixture(scope="module")
async def exporter(audit: "Audit", make_event: "MakeEvent") -> Exporter:
    """Of a log in which every third entry has the same action, and each is a second older than the one before."""
    made = Exporter(audit, new_tenant())
    await audit.record(
        [
            make_event(ACTIONS[number % 3], made.tenant,
                       subject=f"{'things' if number % 5 == 4 else 'users'}/{number % 10}",
                       data={"userName": f"=u{number}", "mail": f"u{number}@example.com", "mark": "usual"},
                       time=MOMENT - timedelta(seconds=number),
                       actorid=f"actor{number % 2}", sourceip=f"192.0.2.{number % 9}",
                       traceparent=f"00-{TRACE}-00f067aa0ba902b7-01" if number % 50 == 3 else None)
            for number in range(COUNT)
        ]
    )  # fmt: skip
    await audit.record([make_event(tenant=new_tenant())])
    return made


@pytest.mark.parametrize("format_", LINES)
async def test_an_export_is_the_tenants_log_in_its_order(exporter: Exporter, format_: str) -> None:
    assert await exporter.sequences("", format_) == list(range(COUNT))


async def test_a_line_of_ndjson_is_the_entry_as_it_is_read_alone(exporter: Exporter) -> None:
    _, body = await exporter.get("format=ndjson&after=6")
    [line, *_] = body.splitlines()
    status, shown = await exporter.audit.ask(exporter.tenant, f"/audit/events/{json.loads(line)['id']}")
    assert (status, json.loads(line)) == (200, shown)


async def test_a_row_of_csv_has_no_formula(exporter: Exporter) -> None:
    _, body = await exporter.get("format=csv")
    rows = list(csv.DictReader(io.StringIO(body.decode(), newline=""), strict=True))
    assert list(rows[0]) == list(COLUMNS)
    assert (rows[7]["resource_name"], json.loads(rows[7]["data"])["userName"]) == ("'=u7", "=u7")


async def test_an_event_of_ocsf_has_the_hash_of_its_leaf(exporter: Exporter) -> None:
    _, body = await exporter.get("format=ocsf&after=8")
    event = json.loads(body.splitlines()[0])
    async with exporter.audit.container.database.connection() as connection:
        query = "SELECT leaf FROM leaves WHERE tenant_id = $1 AND sequence = 9"
        leaf = await connection.fetchval(query, exporter.tenant)
    assert event["class_uid"] == 3001
    assert event["attestation_list"][0]["fingerprint"]["value"] == leaf_hash(leaf).hex()


@pytest.mark.parametrize("format_", LINES)
async def test_an_export_goes_on_after_the_last_entry_of_an_interrupted_one(exporter: Exporter, format_: str) -> None:
    _, whole = await exporter.get(f"format={format_}")
    cut = whole[: len(whole) // 2]
    complete = cut[: cut.rindex(b"\n") + 1]
    last = sequences_of(format_, complete)[-1]
    assert 0 < last < COUNT - 1
    status, rest = await exporter.get(f"format={format_}&after={last}")
    assert (status, complete + rest) == (200, whole)


@pytest.mark.parametrize("format_", LINES)
async def test_nothing_follows_the_last_entry_until_there_is_another(
    exporter: Exporter, audit: "Audit", make_event: "MakeEvent", format_: str
) -> None:
    tenant = new_tenant()
    own = Exporter(audit, tenant)
    status, body = await own.get(f"format={format_}")
    assert (status, body.splitlines()[1:]) == (200, [])
    await audit.record([make_event(tenant=tenant)])
    assert await own.get(f"format={format_}&after=0") == (200, b"")
    await audit.record([make_event(tenant=tenant, time=MOMENT - timedelta(days=9))])  # late
    assert await own.sequences("after=0", format_) == [1]


@pytest.mark.parametrize(
    ("query", "passes"),
    [
        ("action=users.user.updated", lambda number: number % 3 == 1),
        ("action=users.user.*", lambda number: number % 3 != 2),
        ("actor=actor1", lambda number: number % 2 == 1),
        ("resource=7", lambda number: number % 10 == 7),
        ("outcome=success", lambda _: True),
        ("outcome=denied", lambda _: False),
        ("resource_type=things", lambda number: number % 5 == 4),
        ("address=192.0.2.0/30", lambda number: number % 9 < 4),
        (f"trace_id={TRACE}", lambda number: number % 50 == 3),
        ("text=u42@example.com", lambda number: number == 42),
        ("text=usual+example&address=192.0.2.4&actor=actor1", lambda number: number % 18 == 13),
        ("from=2026-01-31T08:59:00Z", lambda number: number <= 60),
        ("to=2026-01-31T08:59:00Z", lambda number: number > 60),
        ("from=2026-01-31T08:55:00Z&to=2026-01-31T08:59:00Z&actor=actor0&action=users.*",
         lambda number: 60 < number <= 300 and number % 2 == 0 and number % 3 != 2),
    ],
)  # fmt: skip
async def test_filters_are_those_of_the_list_of_entries(exporter: Exporter, query: str, passes: Any) -> None:
    expected = [number for number in range(COUNT) if passes(number)]
    assert await exporter.sequences(query) == expected
    listed = [entry["sequence"] for entry in await exporter.audit.find(
        exporter.tenant, **dict(parse_qsl(query)), limit=500)]  # fmt: skip
    assert sorted(listed) == expected


async def test_a_filter_is_not_forgotten_between_two_batches(exporter: Exporter) -> None:
    with patch.object(export_usecases, "BATCH", 7), patch.object(export_usecases, "MAX_SCANNED", 20):
        assert await exporter.sequences("action=users.user.updated") == list(range(1, COUNT, 3))
        assert await exporter.sequences("") == list(range(COUNT))
        with patch.object(entry_range_store, "CHECKED_AT_ONCE", 5), patch.object(entry_range_store, "MAX_CHECKED", 10):
            assert await exporter.sequences("text=usual") == list(range(COUNT))
            assert await exporter.sequences(f"trace_id={TRACE}") == list(range(3, COUNT, 50))
    with patch.object(entry_store, "PAGE_BYTES", 1):
        assert await exporter.sequences("action=users.user.updated&after=400") == list(range(403, COUNT, 3))


@pytest.mark.parametrize("format_", LINES)
async def test_an_export_is_compressed_for_a_client_that_asks_for_it(exporter: Exporter, format_: str) -> None:
    _, plain = await exporter.get(f"format={format_}")
    headers = exporter.audit.tokens.headers(exporter.tenant, EXPORT) | {"Accept-Encoding": "gzip, deflate"}
    answer = await exporter.audit.client.get(f"/audit/export?format={format_}", headers=headers)
    body = await answer.get_data(as_text=False)
    assert (answer.status_code, answer.headers["Content-Encoding"]) == (200, "gzip")
    assert "Accept-Encoding" in answer.headers["Vary"]
    assert gzip.decompress(body) == plain
    assert len(body) < len(plain) / 4
    cut = zlib.decompressobj(wbits=31).decompress(body[: len(body) // 2])  # as far as an interrupted download came
    complete = cut[: cut.rindex(b"\n") + 1]
    last = sequences_of(format_, complete)[-1]
    assert complete + (await exporter.get(f"format={format_}&after={last}"))[1] == plain


@pytest.mark.parametrize("accepted", ["", "identity", "gzip;q=0", "gzip;q=0.5, identity", "br"])
async def test_an_export_is_not_compressed_for_others(exporter: Exporter, accepted: str) -> None:
    headers = exporter.audit.tokens.headers(exporter.tenant, EXPORT) | {"Accept-Encoding": accepted}
    answer = await exporter.audit.client.get("/audit/export?format=ndjson&after=440", headers=headers)
    assert "Content-Encoding" not in answer.headers
    assert "Accept-Encoding" in answer.headers["Vary"]
    assert sequences_of("ndjson", await answer.get_data(as_text=False)) == list(range(441, COUNT))


async def test_an_export_holds_a_part_of_the_log_in_memory_only(audit: "Audit", make_event: "MakeEvent") -> None:
    tenant, text = new_tenant(), "x" * 60_000
    for _ in range(10):
        await audit.record([make_event(tenant=tenant, data={"text": text}) for _ in range(40)])
    count = await read_size(audit.container, tenant)
    for format_ in LINES:
        tracemalloc.start()
        lines = export_lines(audit.container, tenant, ExportRequest(format_, 0, Search(), {}), count)
        async for piece in gzipped(_measured(lines, sizes := list[int]())):
            assert piece
        size = sum(sizes)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert size > 400 * len(text)
        assert peak < 8 * entry_store.PAGE_BYTES


async def test_no_connection_is_held_between_two_batches(exporter: Exporter) -> None:
    container = exporter.audit.container
    used = [share for share in container.shares if share.resource == "database connections"]
    wanted = read_export({"format": ["ndjson"]})
    async for _ in export_lines(container, exporter.tenant, wanted, COUNT):
        assert [share.used for share in used] == [0]


@pytest.mark.parametrize("format_", LINES)
async def test_an_export_is_recorded_with_its_filters(exporter: Exporter, format_: str) -> None:
    before = len(await exporter.audit.service.outbox(exporter.tenant))
    await exporter.get(f"format={format_}&after=9&actor=actor1")
    [event] = (await exporter.audit.service.outbox(exporter.tenant))[before:]
    assert (event.type, event.actorid) == ("quartet.audit.data.exported.v2", "auditor")
    assert event.data == {"format": format_, "start": 10, "filters": {"actor": "actor1"}}


async def test_a_tenant_has_one_export_at_a_time(exporter: Exporter, audit: "Audit") -> None:
    extensions: dict[Any, Any] = audit.service.app.extensions
    async with extensions[LogExports].share.hold(exporter.tenant):
        status, body = await exporter.get("format=csv")
        assert (status, json.loads(body)["code"]) == (429, "share_exceeded")
    assert (await exporter.get("format=csv"))[0] == 200


async def test_an_erased_person_is_shown_as_erased(audit: "Audit", make_event: "MakeEvent") -> None:
    own = Exporter(audit, new_tenant())
    person = {"userName": "bjensen@example.com", "displayName": "Barbara"}
    await audit.record(
        [make_event(tenant=own.tenant, subject="users/7", data=person, actorname="Barbara", sourceip="192.0.2.77")]
    )
    headers = audit.tokens.headers(own.tenant, ["audit:erase"])
    assert (await audit.client.post("/audit/erasures", headers=headers, json={"user": "7"})).status_code == 202
    await audit.deliver(own.tenant)
    await carry_out_all(audit.container)
    bodies = {format_: (await own.get(f"format={format_}&action=users.*"))[1] for format_ in LINES}
    for body in bodies.values():
        assert not any(value in body for value in (b"bjensen", b"Barbara", b"192.0.2.77"))
    parts = ["changes", "resource", "source"]
    assert {one["part"] for one in json.loads(bodies["ndjson"])["erased"]} >= set(parts)
    assert {one["part"] for one in json.loads(bodies["ocsf"])["unmapped"]["erased"]} >= set(parts)
    [row] = csv.DictReader(io.StringIO(bodies["csv"].decode(), newline=""))
    assert {one["part"] for one in json.loads(row["erased"])} >= set(parts)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "format must be one of ndjson, csv, ocsf, bundle"),
        ("format=", "format"),
        ("format=xml", "format"),
        ("format=csv&format=csv", "format must be given once"),
        ("format=csv&after=-1", "after"),
        ("format=csv&after=x", "after"),
        (f"format=csv&after={COUNT}", f"after must be the sequence of an entry, and the log has {COUNT} of them"),
        (f"format=csv&after={(1 << 63) - 1}", "after"),
        ("format=csv&from=5", "from"),
        ("format=csv&from=2026-01-31T09:00:00Z&to=2026-01-31T09:00:00Z", "from"),
        ("format=csv&limit=5", "limit"),
        ("format=csv&address=192.0.2.7/24", "address must be an IPv4 or IPv6 address, or a network"),
        ("format=csv&cursor=x", "cursor"),
        ("format=bundle&after=5", "after"),
        ("format=bundle&actor=x", "actor"),
    ],
)
async def test_wrong_parameters_are_named(exporter: Exporter, query: str, said: str) -> None:
    before = len(await exporter.audit.service.outbox(exporter.tenant))
    status, body = await exporter.get(query)
    assert status == 400
    assert said in json.loads(body)["detail"]
    assert len(await exporter.audit.service.outbox(exporter.tenant)) == before


@pytest.mark.parametrize(
    ("query", "content_type", "name"),
    [
        ("format=ndjson", "application/x-ndjson", "0.ndjson"),
        ("format=ocsf", "application/x-ndjson", "0.ndjson"),
        ("format=csv", "text/csv; charset=utf-8; header=present", "0.csv"),
        ("format=csv&after=4", "text/csv; charset=utf-8; header=absent", "5.csv"),
    ],
)
async def test_an_export_has_its_media_type_and_a_name(
    exporter: Exporter, query: str, content_type: str, name: str
) -> None:
    headers = exporter.audit.tokens.headers(exporter.tenant, EXPORT)
    answer = await exporter.audit.client.get(f"/audit/export?{query}", headers=headers)
    assert (answer.status_code, answer.content_type) == (200, content_type)
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{exporter.tenant}-{name}"'


@pytest.mark.parametrize("format_", FORMATS)
async def test_an_export_needs_its_own_scope(audit: "Audit", format_: str) -> None:
    headers = audit.tokens.headers(new_tenant(), ["audit:read"])
    assert (await audit.client.get(f"/audit/export?format={format_}", headers=headers)).status_code == 403
