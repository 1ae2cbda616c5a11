"""LDIF: entries of people and groups, folding, base64, passwords, and entries that cannot be read."""

import base64
from collections.abc import Callable

import pytest

from quartet_directory_formats import LineError, MemberReference, Record, Result
from quartet_directory_formats.distinguished_names import escape, normalise_dn, parse_dn
from quartet_directory_formats.records import InvalidRecordError

Read = Callable[..., list[Result]]
ReadRecords = Callable[..., list[Record]]
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PERSON = "dn: uid=ada,ou=people\nobjectClass: person\nuid: ada\n"


def test_people_and_groups_are_read_and_containers_left_out(read_records: ReadRecords) -> None:
    text = """version: 1
# people
dn: ou=People,dc=example
objectClass: organizationalUnit

dn: UID=Ada , OU=people,dc=example
objectClass: inetOrgPerson
uid: ada
cn: Ada Lovelace
sn:: TG92ZWxhY2U=
mail: ada@exam
 ple.com
# a comment
 that continues
mail: ada@example.org
displayName;lang-fr: Adélaïde
memberOf: cn=staff,dc=example


dn: cn=staff,dc=example
objectClass: groupOfNames
cn: Staff
member: uid=ada,ou=People,dc=example
member: cn=Nested,dc=example
member:

dn: cn=unix,dc=example
objectClass: posixGroup
cn: unix
memberUid: ada
"""
    user, staff, unix = read_records("ldif", text)
    assert user == Record(
        6,
        "user",
        {
            "schemas": [USER],
            "externalId": "uid=ada,ou=people,dc=example",
            "userName": "ada",
            "name": {"familyName": "Lovelace"},
            "displayName": "Ada Lovelace",
            "emails": [{"type": "work", "value": "ada@example.com"}, {"value": "ada@example.org"}],
            "active": True,
        },
        groups=(MemberReference("cn=staff,dc=example", "group", None, "cn=staff,dc=example", None, "staff"),),
    )
    assert staff.resource == {"schemas": [GROUP], "externalId": "cn=staff,dc=example", "displayName": "Staff"}
    assert staff.members == (
        MemberReference("uid=ada,ou=People,dc=example", None, None, "uid=ada,ou=people,dc=example", "ada"),
        MemberReference("cn=Nested,dc=example", None, None, "cn=nested,dc=example", None, "Nested"),
    )
    assert unix.members == (MemberReference("ada", "user", user_name="ada"),)


@pytest.mark.parametrize(
    "line",
    ["nsAccountLock: TRUE", "userAccountControl: 514", "pwdAccountLockedTime: 000001010000Z"],
)
def test_locked_people_are_disabled(read_records: ReadRecords, line: str) -> None:
    assert read_records("ldif", f"{PERSON}{line}\n")[0].resource["active"] is False
    assert read_records("ldif", f"{PERSON}userAccountControl: 512\n")[0].resource["active"] is True


def test_passwords_of_known_schemes_are_taken(read_records: ReadRecords) -> None:
    bcrypt = f"$2y$10${'b' * 53}"
    salt, value = base64.b64encode(b"s" * 16).decode(), base64.b64encode(b"v" * 32).decode()
    lines = {
        f"userPassword: {{CRYPT}}{bcrypt}": bcrypt,
        f"userPassword: {{PBKDF2-SHA256}}1000${salt}${value}": f"$pbkdf2-sha256$i=1000${salt[:-2]}${value[:-1]}",
        f"userPassword: {{SSHA}}abc\nuserPassword: {{CRYPT}}{bcrypt}": bcrypt,
    }
    assert [read_records("ldif", f"{PERSON}{line}\n")[0].password_hash for line in lines] == list(lines.values())
    [user] = read_records("ldif", f"{PERSON}userPassword: {{SSHA}}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")
    assert user.notes == ("The password hash is not imported: the scheme {SSHA} is not supported.",)
    assert (user.password_hash, "password" in user.resource) == (None, False)
    assert read_records("ldif", f"{PERSON}userPassword: secret\n")[0].resource["password"] == "secret"


def test_attributes_can_be_mapped(read_records: ReadRecords) -> None:
    text = f"{PERSON}employeeNumber: 7\nmail: ada@example.com\n"
    [user] = read_records("ldif", text, mapping={"mail": "userName", "employeenumber": "externalId"})
    assert (user.resource["userName"], user.resource["externalId"]) == ("ada@example.com", "7")


def test_people_without_uid_have_another_name(read_records: ReadRecords) -> None:
    text = "dn: cn=Ada,dc=x\nobjectClass: user\ncn: Ada\nsAMAccountName: ADA\nname: other\n"
    [user] = read_records("ldif", text)
    assert (user.resource["userName"], user.resource["displayName"]) == ("ADA", "Ada")
    assert read_records("ldif", "dn: cn=pc,dc=x\nobjectClass: user\nobjectClass: computer\ncn: pc\n") == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"{PERSON}jpegPhoto:< file:///etc/passwd\n", "Values by URL are not read."),
        (f"{PERSON}sn:: a\n", "The value is not valid base64."),
        (f"{PERSON}no colon\n", "The line is not `attribute: value`."),
        ("dn: uid=ada\nchangetype: delete\n", "Only entries and changes of the type add are imported."),
        ("dn: uid=ada\nuid: ada\n", "The entry has no objectClass."),
        ("dn: ada\nobjectClass: person\nuid: a\n", "The distinguished name is not valid: a part has no type."),
        ("objectClass: person\nuid: a\n", "The entry has no dn."),
        ("dn: o=a\nobjectClass: person\nsn: a\n", "The entry has none of uid, userid, samaccountname"),
        (f"{PERSON}title:: AGE=\n", "A value has a NUL character."),
    ],
)
def test_an_entry_that_cannot_be_read_is_reported(read: Read, text: str, reason: str) -> None:
    broken, good = read("ldif", f"{text}\n{PERSON}")
    assert isinstance(broken, LineError)
    assert (broken.line, broken.reason[: len(reason)]) == (1, reason)
    assert isinstance(good, Record)


def test_equal_distinguished_names_have_one_form() -> None:
    assert normalise_dn("CN=Ada  B + UID=x; ou = People") == normalise_dn("uid=X+cn=ada b,OU=people")
    assert normalise_dn(r"cn=a\,b") == normalise_dn(r"cn=a\2Cb") != normalise_dn("cn=a,b=")
    assert parse_dn(r"cn=J\C3\BCrgen\ ,o=\#x\\") == [[("cn", "Jürgen ")], [("o", r"#x" + "\\")]]
    for value in (" a", "a ", "#a", 'a,b+c"d\\e<f>g;h=i', "\\", " "):
        assert parse_dn(f"cn={escape(value)},o=x") == [[("cn", value)], [("o", "x")]]
    for text in ("a", "=a", "uid=a,", r"uid=\ff", "uid=a\\"):
        with pytest.raises(InvalidRecordError):
            parse_dn(text)
