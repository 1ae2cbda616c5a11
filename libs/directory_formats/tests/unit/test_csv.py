"""CSV: headers, delimiters, encodings, quoted cells, and rows that cannot be read."""

from collections.abc import Callable

import pytest

from quartet_directory_formats import FormatError, LineError, MemberReference, Record, Result

Read = Callable[..., list[Result]]
ReadRecords = Callable[..., list[Record]]
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


def test_common_columns_are_known(read_records: ReadRecords) -> None:
    text = (
        "User Name,First_name,Surname,E-Mail,Mobile,Enabled,Department\nada,Ada,Lovelace,ada@example.com,+44 1,no,R&D\n"
    )
    assert read_records("csv", text) == [
        Record(
            2,
            "user",
            {
                "schemas": [USER, ENTERPRISE],
                "userName": "ada",
                "name": {"givenName": "Ada", "familyName": "Lovelace"},
                "emails": [{"type": "work", "value": "ada@example.com"}],
                "phoneNumbers": [{"type": "mobile", "value": "+44 1"}],
                "active": False,
                ENTERPRISE: {"department": "R&D"},
            },
        )
    ]


def test_columns_can_be_paths_and_can_be_mapped(read_records: ReadRecords) -> None:
    text = (
        'person,"emails[type eq ""home""].value",shoe size,email,name.givenName\nada,a@example.com,37,b@example.com,Ada'
    )
    mapping = {"person": "userName", "shoe size": "urn:example:shoes:size", "email": ""}
    [user] = read_records("csv", text, mapping=mapping)
    assert user.resource == {
        "schemas": [USER, "urn:example:shoes"],
        "userName": "ada",
        "emails": [{"type": "home", "value": "a@example.com"}],
        "urn:example:shoes": {"size": "37"},
        "name": {"givenName": "Ada"},
    }
    assert user.notes == ()


def test_columns_without_a_meaning_are_said_once(read_records: ReadRecords) -> None:
    first, second = read_records("csv", "login,shoe size\nada,37\nbob,40\n")
    assert (first.notes, second.notes) == (("Columns that are not imported: shoe size.",), ())


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_delimiters_and_encodings_are_detected(read_records: ReadRecords, delimiter: str, encoding: str) -> None:
    rows = (("username", "displayname"), ("jürgen", f"Jürgen{delimiter} the 1st"))
    text = "\r\n".join(delimiter.join(f'"{cell}"' for cell in row) for row in rows)
    [user] = read_records("csv", text.encode(encoding))
    assert user.resource["displayName"] == f"Jürgen{delimiter} the 1st"


def test_a_delimiter_can_be_given_by_option_and_by_line(read_records: ReadRecords) -> None:
    assert read_records("csv", "username:displayname\nada:Ada", delimiter=":")[0].resource["displayName"] == "Ada"
    [user] = read_records("csv", "sep=:\r\nusername:displayname\r\nada:Ada")
    assert (user.line, user.resource["displayName"]) == (3, "Ada")


def test_rows_are_groups_if_the_header_says_so(read_records: ReadRecords) -> None:
    [group] = read_records("csv", "group name,members\nStaff,ada; userName:bob;;a\\;b\n")
    assert (group.kind, group.resource["displayName"]) == ("group", "Staff")
    assert group.members == (
        MemberReference("ada", None, None, "ada", "ada", "ada"),
        MemberReference("userName:bob", "user", user_name="bob"),
        MemberReference("a;b", None, None, "a;b", "a;b", "a;b"),
    )
    [group] = read_records("csv", "username,name\nx,Staff\n", kind="group")
    assert (group.kind, group.resource["displayName"]) == ("group", "Staff")


def test_cells_over_several_lines_keep_the_numbers_of_lines(read_records: ReadRecords) -> None:
    first, second = read_records("csv", 'username,title\nada,"a ""b""\r\n\nc"\nbob,x\n')
    assert (first.line, first.resource["title"]) == (2, 'a "b"\r\n\nc')
    assert (second.line, second.resource["title"]) == (5, "x")


def test_formulas_and_their_neutralised_form_are_text(read_records: ReadRecords) -> None:
    text = "username,title\n=1+1,'=1+1\n@x,''-a\n+1,'quoted'\n"
    found = [(one.resource["userName"], one.resource["title"]) for one in read_records("csv", text)]
    assert found == [("=1+1", "=1+1"), ("@x", "'-a"), ("+1", "'quoted'")]


def test_an_open_quote_costs_one_row(read: Read) -> None:
    text = 'username,title\nada,"x\nbob,"y"\nclaire,z\ndan,"open\nearl,w\n'
    results = read("csv", text)
    assert [one.line for one in results if isinstance(one, LineError)] == [2, 5]
    assert [one.resource["userName"] for one in results if isinstance(one, Record)] == ["bob", "claire", "earl"]


def test_a_row_with_other_columns_than_the_header_is_reported(read: Read) -> None:
    short, long, blank_cells = read("csv", "username,title\nada\nbob,x,y\n,\n\ncarl,z")
    assert short == LineError(2, "The row has 1 cells, but the header has 2.", "ada")
    assert long == LineError(3, "The row has 3 cells, but the header has 2.", "bob | x | y")
    assert isinstance(blank_cells, Record)


def test_a_value_that_is_no_boolean_is_reported(read: Read) -> None:
    assert read("csv", "username,active\nada,perhaps\n") == [LineError(2, "active must be true or false.", "perhaps")]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "The file is empty"),
        ("a,b\n1,2\n", {}, "No column is the userName or displayName. The header has: a, b. Map one of them"),
        ("email,mail,username\n", {}, "The columns 'email' and 'mail' are both emails"),
        (
            "username\n",
            {"mapping": {"x": "title"}},
            "The mapping names the column 'x', which is not in the header: username",
        ),
        ("username\n", {"mapping": {"x": "a b"}}, "'a b' is not an attribute path"),
        ("username\n", {"delimiter": "ab"}, "The delimiter 'ab' must be one character"),
        (b"user\xffname\n", {"encoding": "utf-8"}, "The header in line 1 cannot be read"),
        ('"username\n', {}, "The header in line 1 cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(read: Read, text: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(FormatError) as error:
        read("csv", text, **options)
    assert message in str(error.value)


def test_reading_continues_after_the_skipped_results(read: Read) -> None:
    text = 'username,title\na,1\nb\nc,"x\ny"\nd,"open\ne,2\n'
    everything = read("csv", text)
    assert [read("csv", text, skip=count) for count in range(6)] == [everything[count:] for count in range(6)]
