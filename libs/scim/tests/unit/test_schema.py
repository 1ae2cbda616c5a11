"""Schemas: the packaged documents, compared with an independent implementation of RFC 7643."""

from collections.abc import Iterator
from typing import Any

import pytest
from scim2_models import EnterpriseUser, Extension, Group, Resource, User

from quartet_scim.discovery import schema_document
from quartet_scim.schema import (
    Attribute,
    Mutability,
    Returned,
    Schema,
    Type,
    common_attributes,
    enterprise_user_schema,
    group_schema,
    user_resource_type,
    user_schema,
)

DEVIATIONS = {
    ("manager.value", "required"): "the oracle's choice; RFC 7643 4.3 only recommends it",
    ("manager.$ref", "required"): "the same",
    ("members.value", "required"): "ours: a member without an id means nothing",
    ("members.display", "mutability"): "ours: the directory knows the name better than the client",
}


def described(schema: dict[str, Any]) -> Iterator[tuple[tuple[str, str], Any]]:
    """Every characteristic of every attribute, as ((path, characteristic), value)."""
    pending = [("", attribute) for attribute in schema["attributes"]]
    while pending:
        prefix, attribute = pending.pop()
        path = prefix + attribute["name"]
        pending += [(f"{path}.", sub) for sub in attribute.get("subAttributes") or ()]
        for name in ("type", "multiValued", "required", "mutability", "returned", "uniqueness"):
            yield (path, name), attribute[name]
        yield (path, "caseExact"), bool(attribute.get("caseExact"))
        for name in ("canonicalValues", "referenceTypes"):
            yield (path, name), sorted(attribute.get(name) or ())


@pytest.mark.parametrize(
    ("ours", "oracle"), [(user_schema(), User), (enterprise_user_schema(), EnterpriseUser), (group_schema(), Group)]
)
def test_every_attribute_has_the_oracles_characteristics_but_for_the_named_deviations(
    ours: Schema, oracle: type[Resource[Any]] | type[Extension]
) -> None:
    theirs = dict(described(oracle.to_schema().model_dump()))
    mine = dict(described(schema_document("https://example.com", ours)))
    assert mine.keys() == theirs.keys()
    different = {key for key in mine if mine[key] != theirs[key]}
    assert different == {key for key in DEVIATIONS if key in mine}


def test_every_attribute_is_described() -> None:
    for schema in (user_schema(), enterprise_user_schema(), group_schema()):
        for attribute in schema.attributes:
            assert all(one.description for one in (attribute, *attribute.sub_attributes)), attribute.name


def test_the_common_attributes_are_id_external_id_and_meta() -> None:
    common = {attribute.name: attribute for attribute in common_attributes()}
    assert list(common) == ["id", "externalId", "meta"]
    assert common["id"].returned is Returned.ALWAYS
    assert common["meta"].mutability is Mutability.READ_ONLY
    assert common["externalId"].case_exact


def test_an_attribute_without_characteristics_has_the_defaults_of_the_rfc() -> None:
    assert Attribute.from_document({"name": "badge"}) == Attribute(name="badge", type=Type.STRING)


def test_the_password_is_the_only_secret() -> None:
    assert [attribute.name for attribute in user_schema().attributes if attribute.is_secret] == ["password"]


def test_a_characteristic_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="sometimes"):
        Attribute.from_document({"name": "badge", "returned": "sometimes"})


def test_further_extensions_of_users_stand_behind_the_enterprise_one() -> None:
    badge = Schema("urn:example:Badge", "Badge", "", (Attribute("number"),))
    assert [schema.name for schema in user_resource_type(badge).extensions] == ["EnterpriseUser", "Badge"]
