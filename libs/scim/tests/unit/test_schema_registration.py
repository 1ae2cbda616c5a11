"""Schemas that clients register: what is taken, what is refused and why, and that what is taken can be used."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quartet_scim.compiled_type import CompiledType
from quartet_scim.discovery import schema_document
from quartet_scim.errors import ScimError
from quartet_scim.filters import parse, to_sql
from quartet_scim.patch import PATCH_SCHEMA, parse_patch
from quartet_scim.schema import Mutability, Returned, Schema, Type, user_resource_type
from quartet_scim.schema_registration import MAX_ATTRIBUTES, find_conflict, read_schema, urns_of
from quartet_testing.examples import examples

URN = "urn:example:params:scim:schemas:extension:badge:2.0:User"
Document = dict[str, Any]


def document(*attributes: Any, **changed: Any) -> Document:
    return {"id": URN, "name": "Badge", "attributes": list(attributes or [{"name": "number"}]), **changed}


def refused(value: Any) -> tuple[str | None, str]:
    with pytest.raises(ScimError) as caught:
        read_schema(value)
    assert caught.value.status == 400
    return caught.value.scim_type, caught.value.detail


def test_missing_characteristics_have_the_defaults_of_the_rfc() -> None:
    [attribute] = read_schema(document({"name": "number"})).attributes
    assert (attribute.type, attribute.mutability, attribute.returned) == (
        Type.STRING, Mutability.READ_WRITE, Returned.DEFAULT,
    )  # fmt: skip
    assert (attribute.multi_valued, attribute.required, attribute.case_exact) == (False, False, False)


@pytest.mark.parametrize("kind", ["binary", "reference"])
@pytest.mark.parametrize("sent", [{}, {"caseExact": False}, {"caseExact": True}])
def test_binary_values_and_references_are_case_exact_whatever_is_sent(kind: str, sent: Document) -> None:
    schema = read_schema(document({"name": "photo", "type": kind, **sent}))
    assert schema.attributes[0].case_exact
    assert schema_document("https://example.com/scim/v2", schema)["attributes"][0]["caseExact"] is True


def test_the_document_of_a_schema_makes_the_same_schema_again() -> None:
    sent = document(
        {"name": "number", "required": True, "caseExact": True, "mutability": "immutable"},
        {"name": "areas", "multiValued": True, "canonicalValues": ["park", "castle"], "returned": "request"},
        {"name": "sponsor", "type": "complex", "subAttributes": [{"name": "value"}, {"name": "$ref"}]},
        {"name": "photo", "type": "reference", "referenceTypes": ["external"]},
        schemas=["urn:ietf:params:scim:schemas:core:2.0:Schema"],
        description="What opens doors",
    )
    schema = read_schema(sent)
    shown = schema_document("https://example.com/scim/v2", schema)
    assert Schema.from_document(shown) == schema == read_schema(shown)


@pytest.mark.parametrize(
    "urn",
    [
        None, 7, "", "badge", "urn:", "urn:example", "urn:example:", "urn:x:Badge", "urn:-ex:Badge",
        "urn:example:/Badge", "urn:example:%4", "urn:example:a/Badge", "urn:example:a%2FBadge",
        "urn:example:a b", "urn:example:a'b", 'urn:example:a"b', "urn:example:a?+b", "urn:example:a#b",
        "urn:example:bädge", "urn:example:Badge\n", "http://example.com/badge", "urn:example:" + "a" * 256,
        "urn:ietf:params:scim:schemas:extension:badge:2.0:User", "URN:IETF:params:scim:schemas:core:2.0:User",
        "urn:example:badge:2.0", "urn:example:badge:",
    ],
)  # fmt: skip
def test_what_is_no_urn_or_not_the_clients_to_give_is_refused(urn: Any) -> None:
    scim_type, detail = refused(document(id=urn))
    assert (scim_type, detail[:4]) == ("invalidValue", "id: ")


@pytest.mark.parametrize(
    ("attribute", "place"),
    [
        ({}, "attributes[1].name"),
        ({"name": "2nd"}, "attributes[1].name"),
        ({"name": "a.b"}, "attributes[1].name"),
        ({"name": "$ref"}, "attributes[1].name"),
        ({"name": "a'b"}, "attributes[1].name"),
        ({"name": "größe"}, "attributes[1].name"),
        ({"name": "x" * 129}, "attributes[1].name"),
        ({"name": "NUMBER"}, "attributes[1].name"),
        ({"name": "a", "type": "text"}, "attributes[1].type"),
        ({"name": "a", "type": ["string"]}, "attributes[1].type"),
        ({"name": "a", "type": "complex"}, "attributes[1].subAttributes"),
        ({"name": "a", "type": "complex", "subAttributes": []}, "attributes[1].subAttributes"),
        ({"name": "a", "subAttributes": [{"name": "b"}]}, "attributes[1].subAttributes"),
        ({"name": "a", "required": "yes"}, "attributes[1].required"),
        ({"name": "a", "multiValued": None}, "attributes[1].multiValued"),
        ({"name": "a", "multivalued": True}, "attributes[1]: unknown characteristic 'multivalued'"),
        ({"name": "a", "returned": "never"}, "attributes[1].returned"),
        ({"name": "a", "mutability": "writeOnly"}, "attributes[1].mutability"),
        ({"name": "a", "mutability": "readOnly"}, "attributes[1].mutability"),
        ({"name": "a", "uniqueness": "server"}, "attributes[1].uniqueness"),
        ({"name": "a", "uniqueness": "global"}, "attributes[1].uniqueness"),
        ({"name": "a", "canonicalValues": "x"}, "attributes[1].canonicalValues"),
        ({"name": "a", "canonicalValues": [1]}, "attributes[1].canonicalValues[0]"),
        ({"name": "a", "canonicalValues": ["x"] * 101}, "attributes[1].canonicalValues"),
        ({"name": "a", "type": "integer", "canonicalValues": ["x"]}, "attributes[1].canonicalValues"),
        ({"name": "a", "referenceTypes": ["User"]}, "attributes[1].referenceTypes"),
        ({"name": "a", "description": 1}, "attributes[1].description"),
        ({"name": "a", "description": "x" * 1025}, "attributes[1].description"),
        ({"name": "a", "description": "\x00"}, "attributes[1].description"),
    ],
)
def test_a_wrong_attribute_is_refused_with_its_place(attribute: Document, place: str) -> None:
    scim_type, detail = refused(document({"name": "number"}, attribute))
    assert scim_type == "invalidValue"
    assert detail.startswith(place)


@pytest.mark.parametrize(
    ("sub", "place"),
    [
        ({"name": "a", "type": "complex", "subAttributes": [{"name": "b"}]}, "type"),
        ({"name": "a", "multiValued": True}, "multiValued"),
        ({"name": "a", "returned": "never"}, "returned"),
        ({"name": "VALUE"}, "name"),
    ],
)
def test_a_wrong_sub_attribute_is_refused_with_its_place(sub: Document, place: str) -> None:
    whole = {"name": "sponsor", "type": "complex", "subAttributes": [{"name": "value"}, sub]}
    _, detail = refused(document(whole))
    assert detail.startswith(f"attributes[0].subAttributes[1].{place}")


@pytest.mark.parametrize("value", [None, [], "x", 3, True])
def test_what_is_no_object_is_refused(value: Any) -> None:
    assert refused(value)[0] == "invalidSyntax"
    assert refused(document(value))[0] == "invalidSyntax"


@pytest.mark.parametrize("attributes", [None, [], {}, "x"])
def test_a_schema_without_attributes_is_refused(attributes: Any) -> None:
    assert refused(document(attributes=attributes))[1].startswith("attributes:")


def test_a_schema_has_a_limited_number_of_attributes_with_all_that_is_in_them() -> None:
    many = [{"name": f"a{number}"} for number in range(MAX_ATTRIBUTES)]
    assert len(read_schema(document(*many)).attributes) == MAX_ATTRIBUTES
    assert refused(document(*many, {"name": "more"}))[1].startswith("attributes:")
    whole = {"name": "whole", "type": "complex", "subAttributes": many[:60]}
    other = {**whole, "name": "other"}
    assert refused(document(whole, other))[1].startswith("attributes:")


def test_urns_that_could_be_taken_for_each_other_are_in_conflict() -> None:
    known = ["urn:example:Badge", "urn:example:door:2.0:User"]
    assert find_conflict("URN:example:badge", known) == "urn:example:Badge"
    assert find_conflict("urn:example:badge:number", known) == "urn:example:Badge"
    assert find_conflict("urn:example:door", known) == "urn:example:door:2.0:User"
    assert find_conflict("urn:example:badges", known) is None


NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9$_-]{0,8}", fullmatch=True)
SIMPLE = st.sampled_from([one.value for one in Type if one is not Type.COMPLEX])
FLAGS = st.fixed_dictionaries(
    {},
    optional={
        "multiValued": st.booleans(),
        "required": st.booleans(),
        "caseExact": st.booleans(),
        "mutability": st.sampled_from(["readWrite", "immutable"]),
        "returned": st.sampled_from(["default", "always", "request"]),
    },
)
SUBS = st.lists(
    st.tuples(NAMES | st.sampled_from(["value", "type", "primary", "$ref"]), SIMPLE), min_size=1, max_size=4
)


@st.composite
def attributes(draw: st.DrawFn) -> Document:
    found: Document = {"name": draw(NAMES), **draw(FLAGS)}
    if draw(st.booleans()):
        return {**found, "type": draw(SIMPLE)}
    subs = [{"name": name, "type": kind} for name, kind in draw(SUBS)]
    return {**found, "type": "complex", "subAttributes": subs}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=5) | NAMES, inside, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=examples(300))
@given(found=st.lists(attributes(), min_size=1, max_size=5), values=st.data())
def test_whatever_is_taken_can_be_written_patched_filtered_and_shown(
    found: list[Document], values: st.DataObject
) -> None:
    try:
        schema = read_schema(document(*found))
    except ScimError as wrong:
        assert "twice" in wrong.detail  # noqa: PT017  # nothing else is wrong with what the strategies make
        return
    compiled = CompiledType.of(user_resource_type(schema))
    assert urns_of(compiled.resource_type)[-1] == URN
    sent = {attribute.name: values.draw(JSON) for attribute in schema.attributes}
    body = {"schemas": [urns_of(compiled.resource_type)[0]], "userName": "b", URN: sent}
    kept = {key: value for key, value in body.items() if key != URN}
    for op in ("add", "replace"):
        try:
            kept = compiled.normaliser.normalise(body).attributes
        except ScimError as wrong:
            assert wrong.status == 400  # noqa: PT017  # nothing but ScimError is the point
        for attribute in schema.attributes:
            operation = {"op": op, "path": f"{URN}:{attribute.name}", "value": values.draw(JSON)}
            message = {"schemas": [PATCH_SCHEMA], "Operations": [operation]}
            try:
                compiled.engine.apply(kept, parse_patch(message))
            except ScimError as wrong:
                assert wrong.status == 400  # noqa: PT017  # as above
            to_sql(compiled.resolver.resolve(parse(f"{URN}:{attribute.name} pr")), {})
            shown = compiled.projector.parse(f"{URN}:{attribute.name}").apply({"id": "x", **kept})
            assert set(shown) <= {"id", "schemas", "userName", URN}


@settings(deadline=None, max_examples=examples(300))
@given(value=JSON, attribute=JSON)
def test_whatever_is_sent_nothing_but_a_refusal_comes_of_it(value: Any, attribute: Any) -> None:
    for sent in (value, document(attribute), document({"name": "a", "type": attribute}), document(id=value)):
        try:
            read_schema(sent)
        except ScimError as wrong:
            assert wrong.status == 400  # noqa: PT017  # nothing but ScimError is the point
