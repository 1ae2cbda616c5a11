"""Reads of many users: lookups, pages by cursor and by index, filters, through a real users API on loopback.

Run: .venv/bin/python bench/scim_reads.py [--users 1000000] [--rounds 100]   (makes a stack of its own and removes it)
The users are put into one tenant by SQL, with their triggers. One client asks one question at a time, without the
proxy: a figure is what the API and PostgreSQL take. Each line gives p50 and p99 in milliseconds, and the answer.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path

import asyncpg

from quartet_cli.reset import remove
from quartet_cli.stack import Stack
from quartet_common.web.cursors import cursor_key, encode_cursor
from quartet_testing.client import USERS, Api
from quartet_testing.limits import WIDE

TENANT = "bench-reads"
CHUNK = 20_000
SEED = """
INSERT INTO users.users (tenant_id, id, user_name_key, external_id, version, created_at, modified_at, resource)
SELECT $1, ('01a20000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'user' || n || '@example.com', 'e' || n, 1,
    '2026-01-01'::timestamptz + n * interval '1 second', '2026-01-01'::timestamptz + n * interval '1 second',
    jsonb_build_object(
        'schemas', jsonb_build_array('urn:ietf:params:scim:schemas:core:2.0:User'),
        'userName', 'user' || n || '@example.com',
        'externalId', 'e' || n, 'displayName', 'User ' || n, 'active', n % 10 <> 0, 'title', 'Guide ' || n % 1000,
        'name', jsonb_build_object('familyName', 'Family' || n % 5000, 'givenName', 'Given' || n),
        'emails', jsonb_build_array(
            jsonb_build_object('value', 'User' || n || '@example.com', 'type', 'work', 'primary', true),
            jsonb_build_object('value', 'home' || n || '@example.org', 'type', 'home')),
        'phoneNumbers', jsonb_build_array(jsonb_build_object('value', '+1 555 ' || n, 'type', 'work')))
FROM generate_series($2::bigint, $3::bigint) AS n
"""


async def seed(stack: Stack, number: int) -> float:
    """Put users 1 to `number` into the tenant; returns the seconds that it took."""
    password = (stack.home.secrets / "postgres" / "password").read_text()
    url = stack.environment("users", "api")["QUARTET_DATABASE_URL"]
    settings = {"search_path": "users", "synchronous_commit": "off"}
    connection = await asyncpg.connect(url, user="postgres", password=password, server_settings=settings)
    begun = time.monotonic()
    for first in range(1, number + 1, CHUNK):
        await connection.execute(SEED, TENANT, first, min(number, first + CHUNK - 1))
    took = time.monotonic() - begun
    await connection.execute("VACUUM ANALYZE users, user_emails, user_totals")
    await connection.close()
    return took


Questions = Iterator[dict[str, str]]


def spread(number: int, make: Callable[[int], dict[str, str]]) -> Questions:
    """The question about one user after the other, far apart."""
    at = 1
    while True:
        at = (at + max(1, number // 997) * 31) % number + 1
        yield make(at)


def questions(number: int, cursors: dict[str, str]) -> dict[str, Questions]:
    """Each kind of question with its queries."""
    of_one = {
        "userName eq": lambda n: {"filter": f'userName eq "USER{n}@example.com"'},
        "externalId eq": lambda n: {"filter": f'externalId eq "e{n}"'},
        'emails[type eq "work"].value eq': lambda n: {
            "filter": f'emails[type eq "work"].value eq "user{n}@example.com"'
        },
        "emails.value eq (nobody)": lambda n: {"filter": f'emails.value eq "nobody{n}@example.com"'},
        "userName sw": lambda n: {"filter": f'userName sw "user{n}"', "cursor": ""},
        "nickName eq (no index)": lambda n: {"filter": f'nickName eq "nick{n}"', "cursor": ""},
    }
    delta = {"filter": 'meta.lastModified gt "2026-01-01T00:00:00Z"', "sortBy": "meta.lastModified", "cursor": ""}
    of_many = {
        "meta.lastModified gt (newest 50)": {"filter": f'meta.lastModified gt "{newest(number)}"'},
        "meta.lastModified gt, by cursor": delta,
        "count=0": {"count": "0"},
        **pages(cursors),
        "startIndex=1": {"startIndex": "1"},
        "startIndex in the middle": {"startIndex": str(number // 2)},
        "startIndex at the end": {"startIndex": str(number - 99)},
        "sortBy=title (no index)": {"sortBy": "title"},
    }
    found = {name: spread(number, make) for name, make in of_one.items()}
    return {**found, **{name: repeat(query) for name, query in of_many.items()}}


def newest(number: int) -> str:
    """The time of the fiftieth user from the end."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1767225600 + number - 50))


def pages(cursors: dict[str, str]) -> dict[str, dict[str, str]]:
    """A page by cursor at the start, in the middle and at the end, by id and by userName."""
    found = {}
    for order in ("id", "userName"):
        query = {} if order == "id" else {"sortBy": order}
        for place in ("start", "middle", "end"):
            found[f"cursor by {order}, {place}"] = {**query, "cursor": cursors[f"{order} {place}"]}
    return found


async def find_cursors(stack: Stack, number: int) -> dict[str, str]:
    """Cursors that lead to pages of the whole list, made as the API makes them."""
    secret = cursor_key((stack.home.secrets / "users/quartet_client_secret").read_text().strip())
    found = {}
    for order, context in (("id", ["", "", "False"]), ("userName", ["", "userName", "False"])):
        for place, at in (("middle", number // 2), ("end", number - 150)):
            key = None if order == "id" else f"user{at}@example.com"
            if order == "userName" and place == "end":
                key = "user99999"
            position = (key, f"01a20000-0000-7000-8000-{at:012x}")
            found[f"{order} {place}"] = encode_cursor(position, ["users", TENANT, *context], secret)
        found[f"{order} start"] = ""
    return found


async def measure(api: Api, name: str, queries: Questions, rounds: int) -> None:
    """Ask `rounds` times and print the line."""
    times, answer = [], None
    for _ in range(rounds):
        query = next(queries)
        begun = time.perf_counter()
        answer = await api.get(USERS, params=query)
        times.append((time.perf_counter() - begun) * 1000)
        if len(times) >= 5 and sum(times) > 20_000:
            break
    assert answer is not None
    body = answer.json()
    said = body.get("scimType") or f"{body.get('totalResults')} in all, {body['itemsPerPage']} shown"
    p99 = statistics.quantiles(times, n=100)[98] if len(times) > 1 else times[0]
    print(f"{name:36}{statistics.median(times):10.1f}{p99:10.1f}   {answer.status_code} {said}", flush=True)


async def run(stack: Stack, number: int, rounds: int) -> None:
    """Seed and measure."""
    token = await asyncio.to_thread(stack.token, TENANT)
    took = await seed(stack, number)
    print(f"{number:,} users in {took:.0f} s, {took / number * 1e6:.0f} us each")
    url = stack.environment("users", "api")["QUARTET_USERS_URL"]
    async with Api(url, token) as api:
        print(f"{'milliseconds':36}{'p50':>10}{'p99':>10}")
        for name, queries in questions(number, await find_cursors(stack, number)).items():
            await measure(api, name, queries, rounds)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quartet-bench-", ignore_cleanup_errors=True) as home:
        stack = Stack(Path(home), None, extra_environment=WIDE, temporary=True)
        try:
            stack.up()
            asyncio.run(run(stack, arguments.users, arguments.rounds))
        finally:
            stack.down()
            remove(stack.home)


if __name__ == "__main__":
    main()
