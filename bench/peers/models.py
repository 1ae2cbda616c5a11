"""The peer's models: a SCIM user of the core and enterprise schemas (RFC 7643 sections 4.1 and 4.3)."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


class Model(BaseModel):
    """Attributes by their SCIM names; those that the schema does not know are left out."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore")


class Name(Model):
    """The components of a user's name."""

    formatted: str | None = None
    family_name: str | None = None
    given_name: str | None = None
    middle_name: str | None = None
    honorific_prefix: str | None = None
    honorific_suffix: str | None = None


class Value(Model):
    """One value of a multi-valued attribute."""

    value: str | None = None
    display: str | None = None
    type: str | None = None
    primary: bool | None = None


class Address(Model):
    """A physical address."""

    formatted: str | None = None
    street_address: str | None = None
    locality: str | None = None
    region: str | None = None
    postal_code: str | None = None
    country: str | None = None
    type: str | None = None
    primary: bool | None = None


class Manager(Model):
    """Whom a user reports to."""

    value: str | None = None
    ref: Annotated[str | None, Field(alias="$ref")] = None
    display_name: str | None = None


class EnterpriseUser(Model):
    """The enterprise extension."""

    employee_number: str | None = None
    cost_center: str | None = None
    organization: str | None = None
    division: str | None = None
    department: str | None = None
    manager: Manager | None = None


class UserIn(Model):
    """A user as a client sends it."""

    schemas: list[str]
    user_name: Annotated[str, Field(min_length=1)]
    external_id: str | None = None
    name: Name | None = None
    display_name: str | None = None
    nick_name: str | None = None
    profile_url: str | None = None
    title: str | None = None
    user_type: str | None = None
    preferred_language: str | None = None
    locale: str | None = None
    timezone: str | None = None
    active: bool | None = None
    emails: list[Value] | None = None
    phone_numbers: list[Value] | None = None
    ims: list[Value] | None = None
    photos: list[Value] | None = None
    addresses: list[Address] | None = None
    entitlements: list[Value] | None = None
    roles: list[Value] | None = None
    x509_certificates: Annotated[list[Value] | None, Field(alias="x509Certificates")] = None
    enterprise: Annotated[EnterpriseUser | None, Field(alias=ENTERPRISE)] = None


class Meta(Model):
    """What the service says of a resource."""

    resource_type: str = "User"
    created: datetime
    last_modified: datetime
    location: str
    version: str


class UserOut(UserIn):
    """A user as it is answered."""

    id: UUID
    meta: Meta
