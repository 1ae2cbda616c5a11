"""SCIM Bulk: operations that create, and references by bulkId in any order."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from quartet_directory_formats import FormatError, LineError, MemberReference, Record, Result

Read = Callable[..., list[Result]]
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


def bulk(*operations: Any, **more: Any) -> str:
    """A BulkRequest."""
    schemas = ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"]
    return json.dumps({"schemas": schemas, "failOnErrors": 1, **more, "Operations": operations})


def post(path: str, bulk_id: str, **data: Any) -> dict[str, Any]:
    """An operation that creates."""
    return {"method": "POST", "path": path, "bulkId": bulk_id, "data": data}


def test_operations_are_records_and_bulk_ids_become_names(read: Read) -> None:
    members = [{"value": "bulkId:u", "type": "User"}, {"value": "bulkId:h"}, {"value": "bob"}]
    text = bulk(
        post("/Groups", "g", displayName="Staff", members=members),
        post("Users/", "u", schemas=[USER], userName="ada", externalId="7"),
        {"METHOD": "post", "Path": "/groups", "bulkId": "h", "data": {"displayName": "Nested"}},
    )
    group, user, nested = read("scim-bulk", text)
    assert group == Record(
        1,
        "group",
        {"schemas": [GROUP], "displayName": "Staff"},
        members=(
            MemberReference("bulkId:u", "user", None, "7", "ada"),
            MemberReference("bulkId:h", "group", None, None, None, "Nested"),
            MemberReference("bob", None, None, "bob", "bob", "bob"),
        ),
    )
    assert user == Record(2, "user", {"schemas": [USER], "userName": "ada", "externalId": "7"})
    assert nested == Record(3, "group", {"schemas": [GROUP], "displayName": "Nested"})


def test_other_references_by_bulk_id_are_left_out_with_a_note(read: Read) -> None:
    [user] = read(
        "scim-bulk",
        bulk(post("/Users", "u", userName="ada", **{ENTERPRISE: {"manager": {"value": "bulkId:x"}, "division": "d"}})),
    )
    assert isinstance(user, Record)
    assert user.resource[ENTERPRISE] == {"division": "d"}
    assert user.notes == ("A reference to a bulkId is imported in members only.",)


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        ({"method": "PATCH", "path": "/Users/1", "data": {}}, "Only POST operations are imported."),
        (post("/Devices", "d", userName="ada"), "The path must be /Users or /Groups."),
        (7, "An operation must be a JSON object."),
        ({"method": "POST", "path": "/Users"}, "The data of an operation must be a JSON object."),
        (post("/Users", "u", schemas=[GROUP], displayName="x"), "The data are not a user, as the path says."),
        (post("/Groups", "g", displayName="x", members=["bulkId:x"]), "No operation with a name has this bulkId."),
    ],
)
def test_an_operation_that_cannot_be_read_is_reported(read: Read, operation: Any, reason: str) -> None:
    broken, good = read("scim-bulk", bulk(operation, post("/Users", "u", userName="ada")))
    assert isinstance(broken, LineError)
    assert (broken.line, broken.reason, broken.ends) == (1, reason, False)
    assert isinstance(good, Record)


@pytest.mark.parametrize("end", ["", "x", '"'])
def test_a_document_that_breaks_off_ends_with_an_error(read: Read, end: str) -> None:
    text = bulk(post("/Users", "u", userName="ada"), post("/Users", "v", userName="bob"))
    results = read("scim-bulk", text[:-30] + end)
    assert isinstance(results[0], Record)
    last = results[-1]
    assert isinstance(last, LineError)
    assert (last.line, last.ends) == (2, True)
    assert last.reason.startswith("The rest of the document cannot be read after element 1 of operations: ")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"Operations": 1}', "nothing", '{"Resources": {"Operations": []}}'])
def test_a_file_without_operations_is_refused(read: Read, text: str) -> None:
    with pytest.raises(FormatError, match="operations"):
        read("scim-bulk", text)


def test_reading_continues_after_the_skipped_results(read: Read) -> None:
    text = bulk(post("/Users", "u", userName="a"), 7, post("/Groups", "g", displayName="b", members=["bulkId:u"]))
    everything = read("scim-bulk", text)
    assert [read("scim-bulk", text, skip=count) for count in range(4)] == [everything[count:] for count in range(4)]
