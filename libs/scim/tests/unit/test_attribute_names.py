"""Names of attributes: each way in which a client may write one."""

import pytest

from quartet_scim.attribute_names import Named, name_table
from quartet_scim.schema import Attribute, Schema, Type, user_resource_type

CORE = "urn:ietf:params:scim:schemas:core:2.0:user"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
TABLE = name_table(user_resource_type())


def found(text: str) -> tuple[str | None, str | None, str | None]:
    named = TABLE[text]
    attribute, sub = (None if one is None else one.name for one in (named.attribute, named.sub))
    return named.urn, attribute, sub


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("username", (None, "userName", None)),
        ("schemas", (None, "schemas", None)),
        ("id", (None, "id", None)),
        ("meta.lastmodified", (None, "meta", "lastModified")),
        ("name.familyname", (None, "name", "familyName")),
        (f"{CORE}:name.familyname", (None, "name", "familyName")),
        (f"{CORE}:externalid", (None, "externalId", None)),
        (CORE, (None, None, None)),
        (ENTERPRISE.lower(), (ENTERPRISE, None, None)),
        (f"{ENTERPRISE.lower()}:department", (ENTERPRISE, "department", None)),
        (f"{ENTERPRISE.lower()}:manager.$ref", (ENTERPRISE, "manager", "$ref")),
        (f"{ENTERPRISE.lower()}.manager", (ENTERPRISE, "manager", None)),
        (f"{ENTERPRISE.lower()}.manager.value", (ENTERPRISE, "manager", "value")),
        (f"{CORE}.name.familyname", (None, "name", "familyName")),
        ("manager.displayname", (ENTERPRISE, "manager", "displayName")),
    ],
)
def test_an_attribute_is_found_by_its_name(text: str, expected: tuple[str | None, str | None, str | None]) -> None:
    assert found(text) == expected


@pytest.mark.parametrize(
    "text", ["userName", "shoesize", "name.shoesize", f"{CORE}:department", f"{ENTERPRISE.lower()}:username", ""]
)
def test_what_is_no_name_in_lower_case_is_not_found(text: str) -> None:
    assert text not in TABLE


def test_a_bare_name_is_the_cores_or_a_published_extensions_or_of_one_tenant_schema_alone() -> None:
    own = (
        Attribute("manager", Type.COMPLEX, sub_attributes=(Attribute("badge"),)),
        Attribute("title"),
        Attribute("colour"),
        Attribute("size"),
    )
    more = Schema("urn:example:More", "More", "", own)
    table = name_table(user_resource_type(more, Schema("urn:example:Other", "Other", "", (Attribute("Size"),))))
    assert table["manager"].urn == table["manager.value"].urn == ENTERPRISE
    assert table["urn:example:more:manager"] == Named("urn:example:More", more.attributes[0])
    assert not table.keys() & {"size", "manager.badge"}
    assert table["title"].urn is None
    assert table["colour"].urn == "urn:example:More"
