"""The quick parsers of lines and parts: what they return is what JSON says, and they leave the rest to JSON."""

import base64
import json

from hypothesis import given
from hypothesis import strategies as st

from quartet_audit_verifier.encoding import FormatError, decode_base64, parse_object
from quartet_audit_verifier.entry_lines import EntryLine, parse_entry_line
from quartet_audit_verifier.leaves import PARTS
from quartet_audit_verifier.part_patterns import PERSONAL, match_facts
from quartet_testing.audit_bundles import Document, Log

ENTRIES = [entry.document() for entry in Log().append(4).entries]


def compact(document: Document) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def as_text(line: EntryLine) -> Document:
    parts = {
        name: {"bytes": content.decode(), "salt": salt.decode()}
        for name, content, salt in zip(PARTS, line.parts[::2], line.parts[1::2], strict=True)
        if content is not None and salt is not None
    }
    return {"sequence": line.sequence, "leaf": line.leaf.decode(), "parts": parts}


def test_compact_entries_are_read() -> None:
    for entry in ENTRIES:
        found = parse_entry_line(compact(entry))
        assert found is not None
        assert as_text(found) == entry


def test_other_forms_are_left_to_the_json_parser() -> None:
    entry = ENTRIES[0]
    good = compact(entry)
    erased = {**entry, "parts": {**entry["parts"], "actor": {"erased": {"time": "x", "request": "y"}}}}
    facts = compact({"x": entry["parts"]["facts"]})[5:-1]
    for line in (
        json.dumps(entry).encode(),
        compact(erased),
        compact({**entry, "parts": {}}),
        compact({"sequence": 1}),
        compact({**entry, "more": 1}),
        good.replace(b'"sequence":0', b'"sequence":00'),
        good.replace(b'"sequence":0', b'"sequence":-1'),
        good.replace(b'"sequence":0', b'"sequence":1.0'),
        good.replace(b'"sequence":0', b'"sequence":' + b"9" * 19),
        good.replace(b'"sequence":0', b'"sequence":\xd9\xa1'),
        good.replace(b'"facts":', b'"actor":'),
        good.replace(b'"facts":', b'"other":'),
        good.replace(b'"parts":{', b'"parts":{"facts":' + facts + b","),
        good + b"}",
        b"",
        b'"' * 100,
    ):
        assert parse_entry_line(line) is None, line


@given(
    position=st.integers(0, 3000), remove=st.integers(0, 2), insert=st.sampled_from(list(b'"\\{}:,0 a\n\t[]\x00\xff'))
)
def test_it_never_reads_anything_else_than_the_json_parser(position: int, remove: int, insert: int) -> None:
    line = bytearray(compact(ENTRIES[1]))
    position %= len(line)
    line[position : position + remove] = bytes([insert])
    found = parse_entry_line(bytes(line))
    if found is None:
        return
    values = [found.leaf, *(value for value in found.parts if value is not None)]
    if all(is_base64(value) for value in values):
        assert as_text(found) == parse_object(bytes(line))


def is_base64(value: bytes) -> bool:
    try:
        decode_base64(value, "a value")
    except FormatError:
        return False
    return True


def test_parts_in_the_usual_form_are_read_as_the_json_parser_reads_them() -> None:
    for entry in ENTRIES:
        facts = base64.b64decode(entry["parts"]["facts"]["bytes"])
        found, expected = match_facts(facts), parse_object(facts)
        assert found == {
            name: expected[name] for name in ("id", "sequence", "time", "recorded_time", "tenant", "action")
        }
        for name, pattern in PERSONAL.items():
            assert name not in entry["parts"] or pattern.fullmatch(base64.b64decode(entry["parts"][name]["bytes"]))


FACTS = base64.b64decode(ENTRIES[1]["parts"]["facts"]["bytes"])
ACTOR = base64.b64decode(ENTRIES[1]["parts"]["actor"]["bytes"])


@given(
    is_actor=st.booleans(),
    position=st.integers(0, 1000),
    remove=st.integers(0, 2),
    insert=st.sampled_from(list(b'"\\{}:,0 a\n\t[]\x00\x7f\xff')),
)
def test_patterns_match_nothing_that_the_json_parser_reads_in_another_way(
    is_actor: bool, position: int, remove: int, insert: int
) -> None:
    raw = bytearray(ACTOR if is_actor else FACTS)
    position %= len(raw)
    raw[position : position + remove] = bytes([insert])
    if is_actor and PERSONAL["actor"].fullmatch(raw):
        assert parse_object(bytes(raw)).keys() == {"actor_name", "actor_type"}
    if not is_actor and (found := match_facts(bytes(raw))) is not None:
        expected = parse_object(bytes(raw))
        assert expected.keys() == parse_object(FACTS).keys()
        assert found == {name: expected[name] for name in found}
