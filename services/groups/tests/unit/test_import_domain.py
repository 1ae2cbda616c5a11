"""The rules of imports: keys, merged attributes, and memberships in batches."""

import pytest

from quartet_directory_formats import LineError, MemberReference, Record
from quartet_groups.imports import import_domain
from quartet_groups.imports.import_domain import Edge, Incoming, Key, Match, Refused, batches, key_of, merge, read_item
from quartet_scim.compiled_type import CompiledType
from quartet_scim.schema import group_resource_type

GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
NORMALISER = CompiledType.of(group_resource_type()).normaliser
ADA = MemberReference("ada", "user", user_name="ada")


def a_group(line: int, name: str, *members: MemberReference, external_id: str | None = None) -> Record:
    """A record of a group."""
    known = {"externalId": external_id} if external_id else {}
    return Record(line, "group", {"schemas": [GROUP], "displayName": name, **known}, members=members)


@pytest.mark.parametrize(
    ("attributes", "match", "key"),
    [
        ({"displayName": "Staff", "externalId": "S"}, "externalId", Key("externalId", "S")),
        ({"displayName": "Staff"}, "externalId", Key("displayName", "staff")),
        ({"displayName": "Staff", "externalId": "S"}, "displayName", Key("displayName", "staff")),
    ],
)
def test_a_group_is_found_by_its_external_id_or_its_name(attributes: dict[str, str], match: Match, key: Key) -> None:
    assert key_of(attributes, match) == key


def test_records_are_groups_or_refused_or_of_users() -> None:
    item = read_item(NORMALISER, a_group(3, "Staff"), "externalId")
    assert item == Incoming(3, {"schemas": [GROUP], "displayName": "Staff"}, Key("displayName", "staff"))
    assert read_item(NORMALISER, LineError(4, "It is broken.", "x"), "externalId") == Refused(4, "It is broken.", "x")
    refused = read_item(NORMALISER, a_group(5, "x" * 2000), "externalId")
    assert isinstance(refused, Refused)
    assert (refused.line, "displayName" in refused.reason) == (5, True)
    assert read_item(NORMALISER, Record(6, "user", {"userName": "ada"}), "externalId") is None


def test_attributes_that_the_file_does_not_have_stay() -> None:
    before = {"schemas": [GROUP], "displayName": "Staff", "externalId": "s"}
    assert merge(before, {"schemas": [GROUP], "displayName": "Team"}) == {**before, "displayName": "Team"}


def test_memberships_are_those_of_groups_and_of_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_domain, "MAX_EDGES", 2)
    staff = MemberReference("Staff", "group", display_name="Staff")
    records: list[Record | LineError] = [
        a_group(1, "Staff", ADA, external_id="s"),
        LineError(2, "It is broken."),
        Record(3, "user", {"userName": "bob", "externalId": "7"}, groups=(staff, ADA)),
        a_group(4, "Team", ADA),
        Record(5, "user", {"userName": "claire"}),
    ]
    found = list(batches((one, read_item(NORMALISER, one, "externalId")) for one in records))
    bob = MemberReference("bob", "user", None, "7", "bob")
    by_external_id = MemberReference("Staff", "group", external_id="s")
    team = MemberReference("Team", "group", display_name="Team")
    assert [(one.records, one.edges) for one in found] == [
        (3, [Edge(1, by_external_id, ADA), Edge(3, staff, bob), Edge(3, ADA, bob)]),
        (2, [Edge(4, team, ADA)]),
    ]
