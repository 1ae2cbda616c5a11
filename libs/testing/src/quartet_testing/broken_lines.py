"""Broken lines: kinds of lines that no reader of NDJSON, CSV or LDIF may accept, each different from all others."""

import json
from collections.abc import Iterator

USER = '{"userName": "ada", "name": {"givenName": "Ada"}, "emails": [{"value": "ada@example.com", "type": "work"}]}'
INVALID_UTF8 = (
    b"\xff",
    b"\xfe",
    b"\xc0\xaf",
    b"\xc3",
    b"\xe2\x82",
    b"\xf0\x9f\x92",
    b"\xed\xa0\x80",
    b"\xf5\x80\x80\x80",
    b"\x80",
)
CONTROLS = tuple(bytes([code]) for code in range(32) if code not in (9, 10, 13))
NOT_OBJECTS = (
    "1",
    "-1.5",
    "true",
    "false",
    "null",
    '"text"',
    "[]",
    "[{}]",
    "{}",
    '{"active": true}',
    "{} {}",
    "[1, 2]",
)
NOT_LISTS = ("1", "true", '"bjensen"', "{}", '{"value": "1"}', "1.5")
NOT_MEMBERS = (
    "1",
    "null",
    "true",
    "[]",
    "{}",
    '""',
    '{"value": 1}',
    '{"type": "User"}',
    '{"value": ""}',
    "1.5",
    "false",
)
NOT_HEXADECIMAL = "ghijklmnopqrstuvwxyz"


def ndjson() -> Iterator[bytes]:
    """Lines of NDJSON that are no SCIM resource."""
    text = USER.encode()
    yield from (text[:length] for length in range(1, len(text)))
    yield from (text[start:] for start in range(1, len(text)))
    inside = [
        place + 1 for place, byte in enumerate(text) if byte == ord('"') and text[place + 1 : place + 2].isalpha()
    ]
    for place in inside:
        yield from (text[:place] + bad + text[place:] for bad in (*INVALID_UTF8, *CONTROLS))
        yield text[:place] + rb"\u0000" + text[place:]
        yield from (text[:place] + rb"\u" + bad.encode() + text[place:] for bad in NOT_HEXADECIMAL)
    outside = [place for place, byte in enumerate(text) if byte in b"{}[]:,"]
    yield from (
        text[:place] + bad + text[place:] for place in outside for bad in (b"!", b"'", b"\x00", b"//", b"NaN", b"\\")
    )
    yield from (one.encode() for one in NOT_OBJECTS)
    yield from (f'{{"displayName": "Staff", "members": {one}}}'.encode() for one in NOT_LISTS)
    yield from (f'{{"displayName": "Staff", "members": ["ada", {one}]}}'.encode() for one in NOT_MEMBERS)
    yield from (b'{"userName": ' + b"[" * depth + b"]" * depth + b"}" for depth in range(32, 200))


def csv(columns: int) -> Iterator[bytes]:
    """Rows of CSV that cannot be rows of a file with so many columns, at least three and with `,` as its delimiter."""
    yield from (b",".join([b"x"] * count) for count in range(1, 3 * columns) if count != columns)
    row = [b"cell"] * columns
    for place in range(columns):
        for bad in (*INVALID_UTF8, b"\x00"):
            yield b",".join([*row[:place], b"a" + bad + b"b", *row[place + 1 :]])
        yield b",".join([*row[:place], b'"quoted"more', *row[place + 1 :]])
        yield b",".join([*row[:place], b'"quoted" ', *row[place + 1 :]])


def ldif() -> Iterator[bytes]:
    """Entries of LDIF that are no user and no group."""
    entry = [b"dn: uid=ada,ou=people", b"objectClass: person", b"uid: ada", b"sn: Lovelace"]
    for place in range(1, len(entry)):
        for bad in (
            b"no colon",
            b": no name",
            b"1x: y",
            b"a b: c",
            b"sn:: !",
            b"sn:: YQ=",
            b"sn:: Y",
            b"sn:< file:///x",
            b"-",
        ):
            yield b"\n".join([*entry[:place], bad, *entry[place:]])
        yield from (b"\n".join([*entry, b"cn: " + bad + str(place).encode()]) for bad in (*INVALID_UTF8, b"\x00"))
    yield from (
        b"\n".join([entry[0], b"changetype: " + kind, *entry[1:]]) for kind in (b"modify", b"delete", b"modrdn")
    )
    yield b"\n".join(entry[1:])
    yield b"\n".join([entry[0], *entry[2:]])
    yield b"\n".join([entry[0], b"objectClass: person", b"sn: Lovelace"])
    yield b"\n".join([entry[0], b"objectClass: groupOfNames", b"member: uid=ada"])
    for bad in (
        b"ada",
        b"=ada",
        b"uid",
        b"uid=a,",
        b"1a=b",
        b"uid=ada,,ou=people",
        b"uid=ada\\",
        b"a b=c",
        b"uid=\\ff",
    ):
        yield b"\n".join([b"dn: " + bad, *entry[1:]])
        yield b"\n".join([b"dn: cn=x", b"objectClass: groupOfNames", b"cn: x", b"member: " + bad])


def users_between(broken: list[bytes]) -> tuple[bytes, list[int]]:
    """An NDJSON file with a good user after each broken line, and the numbers of the broken ones."""
    lines = [
        line for number, bad in enumerate(broken) for line in (bad, json.dumps({"userName": f"user{number}"}).encode())
    ]
    return b"\n".join(lines) + b"\n", list(range(1, 2 * len(broken), 2))
