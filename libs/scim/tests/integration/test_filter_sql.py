"""Filters on a real PostgreSQL: what the SQL finds is what the evaluator says, for any resources and any filter."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quartet_scim.filters import Column, Columns, Condition, Kind, Lookup, Resolver, Rows, fold, matches, parse, to_sql
from quartet_scim.filters.timestamps import INSTANT, microseconds, timestamptz
from quartet_scim.schema import ResourceType
from quartet_scim.usernames import prepare

FOLDED = "(lower(resource::text)::jsonb)"
BADGE = "urn:example:params:scim:schemas:extension:badge:2.0:User"
COLUMNS: Columns = {
    "id": Column("id", Kind.UUID),
    "userName": Column("user_name_key", Kind.FOLDED),
    "externalId": Column("external_id"),
    "displayName": Column("display_name"),
    "meta.resourceType": Column("'User'"),
    "meta.created": Column("created_at", Kind.INSTANT),
    "meta.lastModified": Column("modified_at", Kind.INSTANT),
    "groups": Rows("memberships AS m WHERE m.place = people.place", {"value": Column("m.group_id", Kind.UUID)}),
}
ADDRESSES = Lookup("addresses AS a WHERE a.place = people.place", "a.address", 2)
Document = dict[str, Any]
SEEN = "2026-01-31T09:30:00.000Z"


async def store(connection: asyncpg.Connection, documents: Sequence[Document]) -> None:
    """Puts the resources into the tables, each under its place in the sequence, and nothing else."""
    await connection.execute("DELETE FROM people; DELETE FROM memberships; DELETE FROM addresses")
    await connection.executemany(
        "INSERT INTO people VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        [row(place, document) for place, document in enumerate(documents)],
    )
    groups = [(place, UUID(one["value"])) for place, some in enumerate(documents) for one in some.get("groups", ())]
    await connection.executemany("INSERT INTO memberships VALUES ($1, $2)", groups)
    emails = [(place, one) for place, some in enumerate(documents) for one in _values(some.get("emails"))]
    await connection.executemany("INSERT INTO addresses VALUES ($1, left(lower($2), 2))", emails)


def _values(emails: Any) -> list[str]:
    listed = emails if isinstance(emails, list) else []
    return [one["value"] for one in listed if isinstance(one, dict) and isinstance(one.get("value"), str)]


def row(place: int, document: Document) -> tuple[Any, ...]:
    """The columns of a resource. Of its times, every other row has microseconds that clients do not see."""
    rest = {name: value for name, value in document.items() if name not in ("id", "meta", "groups")}
    times = (datetime.fromisoformat(document["meta"][name]) for name in ("created", "lastModified"))
    names = prepare(document["userName"]), document.get("externalId"), document.get("displayName")
    unseen = timedelta(microseconds=999 * (place % 2))
    return (place, UUID(document["id"]), *names, *(time + unseen for time in times), json.dumps(rest))


async def found(
    connection: asyncpg.Connection,
    conditions: Sequence[Condition],
    folded: str | None = None,
    columns: Columns = COLUMNS,
) -> list[list[int]]:
    """For each condition the places of the resources that the database finds; all of them asked for at once."""
    texts: list[str] = []
    parameters: list[Any] = []
    for condition in conditions:
        sql = to_sql(condition, columns, len(parameters) + 1, folded=folded)
        texts.append(f"ARRAY(SELECT place FROM people WHERE {sql.text} ORDER BY place)")
        parameters += sql.parameters
    record = await connection.fetchrow(f"SELECT {', '.join(texts)}", *parameters)
    assert record is not None
    return list(record)


@pytest.mark.filterwarnings("ignore:Generating overly large repr")  # the filters' strategy has many parts
@pytest.mark.parametrize(
    ("folded", "columns"),
    [(None, COLUMNS), (FOLDED, COLUMNS), (None, {**COLUMNS, "emails.value": ADDRESSES})],
    ids=["plain", "folded", "lookup"],
)
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
@given(data=st.data())
async def test_the_database_finds_what_the_evaluator_finds(
    connection: asyncpg.Connection,
    badge_users: ResourceType,
    documents: st.SearchStrategy[Document],
    filters: st.SearchStrategy[str],
    folded: str | None,
    columns: Columns,
    data: st.DataObject,
) -> None:
    resolver = Resolver(badge_users)
    some = data.draw(st.lists(documents, min_size=1, max_size=5))
    texts = data.draw(st.lists(filters, min_size=1, max_size=8))
    conditions = [resolver.resolve(parse(text)) for text in texts]
    await store(connection, some)
    for text, condition, places in zip(
        texts, conditions, await found(connection, conditions, folded, columns), strict=True
    ):
        assert places == [place for place, document in enumerate(some) if matches(condition, document)], text


@pytest.mark.parametrize("operator", ["eq", "ne", "gt", "ge", "lt", "le"])
async def test_a_time_is_compared_as_it_is_shown(
    connection: asyncpg.Connection, badge_users: ResourceType, operator: str
) -> None:
    shown = [f"2026-01-31T09:30:00.{milliseconds}Z" for milliseconds in ("000", "000", "001", "001", "002", "002")]
    rest = {"userName": "a", "id": str(UUID(int=1))}
    documents = [{**rest, "meta": {"created": SEEN, "lastModified": text}} for text in shown]
    await store(connection, documents)
    for fraction in ("", ".0000004", ".000001", ".0005", ".000999", ".0009999", ".001", ".0010001", ".001001"):
        text = f'meta.lastModified {operator} "2026-01-31T10:30:00{fraction}+01:00"'
        condition = Resolver(badge_users).resolve(parse(text))
        expected = [place for place, document in enumerate(documents) if matches(condition, document)]
        assert await found(connection, [condition]) == [expected], text


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "a", "2026-02-30T00:00:00Z", "x'\"\\"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["value", "type", "since"]), inner),
    max_leaves=4,
)


@pytest.mark.filterwarnings("ignore:Generating overly large repr")  # the filters' strategy has many parts
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
@given(data=st.data())
async def test_nothing_that_is_stored_makes_a_query_fail(
    connection: asyncpg.Connection, badge_users: ResourceType, filters: st.SearchStrategy[str], data: st.DataObject
) -> None:
    names = [attribute.name for attribute in badge_users.extensions[1].attributes]
    badge = data.draw(st.dictionaries(st.sampled_from(names), _json) | _json)
    resource = data.draw(st.dictionaries(st.sampled_from(["emails", "name", "active", "nickName", "schemas"]), _json))
    meta = {"created": SEEN, "lastModified": SEEN}
    document = {"userName": "a", **resource, BADGE: badge, "id": str(UUID(int=1)), "meta": meta}
    await store(connection, [document])
    conditions = [Resolver(badge_users).resolve(parse(text)) for text in data.draw(st.lists(filters, min_size=1))]
    for folded in (None, FOLDED):
        answers = await found(connection, conditions, folded)
        assert all(places in ([], [0]) for places in answers)
    assert [matches(condition, document) in (True, False) for condition in conditions]


@pytest.mark.parametrize(
    "value",
    [
        "'; DROP TABLE people; --",
        "' OR '1'='1",
        '") or (userName pr',
        "$1",
        "$1::text",
        "\\' OR TRUE --",
        "%",
        "_",
        "\\",
        "{}",
        "'||pg_sleep(60)||'",
        "E'\\x27'",
        "\"}}'::jsonb OR TRUE --",
    ],
)
@pytest.mark.parametrize(
    "path", ["userName", "nickName", "emails.value", "profileUrl", f"{BADGE}:Tags", "id", "groups"]
)
async def test_a_hostile_value_stays_a_value(
    connection: asyncpg.Connection, badge_users: ResourceType, path: str, value: str
) -> None:
    resolver = Resolver(badge_users)
    holder = {"userName": value, "nickName": value, "profileUrl": value, "emails": [{"value": value}]}
    other = {"userName": " ", "nickName": " ", "profileUrl": " ", "emails": [{"value": " "}], BADGE: {"Tags": [" "]}}
    rest = {"id": str(UUID(int=1)), "meta": {"created": SEEN, "lastModified": SEEN}}
    documents = [{**holder, BADGE: {"Tags": [value]}, **rest}, {**other, **rest}]
    await store(connection, documents)
    for operator in ("eq", "co", "sw", "ew", "gt"):
        condition = resolver.resolve(parse(f"{path} {operator} {json.dumps(value)}"))
        harmless = resolver.resolve(parse(f'{path} {operator} "harmless"'))
        written = to_sql(condition, COLUMNS, folded=FOLDED).text
        assert written in (to_sql(harmless, COLUMNS, folded=FOLDED).text, "FALSE")
        expected = [place for place, document in enumerate(documents) if matches(condition, document)]
        assert await found(connection, [condition]) == await found(connection, [condition], FOLDED) == [expected]


async def test_every_character_is_folded_as_the_database_does(connection: asyncpg.Connection) -> None:
    # Without surrogates, and without the letters of Unicode 16, which one side may know before the other does.
    newer = {0xA7CB, 0xA7CC, 0xA7DA, 0xA7DC, *range(0x10D50, 0x10D66)}
    known = [chr(code) for code in range(1, 0x110000) if not 0xD800 <= code <= 0xDFFF and code not in newer]
    lowered = await connection.fetchval(
        "SELECT array_agg(lower(one) ORDER BY place) FROM unnest($1::text[]) WITH ORDINALITY AS t(one, place)",
        known,
    )
    different = [(one, lower) for one, lower in zip(known, lowered, strict=True) if fold(one) != lower]
    assert different == []


async def test_a_word_is_folded_character_by_character(connection: asyncpg.Connection) -> None:
    for word in ("ΟΔΥΣΣΕΥΣ", "İSTANBUL", "STRAẞE", "ÀÉ"):
        assert await connection.fetchval("SELECT lower($1::text)", word) == fold(word)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.from_regex(
        r"(000\d|20[0-9]{2}|9999|1900)-[0-9]{2}-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,9})?"
        r"([Zz]|[+-][0-2][0-9]:[0-6][0-9])?\n?",
        fullmatch=True,
    )
)
async def test_a_text_is_the_same_instant_here_and_in_the_database(connection: asyncpg.Connection, text: str) -> None:
    ours = microseconds(text)
    await connection.execute("SET timezone = 'Asia/Tokyo'")  # a text without an offset is in UTC all the same
    guarded = f"CASE WHEN t ~ '{INSTANT}' THEN ({timestamptz('t')} - '0001-01-01T00:00:00Z'::timestamptz) END"
    passed = await connection.fetchval(f"SELECT {guarded} IS NOT NULL FROM unnest(ARRAY[$1::text]) AS t", text)
    assert passed is (ours is not None)
    if ours is not None:
        other = "2026-01-31T09:30:00Z"
        later = await connection.fetchval(
            f"SELECT {timestamptz('t')} > $2::text::timestamptz FROM unnest(ARRAY[$1::text]) AS t", text, other
        )
        assert later is (ours > (microseconds(other) or 0))


INDEXES = """
CREATE INDEX people_resource ON people USING gin (resource jsonb_path_ops);
CREATE INDEX people_folded ON people USING gin ((lower(resource::text)::jsonb) jsonb_path_ops);
CREATE INDEX people_user_name ON people (user_name_key);
CREATE INDEX people_user_name_start ON people (user_name_key text_pattern_ops);
CREATE INDEX people_external_id ON people (external_id);
CREATE INDEX people_modified ON people (modified_at);
CREATE UNIQUE INDEX people_id ON people (id);
SET enable_seqscan = off;
"""


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ('userName eq "bjensen"', "people_user_name"),
        ('userName sw "bj"', "people_user_name_start"),
        ('externalId eq "x"', "people_external_id"),
        ('id eq "00000000-0000-0000-0000-000000000001"', "people_id"),
        ('meta.lastModified gt "2026-01-31T09:30:00Z"', "people_modified"),
        ('meta.lastModified eq "2026-01-31T09:30:00Z"', "people_modified"),
        ("active eq true", "people_resource"),
        (f'{BADGE}:Tags eq "a"', "people_resource"),
        ("emails[primary eq true]", "people_resource"),
        ('emails.value eq "b@example.com"', "people_folded"),
        ('emails[type eq "work" and value eq "b@example.com"]', "people_folded"),
        ('emails[type eq "work"].value eq "b@example.com"', "people_folded"),
        ('name.familyName eq "Jensen" and not (active eq false)', "people_folded"),
    ],
)
async def test_an_index_answers(
    connection: asyncpg.Connection, badge_users: ResourceType, text: str, index: str
) -> None:
    await connection.execute(INDEXES)
    sql = to_sql(Resolver(badge_users).resolve(parse(text)), COLUMNS, folded=FOLDED)
    plan = await connection.fetch(f"EXPLAIN SELECT place FROM people WHERE {sql.text}", *sql.parameters)
    assert any(index in line[0] for line in plan), plan
