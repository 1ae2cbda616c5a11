"""Imports and exports of users: what a file makes of a directory, and what a directory makes of a file."""

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import bcrypt
import orjson
import pytest
from argon2 import PasswordHasher
from quart import Response

from quartet_common.jobs.job_runner import JobRunner
from quartet_serving.tasks import end_tasks
from quartet_testing import broken_lines
from quartet_testing.conditions import eventually
from quartet_testing.people import PASSWORD, People
from quartet_testing.roles import RoleAdmin
from quartet_testing.services import RunningService, new_tenant
from quartet_users.imports import import_usecases
from quartet_users.imports.import_domain import NO_EXTERNAL_ID, PLAIN_PASSWORD, SEVERAL
from quartet_users.imports.user_job_kinds import KINDS
from quartet_users.users import user_store

JOBS = "/users/data/jobs"
USERS = "/scim/v2/Users"
SCOPES = ("users:read", "users:write", "tenant:admin", "events:manage")
ENDED = {"completed", "failed", "cancelled"}
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


@pytest.fixture(autouse=True)
async def worker(users: RunningService) -> AsyncIterator[None]:
    """A worker that runs the jobs of the service."""

    async def work() -> None:
        while True:
            await JobRunner(users.container, KINDS).run()
            await asyncio.sleep(0.02)

    running = asyncio.ensure_future(work())
    yield
    await end_tasks([running])


class Directory:
    """The directory of one tenant, and its administrator who imports and exports it."""

    def __init__(self, service: RunningService, tenant: str, scopes: tuple[str, ...] = SCOPES) -> None:
        self.service = service
        self.tenant = tenant
        self.headers = service.tokens.headers(tenant, scopes, actor="hr-sync")

    async def get(self, path: str, **parameters: str) -> Response:
        return await self.service.client.get(path, headers=self.headers, query_string=parameters)

    async def run(self, file: bytes | None = None, **parameters: str) -> dict[str, Any]:
        """A job that has ended."""
        query = {"kind": "import", **parameters}
        made = await self.service.client.post(JOBS, headers=self.headers, query_string=query, data=file)
        assert made.status_code == 202, await made.get_data()
        path = f"{JOBS}/{(await made.get_json())['id']}"

        async def has_ended() -> dict[str, Any] | None:
            job: dict[str, Any] = await (await self.get(path)).get_json()
            return job if job["state"] in ENDED else None

        return await eventually(has_ended, "the job ends")

    async def counts(self, file: bytes, **parameters: str) -> tuple[int, int, int]:
        """What an import has done, failed and skipped."""
        job = await self.run(file, **parameters)
        assert job["state"] == "completed", job
        return job["done"], job["failed"], job["skipped"]

    async def report(self, job: dict[str, Any]) -> list[dict[str, Any]]:
        text: bytes = await (await self.get(f"{JOBS}/{job['id']}/report")).get_data(as_text=False)
        return [orjson.loads(line) for line in text.splitlines()]

    async def result(self, format_: str) -> bytes:
        """The file of an export."""
        job = await self.run(kind="export", format=format_)
        assert job["state"] == "completed", job
        found: bytes = await (await self.get(f"{JOBS}/{job['id']}/result")).get_data(as_text=False)
        return found

    async def users(self) -> dict[str, dict[str, Any]]:
        """The users as they are read, by name, without what each has of its own."""
        found = await (await self.get(USERS, count="1000")).get_json()
        own = ("id", "meta")
        return {
            one["userName"]: {name: value for name, value in one.items() if name not in own}
            for one in found["Resources"]
        }

    async def events(self) -> list[tuple[str, dict[str, Any]]]:
        """The events of users, in order: type and data without the id."""
        found = await self.service.outbox(self.tenant)
        return [
            (one.routing_key, {name: value for name, value in one.data.items() if name != "id"})
            for one in found
            if one.routing_key.startswith("users.user.")
        ]


@pytest.fixture
def directory(users: RunningService, tenant: str) -> Directory:
    return Directory(users, tenant)


@pytest.fixture
def other(users: RunningService) -> Directory:
    """Another tenant."""
    return Directory(users, new_tenant())


def lines(*records: dict[str, Any]) -> bytes:
    return b"".join(orjson.dumps(record) + b"\n" for record in records)


BARBARA: dict[str, Any] = {
    "userName": "bjensen",
    "externalId": "701984",
    "displayName": "Barbara Jensen",
    "name": {"givenName": "Barbara", "familyName": "Jensen"},
    "emails": [{"value": "bjensen@example.com", "type": "work"}],
    ENTERPRISE: {"employeeNumber": "7", "department": "Tours"},
}
JOHN: dict[str, Any] = {"userName": "jsmith", "active": False}


async def test_an_import_makes_the_same_users_and_events_as_scim(directory: Directory, other: Directory) -> None:
    assert await directory.counts(lines(BARBARA, JOHN)) == (2, 0, 0)
    for record in (BARBARA, JOHN):
        body = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], **record}
        made = await other.service.client.post(USERS, headers=other.headers, json=body)
        assert made.status_code == 201
    found = await directory.users()
    assert found == await other.users()
    assert [found["bjensen"]["active"], found["jsmith"]["active"]] == [True, False]
    assert await directory.events() == await other.events()


async def test_an_import_that_is_repeated_changes_nothing(directory: Directory) -> None:
    file = lines(BARBARA, JOHN)
    await directory.run(file)
    before = await directory.events()
    assert await directory.counts(file) == (0, 0, 2)
    assert await directory.events() == before


async def test_attributes_that_a_record_lacks_stay(directory: Directory) -> None:
    await directory.run(lines(BARBARA, JOHN))
    changed = {"userName": "BJensen", "title": "Guide", ENTERPRISE: {"department": "Sales"}}
    assert await directory.counts(lines(changed, {"userName": "jsmith"})) == (1, 0, 1)
    found = await directory.users()
    assert found["BJensen"] == {
        **BARBARA,
        "schemas": found["BJensen"]["schemas"],
        "userName": "BJensen",
        "active": True,
        "title": "Guide",
        ENTERPRISE: {"employeeNumber": "7", "department": "Sales"},
    }
    assert not found["jsmith"]["active"]
    kind, data = (await directory.events())[-1]
    assert (kind, data["changed"]) == ("users.user.updated.v1", ["title", ENTERPRISE, "userName"])


async def test_a_later_record_of_a_user_changes_what_an_earlier_one_has_made(directory: Directory) -> None:
    file = lines(*({"userName": "bjensen", "title": title} for title in ("One", "Two", "Two")))
    assert await directory.counts(file) == (2, 0, 1)
    assert (await directory.users())["bjensen"]["title"] == "Two"


async def test_users_are_found_by_their_external_id(directory: Directory) -> None:
    await directory.run(lines(BARBARA, {"userName": "taken"}))
    twins = [{"userName": name, "externalId": "twin"} for name in ("castor", "pollux")]
    await directory.run(lines(*twins))
    job = await directory.run(
        lines(
            {"userName": "babs", "externalId": "701984"},
            {"userName": "taken", "externalId": "701984"},
            {"userName": "new", "externalId": "n"},
            {"userName": "new", "externalId": "m"},
            {"userName": "somebody"},
            {"userName": "leda", "externalId": "twin"},
        ),
        match="externalId",
    )
    assert (job["done"], job["failed"], job["skipped"]) == (2, 4, 0)
    found = await directory.users()
    assert found["babs"] == {**BARBARA, "userName": "babs", "active": True, "schemas": found["babs"]["schemas"]}
    assert found.keys() == {"babs", "taken", "castor", "pollux", "new"}
    report = {one["line"]: (one["reason"], one["value"]) for one in await directory.report(job)}
    assert report == {
        2: ("The userName is already used by another user of the tenant.", "taken"),
        4: ("The userName is already used by another user of the tenant.", "new"),
        5: (NO_EXTERNAL_ID, ""),
        6: (SEVERAL, "twin"),
    }


async def test_broken_lines_are_reported_with_their_values_and_the_others_are_imported(directory: Directory) -> None:
    file = b"\n".join(
        [
            orjson.dumps({"userName": "first"}),
            b'{"userName": "cut',
            orjson.dumps({"userName": "", "displayName": "No name"}),
            orjson.dumps({"userName": "typed", "emails": "not a list"}),
            orjson.dumps({"userName": "x" * 1025}),
            orjson.dumps({"userName": "open", "password": PASSWORD}),
            orjson.dumps({"userName": "last", "active": "maybe"}),
            orjson.dumps({"userName": "last"}),
        ]
    )
    job = await directory.run(file)
    report = await directory.report(job)
    assert (job["state"], job["done"], job["failed"]) == ("completed", 2, 6), report
    assert [one["line"] for one in report] == [2, 3, 4, 5, 6, 7]
    assert {one["level"] for one in report} == {"error"}
    assert report[2]["value"] == "not a list"
    assert report[2]["reason"].startswith("emails")
    assert (report[4]["reason"], report[4]["value"]) == (PLAIN_PASSWORD, "")
    assert report[5]["value"] == "maybe"
    assert PASSWORD not in str(report)
    assert (await directory.users()).keys() == {"first", "last"}


async def test_a_file_with_a_thousand_kinds_of_broken_lines_imports_the_others_and_reports_each(
    directory: Directory,
) -> None:
    broken = list(broken_lines.ndjson())
    assert len(set(broken)) > 1000
    file, wrong = broken_lines.users_between(broken)
    job = await directory.run(file, encoding="utf-8")
    assert (job["state"], job["done"], job["failed"]) == ("completed", len(broken), len(broken))
    report = await directory.report(job)
    assert [one["line"] for one in report] == wrong
    assert all(one["reason"] for one in report)
    async with directory.service.container.database.connection() as connection:
        found = await connection.fetchval("SELECT count(*) FROM users WHERE tenant_id = $1", directory.tenant)
    assert found == len(broken)


async def test_a_user_that_the_database_refuses_does_not_take_others_with_it(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    insert = user_store.insert_users

    async def refuse(connection: Any, tenant: str, made: Any) -> Any:
        if any(user.user_name == "name 5" for user in made):
            await connection.execute("SELECT 1 / 0")
        return await insert(connection, tenant, made)

    monkeypatch.setattr(user_store, "insert_users", refuse)
    job = await directory.run(lines(*({"userName": f"name {number}"} for number in range(1, 21))))
    assert (job["done"], job["failed"]) == (19, 1)
    [finding] = await directory.report(job)
    assert (finding["line"], finding["reason"], finding["value"]) == (5, import_usecases.NOT_STORED, "name 5")
    assert len(await directory.events()) == len(await directory.users()) == 19
    assert issubclass(asyncpg.DivisionByZeroError, asyncpg.PostgresError)


async def test_a_dry_run_reports_the_same_and_changes_nothing(directory: Directory) -> None:
    await directory.run(lines(JOHN))
    before = await directory.events()
    file = lines(BARBARA, {"userName": ""}, JOHN, {"userName": "jsmith", "title": "Guide"})
    assert await directory.counts(file, dry_run="true") == (2, 1, 1)
    assert (await directory.users()).keys() == {"jsmith"}
    assert await directory.events() == before
    assert await directory.counts(file) == (2, 1, 1)


async def test_a_file_that_cannot_be_read_fails_and_says_why(directory: Directory) -> None:
    job = await directory.run(b"\n", format="csv")
    assert (job["state"], job["done"]) == ("failed", 0)
    assert job["error"]
    mapping = {"Login": "userName", "Full name": "displayName"}
    job = await directory.run(
        b"Login;Full name\nbjensen;Barbara\n", format="csv", mapping=orjson.dumps(mapping).decode()
    )
    assert (job["state"], job["done"]) == ("completed", 1), job
    assert (await directory.users())["bjensen"]["displayName"] == "Barbara"


def encoded(data: bytes) -> str:
    return b64encode(data).decode().rstrip("=")


def hashes() -> dict[str, str]:
    """The hash of the password by scheme."""
    salt, text = b"0123456789abcdef", PASSWORD.encode()
    pbkdf2 = {digest: encoded(hashlib.pbkdf2_hmac(digest, text, salt, 1000)) for digest in ("sha256", "sha512")}
    return {
        "argon2": PasswordHasher(1, 1024, 1).hash(PASSWORD),
        "bcrypt": bcrypt.hashpw(text, bcrypt.gensalt(4)).decode(),
        **{name: f"$pbkdf2-{name}$i=1000${encoded(salt)}${made}" for name, made in pbkdf2.items()},
        "scrypt": f"$scrypt$ln=10,r=8,p=1${encoded(salt)}${encoded(hashlib.scrypt(text, salt=salt, n=1024, r=8, p=1))}",
    }


async def stored_hashes(directory: Directory) -> dict[str, str]:
    async with directory.service.container.database.connection() as connection:
        rows = await connection.fetch(
            "SELECT u.resource ->> 'userName' AS name, c.password_hash FROM users u JOIN credentials c "
            "ON c.tenant_id = u.tenant_id AND c.user_id = u.id WHERE u.tenant_id = $1",
            directory.tenant,
        )
    return {row["name"]: row["password_hash"] for row in rows}


async def test_imported_passwords_log_in_and_get_a_hash_of_ours(directory: Directory, people: People) -> None:
    made = hashes()
    assert await directory.counts(lines(*({"userName": name, "passwordHash": one} for name, one in made.items()))) == (
        len(made),
        0,
        0,
    )
    assert await stored_hashes(directory) == made
    for name in made:
        assert (await people.try_login(name, PASSWORD + "x"))[0] == 401
        assert (await people.try_login(name))[0] == 200
    renewed = await stored_hashes(directory)
    assert all(one.startswith("$argon2id$v=19$m=19456,t=2,p=1$") for one in renewed.values()), renewed
    assert (await people.try_login("bcrypt"))[0] == 200


async def test_a_password_that_a_user_has_stays(directory: Directory) -> None:
    first, second = (bcrypt.hashpw(text, bcrypt.gensalt(4)).decode() for text in (b"first one", b"second one"))
    await directory.run(lines({"userName": "bare"}, {"userName": "bjensen", "passwordHash": first}))
    file = lines({"userName": "bare", "passwordHash": second}, {"userName": "bjensen", "passwordHash": second})
    assert await directory.counts(file) == (1, 0, 1)
    assert await stored_hashes(directory) == {"bare": second, "bjensen": first}
    kind, data = (await directory.events())[-1]
    assert (kind, data["changed"]) == ("users.user.updated.v1", ["password"])
    assert "second" not in str(data)


async def test_who_can_log_in_as_a_privileged_user_is_not_changed_without_its_scopes(
    directory: Directory, admin: RoleAdmin
) -> None:
    await directory.run(lines({"userName": "boss", "externalId": "1"}, {"userName": "jsmith"}))
    user = (await (await directory.get(USERS, filter='userName eq "boss"')).get_json())["Resources"][0]
    await admin.give(await admin.role("Auditor", "audit:read"), user["id"])
    made = bcrypt.hashpw(b"another secret", bcrypt.gensalt(4)).decode()
    poor = Directory(directory.service, directory.tenant, ("tenant:admin", "users:read"))
    for change in ({"active": False}, {"passwordHash": made}):
        job = await poor.run(lines({"userName": "boss", **change}, {"userName": "jsmith", **change}))
        assert (job["done"], job["failed"]) == (1, 1)
        [finding] = await poor.report(job)
        assert "audit:read" in finding["reason"]
    assert (await directory.users())["boss"]["active"]
    assert "boss" not in await stored_hashes(directory)


async def test_sessions_of_a_deactivated_user_end(directory: Directory, people: People) -> None:
    await directory.run(lines({"userName": "bjensen", "passwordHash": hashes()["bcrypt"]}))
    session = await people.log_in({"userName": "bjensen"})
    assert not await session.is_refused()
    await directory.run(lines({"userName": "bjensen", "active": False}))
    assert await session.is_refused()


@pytest.mark.parametrize("format_", ["ndjson", "csv", "ldif"])
async def test_an_export_is_imported_elsewhere_as_the_same_users(
    directory: Directory, other: Directory, format_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quartet_users.imports.export_usecases.PAGE", 7)
    people = [
        {
            "userName": f"name {number}",
            "externalId": str(number),
            "displayName": f"=Number {number}",
            "active": number % 3 > 0,
            "name": {"familyName": f"Family {number}"},  # LDIF requires one
        }
        for number in range(20)
    ]
    await directory.run(lines(*people))
    file = await directory.result(format_)
    assert await other.counts(file, format=format_) == (20, 0, 0)
    found, expected = await other.users(), await directory.users()
    if format_ == "ldif":  # inetOrgPerson has neither
        assert found.keys() == expected.keys()
        found, expected = (
            {name: one | {"active": True, "externalId": ""} for name, one in users.items()}
            for users in (found, expected)
        )
    assert found == expected


async def test_an_export_of_nobody_has_no_records(directory: Directory, other: Directory) -> None:
    assert await directory.result("ndjson") == b""
    job = await other.run(kind="export")
    assert (job["state"], job["done"], job["result_bytes"]) == ("completed", 0, 0)


async def test_pages_of_an_export_are_bounded_by_bytes(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quartet_users.imports.export_usecases.FETCH_BYTES", 5000)
    await directory.run(lines(*({"userName": f"n{number}", "title": "x" * 2000} for number in range(10))))
    assert len((await directory.result("ndjson")).splitlines()) == 10
    async with directory.service.container.database.connection() as connection:
        found = await connection.fetchval(
            "SELECT max(octet_length(data)) FROM data_job_chunks WHERE tenant_id = $1 AND is_result", directory.tenant
        )
    assert 2000 < found < 9000
