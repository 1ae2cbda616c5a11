"""Properties: what is written is read back, in each format, whatever the values are."""

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet_directory_formats import EXPORT_FORMATS, FormatError, Record, Writer, parse
from quartet_directory_formats.csv_format import read_cell, write_cell
from quartet_directory_formats.csv_writer import USER_PATHS
from quartet_directory_formats.distinguished_names import normalise_dn, parse_dn
from quartet_directory_formats.ldif_writer import ATTRIBUTES
from quartet_directory_formats.references import join_references, split_references

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
HASH = f"$2b$12${'a' * 53}"
ID = "01a22c26-0000-7000-8000-000000000001"

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=30)
"""Any text that a resource can have."""
tricky = st.sampled_from(
    ["=1+1", "'=x", "''", "'", "+49", "-", "@x", "\tx", "\rx", '"', ",;|", "a\r\nb", "a\nb", " x ", "#x", ": x", "<x"]
)
values = texts | tricky


def read(format_name: str, content: bytes) -> list[Record]:
    """The records of a file without broken lines."""
    results = list(parse(format_name, lambda: io.BytesIO(content)))
    assert all(isinstance(one, Record) for one in results), results
    return [one for one in results if isinstance(one, Record)]


@st.composite
def users(draw: st.DrawFn) -> dict[str, Any]:
    """Users with attributes that all formats have."""
    optional = st.fixed_dictionaries({}, optional=dict.fromkeys(("givenName", "familyName"), values))
    user: dict[str, Any] = {
        "userName": draw(values),
        "active": draw(st.booleans()),
        "displayName": draw(values),
        "title": draw(values),
        "phoneNumbers": [
            {"type": kind, "value": draw(values)} for kind in draw(st.sets(st.sampled_from(["work", "home"])))
        ],
        "emails": [{"type": "work", "value": draw(values)}],
        ENTERPRISE: {"department": draw(values)},
    }
    names = draw(optional)
    return {"schemas": [USER, ENTERPRISE], **user, **({"name": names} if names else {})}


def plain(resource: dict[str, Any]) -> dict[str, Any]:
    """A resource without its order of elements, empty lists, and what LDIF adds."""
    kept = {name: value for name, value in resource.items() if value != []}
    if "phoneNumbers" in kept:
        kept["phoneNumbers"] = sorted(kept["phoneNumbers"], key=lambda one: str(one["type"]))
    return kept


@given(st.lists(users(), min_size=1, max_size=4), st.booleans())
@pytest.mark.parametrize("format_name", ["ndjson", "csv"])
def test_users_are_read_back(format_name: str, given_users: list[dict[str, Any]], with_hash: bool) -> None:
    writer = Writer(format_name, "user")
    content = writer.head() + b"".join(
        writer.record({"id": ID, **user}, HASH if with_hash else None) for user in given_users
    )
    found = read(format_name, content)
    assert [plain(one.resource) for one in found] == [plain(one) for one in given_users]
    assert {(one.id, one.password_hash) for one in found} == {(ID, HASH if with_hash else None)}


@given(users())
def test_users_are_read_back_from_ldif(user: dict[str, Any]) -> None:
    writer = Writer("ldif", "user")
    [found] = read("ldif", writer.head() + writer.record({"id": ID, **user}, HASH))
    expected = plain(user)
    expected.setdefault("name", {}).setdefault("familyName", user["userName"])  # inetOrgPerson must have sn
    read_back = plain({name: value for name, value in found.resource.items() if name != "externalId"})
    assert (read_back, found.password_hash) == (expected, HASH)


names = values.map(str.strip).filter(bool)
references = st.fixed_dictionaries({"value": st.just(ID), "type": st.just("User")}, optional={"userName": names})


@given(st.lists(references, max_size=5), st.lists(references, min_size=1, max_size=5), values)
@pytest.mark.parametrize("format_name", ["ndjson", "csv", "ldif"])
def test_groups_are_read_back_with_all_members(
    format_name: str, first: list[dict[str, str]], more: list[dict[str, str]], name: str
) -> None:
    resource = {"schemas": [GROUP], "displayName": name, "members": first}
    writer = Writer(format_name, "group")
    content = writer.head() + writer.record(resource) + writer.more_members(resource, more)
    content += writer.record({"schemas": [GROUP], "displayName": "last"})
    *found, last = read(format_name, content)
    assert {one.resource["displayName"] for one in found} == {name}
    assert last.resource["displayName"] == "last"
    by_name = [one.user_name or one.id for group in found for one in group.members]
    expected = [one.get("userName") or one["value"] for one in first + more]
    if format_name == "ldif":
        assert [len(group.members) for group in found] == [len(first + more)]
        by_name = [one.user_name for group in found for one in group.members]
    assert by_name == expected


@given(values)
def test_no_cell_begins_as_a_formula(value: str) -> None:
    assert write_cell(value)[0] not in "=+-@\t\r"
    assert read_cell(write_cell(value)) == value


@given(st.lists(values.map(str.strip).filter(bool), max_size=5))
def test_lists_in_cells_are_read_back(listed: list[str]) -> None:
    assert split_references(join_references(listed)) == listed


@given(st.lists(st.tuples(st.sampled_from(["cn", "ou", "dc"]), values), min_size=1, max_size=4))
def test_normal_distinguished_names_stay_as_they_are(parts: list[tuple[str, str]]) -> None:
    normal = normalise_dn(",".join(f"{kind}={write_dn(value)}" for kind, value in parts))
    assert normalise_dn(normal) == normal
    assert [[kind] for kind, _ in parts] == [[kind for kind, _ in part] for part in parse_dn(normal)]


def write_dn(value: str) -> str:
    """A value with each byte escaped."""
    return "".join(f"\\{byte:02x}" for byte in value.encode())


@given(st.binary(max_size=300), st.sampled_from(["ndjson", "csv", "ldif", "scim-bulk", "keycloak"]))
def test_no_input_causes_another_error(content: bytes, format_name: str) -> None:
    try:
        list(parse(format_name, lambda: io.BytesIO(content)))
    except FormatError as error:
        assert str(error)  # noqa: PT017  # most inputs raise nothing


@given(st.data())
def test_no_change_of_a_valid_file_causes_another_error(data: st.DataObject) -> None:
    format_name = data.draw(st.sampled_from(EXPORT_FORMATS))
    writer = Writer(format_name, "user")
    content = writer.head() + writer.record({"id": ID, "userName": "ada", "active": True, "displayName": "Ada"}, HASH)
    place = data.draw(st.integers(0, len(content)))
    test_no_input_causes_another_error.hypothesis.inner_test(  # type: ignore[attr-defined]
        content[:place] + data.draw(st.binary(max_size=5)) + content[place + data.draw(st.integers(0, 5)) :],
        format_name,
    )


def test_columns_and_attributes_have_one_path_each() -> None:
    assert len(set(USER_PATHS)) == len(USER_PATHS)
    assert len({path.text for _, path in ATTRIBUTES}) == len(ATTRIBUTES)


def test_an_unknown_format_is_not_written() -> None:
    with pytest.raises(FormatError, match="The format 'keycloak' is not written"):
        Writer("keycloak", "user")
