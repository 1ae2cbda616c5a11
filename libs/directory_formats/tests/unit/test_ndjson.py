"""NDJSON: SCIM resources by line."""

from collections.abc import Callable

import pytest

from quartet_directory_formats import FormatError, LineError, MemberReference, Record, Result, parse

Read = Callable[..., list[Result]]
ReadRecords = Callable[..., list[Record]]
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ID = "01a22c26-0000-7000-8000-000000000001"


def test_a_line_is_a_user_or_a_group(read_records: ReadRecords) -> None:
    text = (
        '{"userName": "ada", "active": false}\n\n'
        f'{{"schemas": ["{GROUP}"], "id": "{ID}", "displayName": "Staff", "meta": {{"version": "1"}}}}\r\n'
        '{"displayName": "Guests", "meta": {"resourceType": "Group"}}'
    )
    assert read_records("ndjson", text) == [
        Record(1, "user", {"schemas": [USER], "userName": "ada", "active": False}),
        Record(3, "group", {"schemas": [GROUP], "displayName": "Staff"}, id=ID),
        Record(4, "group", {"schemas": [GROUP], "displayName": "Guests"}),
    ]


def test_members_are_ids_names_and_objects(read_records: ReadRecords) -> None:
    text = (
        f'{{"displayName": "Staff", "members": ["ada", "{ID}", "userName:a:b", "group:Guests", '
        f'{{"value": "{ID}", "type": "User"}}, {{"value": "{ID}", "type": "Group", "externalId": "7"}}, '
        '{"userName": "bob"}, {"value": "externalId:x"}]}'
    )
    [group] = read_records("ndjson", text)
    assert group.members == (
        MemberReference("ada", None, None, "ada", "ada", "ada"),
        MemberReference(ID, None, ID, ID),
        MemberReference("userName:a:b", "user", user_name="a:b"),
        MemberReference("group:Guests", "group", None, "Guests", None, "Guests"),
        MemberReference(ID, "user", ID, ID),
        MemberReference(ID, "group", ID, "7"),
        MemberReference("bob", None, user_name="bob"),
        MemberReference("externalId:x", None, external_id="x"),
    )
    assert "members" not in group.resource


def test_a_user_can_name_its_groups(read_records: ReadRecords) -> None:
    [user] = read_records("ndjson", '{"userName": "ada", "groups": [{"display": "x", "displayName": "Staff"}]}')
    assert user.groups == (MemberReference("Staff", "group", display_name="Staff"),)


def test_a_password_hash_is_no_attribute(read_records: ReadRecords) -> None:
    hashed = f"$2b$12${'a' * 53}"
    [user] = read_records("ndjson", f'{{"userName": "ada", "passwordHash": "{hashed}"}}')
    assert (user.password_hash, user.notes) == (hashed, ())
    assert "passwordHash" not in user.resource
    [user] = read_records("ndjson", '{"userName": "ada", "passwordHash": "$md5$abc"}')
    assert user.password_hash is None
    assert user.notes == ("The password hash is not imported: the scheme md5 is not supported.",)


def test_a_broken_line_is_reported_and_the_next_one_read(read: Read) -> None:
    first, second = read("ndjson", '{"userName": "ada"\n{"userName": "bob"}\n')
    assert isinstance(first, LineError)
    assert (first.line, first.value, first.ends) == (1, '{"userName": "ada"', False)
    assert first.reason.startswith("The line is not valid JSON: ")
    assert isinstance(second, Record)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_encodings_are_detected(read_records: ReadRecords, encoding: str) -> None:
    content = '{"userName": "jürgen"}\n{"userName": "émile"}\n'.encode(encoding)
    assert [one.resource["userName"] for one in read_records("ndjson", content)] == ["jürgen", "émile"]


def test_an_encoding_can_be_given(read_records: ReadRecords) -> None:
    content = '{"userName": "Łukasz"}'.encode("cp1250")
    assert read_records("ndjson", content, encoding="cp1250")[0].resource["userName"] == "Łukasz"
    content = '{"userName": "Łukasz"}'.encode("utf-16-be")
    assert read_records("ndjson", content, encoding="utf-16")[0].resource["userName"] == "Łukasz"


def test_a_wrong_encoding_is_said(read: Read) -> None:
    content = b'{"userName": "bob"}\n{"userName": "j\xfcrgen"}'
    error = read("ndjson", content, encoding="utf-8")[1]
    assert isinstance(error, LineError)
    assert error.reason == "Byte 16 is not valid in the encoding of the file. Give the right encoding."
    with pytest.raises(FormatError, match="The encoding 'ebcdic' is not known"):
        read("ndjson", content, encoding="ebcdic")


def test_half_a_character_at_the_end_is_reported(read: Read) -> None:
    results = read("ndjson", '{"userName": "ada"}\n'.encode("utf-16") + b"\x00")
    assert [type(one) for one in results] == [Record, LineError]


def test_reading_continues_after_the_skipped_results(read: Read) -> None:
    text = '{"userName": "a"}\n{\n\n{"userName": "b"}\n{"userName": "c"}'
    everything = read("ndjson", text)
    assert [read("ndjson", text, skip=count) for count in range(6)] == [everything[count:] for count in range(6)]


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(FormatError, match="The format 'xml' is not known"):
        parse("xml", lambda: None)  # type: ignore[arg-type,return-value]
