"""Parsing: what is let in, and what is refused before anything else sees it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet_scim.errors import ScimError
from quartet_scim.json import MAX_DEPTH, MAX_PARTS, dump, parse

ALMOST_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(alphabet='a:\\"{[u\x00\ud800é', max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet="a:\\é", max_size=2), inner),
    max_leaves=40,
)


def refused(body: bytes) -> str:
    """The sentence with which the body is refused as invalidSyntax."""
    with pytest.raises(ScimError) as caught:
        parse(body)
    assert (caught.value.status, caught.value.scim_type) == (400, "invalidSyntax")
    return caught.value.detail


def object_of_depth(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


def test_an_object_is_read() -> None:
    assert parse(b' {"a": [1, 2.5, "\xc3\xa9", null, true]} ') == {"a": [1, 2.5, "é", None, True]}


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"1", b"null", b"true"])
def test_what_is_not_an_object_is_refused(body: bytes) -> None:
    assert "must be a JSON object" in refused(body)


@pytest.mark.parametrize("body", [b"", b"  \n"])
def test_an_empty_body_is_refused_as_empty(body: bytes) -> None:
    assert "empty" in refused(body)


@pytest.mark.parametrize(
    "body",
    [b"{", b'{"a":1,}', b"{'a':1}", b'{"a":NaN}', b'{"a":1e999}', b'{"a":"\xff"}', b'{"a":"\\ud800"}', b'{"a":"\x00"}'],
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    assert "not valid JSON" in refused(body)


def test_nesting_is_limited_to_32_levels() -> None:
    assert parse(object_of_depth(MAX_DEPTH))
    assert "32 levels" in refused(object_of_depth(MAX_DEPTH + 1))
    assert "32 levels" in refused(b'{"a":' + b"[" * 32 + b"]" * 32 + b"}")


def test_nesting_that_would_exhaust_a_stack_is_refused() -> None:
    assert refused(b'{"a":' + b"[" * 300_000)
    assert "32 levels" in refused(object_of_depth(1_000))


def test_many_objects_side_by_side_are_not_nesting() -> None:
    assert len(parse(b'{"a":[' + b",".join([b"{}"] * 1_000) + b"]}")["a"]) == 1_000


@pytest.mark.parametrize("piece", [b'"%d":0,', b"[],", b"{},", b"0,", b"["])
def test_a_body_of_too_many_values_is_refused_before_anything_is_made_of_it(
    piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quartet_scim.json.orjson.loads", lambda _: pytest.fail("it was made into objects"))
    with pytest.raises(ScimError, match="commas and opening brackets") as wrong:
        parse(b'{"a":' + piece * (MAX_PARTS + 1) + b"}")
    assert wrong.value.status == 413


@pytest.mark.parametrize("body", [b'{"a":"x\\u0000y"}', b'{"\\u0000":1}', b'{"a":"\\\\\\u0000"}'])
def test_an_escaped_nul_is_refused(body: bytes) -> None:
    assert "NUL" in refused(body)


def test_text_that_only_looks_like_an_escaped_nul_is_let_in() -> None:
    assert parse(b'{"a":"C:\\\\u0000"}') == {"a": "C:\\u0000"}


@pytest.mark.parametrize(
    "body",
    [
        b'{"role":1,"role":1}',
        b'{"a":{"role":1,"b":":","role":2}}',
        b'{"a":[{"role":[],"role":{}}]}',
        b'{"r\\u006fle":1,"role":2}',
        b'{"x":"\\u003a\\u003A","role":1,"role":2}',
    ],
)
def test_a_key_given_twice_in_one_object_is_refused_by_name(body: bytes) -> None:
    assert "'role'" in refused(body)


def test_a_long_repeated_key_is_not_sent_back_whole() -> None:
    key = b"k" * 10_000
    assert len(refused(b'{"%b":1,"%b":2}' % (key, key))) < 200


def test_colons_in_keys_and_values_are_not_taken_for_repeated_keys() -> None:
    assert parse(b'{"urn:a:b":{"c":":::\\u003a"},"d:":["::"]}') == {"urn:a:b": {"c": "::::"}, "d:": ["::"]}


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b:", "c"]), st.text(alphabet=':\\"u03a', max_size=4)), max_size=5),
    st.booleans(),
)
def test_an_object_is_refused_exactly_when_a_key_is_repeated(pairs: list[tuple[str, str]], escaped: bool) -> None:
    members = ",".join(f"{json.dumps(key)}:{json.dumps(value)}" for key, value in pairs)
    body = f'{{"outer":{{{members}}}}}'.encode()
    if escaped:
        body = body.replace(b'"b:"', b'"b\\u003a"')
    if len({key for key, _ in pairs}) < len(pairs):
        assert "repeats the key" in refused(body)
    else:
        assert parse(body) == {"outer": dict(pairs)}


@given(st.binary() | ALMOST_JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_read_as_the_standard_library_reads_it_or_refused(body: bytes) -> None:
    try:
        read = parse(body)
    except ScimError:
        refused(body)
    else:
        assert json.dumps(read) == json.dumps(json.loads(body, parse_int=_as_64_bits))


def _as_64_bits(digits: str) -> int | float:
    return int(digits) if -(2**63) <= int(digits) < 2**64 else float(digits)


@given(st.dictionaries(st.text(alphabet="aé:", max_size=3), st.text(alphabet='aé"\\\n', max_size=5)))
def test_what_is_dumped_is_parsed_to_the_same(document: dict[str, Any]) -> None:
    assert parse(dump(document).encode()) == document
