"""The text of the SQL: which form a condition takes. That it finds the right rows is tested on a real PostgreSQL."""

from typing import Any

import pytest

from quartet_scim.errors import ScimError
from quartet_scim.filters import Column, Columns, Kind, Resolver, Rows, parse, to_sql
from quartet_scim.schema import ResourceType, group_resource_type

BADGE = "urn:example:params:scim:schemas:extension:badge:2.0:User"
FOLDED = "(lower(u.resource::text)::jsonb)"
COLUMNS: Columns = {"userName": Column("u.user_name_key", Kind.FOLDED), "id": Column("u.id", Kind.UUID)}
MEMBERS: Columns = {
    "members": Rows("members AS m WHERE m.group_id = g.id", {"value": Column("m.member_id", Kind.UUID)})
}


@pytest.mark.parametrize(
    ("text", "written", "parameters"),
    [
        ('userName eq "BJensen"', "u.user_name_key = $3::text", ("bjensen",)),
        ('userName sw "50%_\\\\"', "u.user_name_key LIKE $3::text", (r"50\%\_\\%",)),
        ("active eq true", "u.resource @> $3::jsonb", ('{"active": true}',)),
        ('profileUrl eq "X"', "u.resource @> $3::jsonb", ('{"profileUrl": "X"}',)),
        ('title eq "X"', f"{FOLDED} @> lower($3::text)::jsonb", ('{"title": "X"}',)),
        ('title co "X"', "lower((u.resource ->> 'title')) LIKE lower($3::text)", ("%X%",)),
        ('title gt "X"', "lower((u.resource ->> 'title')) COLLATE \"C\" > lower($3::text)", ("X",)),
        (
            'emails[type eq "work" and primary eq true]',
            f"{FOLDED} @> lower($3::text)::jsonb",
            ('{"emails": [{"type": "work", "primary": true}]}',),
        ),
        (
            f'{BADGE}:doors[value eq "A" and label eq "b"]',
            f'EXISTS (SELECT FROM jsonb_path_query(u.resource, \'$."{BADGE}"."doors"[*]\') AS element_1(value)'
            " WHERE (element_1.value @> $3::jsonb AND lower((element_1.value ->> 'label')) = lower($4::text)))",
            ('{"value": "A"}', "b"),
        ),
        ('id eq "not a uuid"', "FALSE", ()),
        (
            'not (active eq true) and (userName eq "a" or title pr)',
            "((u.resource @> $3::jsonb) IS NOT TRUE"
            " AND (u.user_name_key = $4::text OR (u.resource ->> 'title') <> ''))",
            ('{"active": true}', "a"),
        ),
    ],
)
def test_a_condition_takes_the_form_that_an_index_can_answer(
    badge_users: ResourceType, text: str, written: str, parameters: tuple[Any, ...]
) -> None:
    condition = Resolver(badge_users).resolve(parse(text))
    sql = to_sql(condition, COLUMNS, 3, resource="u.resource", folded=FOLDED)
    assert (sql.text, sql.parameters) == (written, parameters)


@pytest.mark.parametrize("text", ['members eq "{}"', 'members.value eq "{}"', 'members[value eq "{}"]'])
def test_elements_that_are_rows_are_asked_for_in_their_table(text: str) -> None:
    member = "2819c223-7f76-453a-919d-413861904646"
    sql = to_sql(Resolver(group_resource_type()).resolve(parse(text.format(member))), MEMBERS)
    assert sql.text == "EXISTS (SELECT FROM members AS m WHERE m.group_id = g.id AND m.member_id = $1::uuid)"
    assert [str(parameter) for parameter in sql.parameters] == [member]


@pytest.mark.parametrize(
    "text", ["members.type pr", 'members[type eq "User"]', "members.display pr", "meta.created pr"]
)
def test_what_is_neither_stored_nor_a_column_is_refused(text: str) -> None:
    condition = Resolver(group_resource_type()).resolve(parse(text))
    with pytest.raises(ScimError, match="cannot be used in a filter here") as caught:
        to_sql(condition, MEMBERS)
    assert caught.value.scim_type == "invalidFilter"
