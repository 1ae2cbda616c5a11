"""Shapes of requests and responses about tenants; the Body structs parse requests, the rest is for OpenAPI."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

import msgspec

from quartet_common.core.errors import BadRequestError
from quartet_common.core.identifiers import TENANT_ID
from quartet_common.core.validation_messages import NO_CONTROL_CHARACTERS
from quartet_scim.compiled_type import CompiledType
from quartet_scim.normalise import MAX_INDEXED_ATTRIBUTE_BYTES, Normalised
from quartet_scim.schema import user_resource_type, user_schema
from quartet_users.tenants.tenant_domain import Tenant
from quartet_users.tenants.tenant_usecases import CreatedTenant, NewTenant

MAX_NAME = 256
ADMINISTRATORS = CompiledType.of(user_resource_type()).normaliser
"""For the first user of a tenant, which has no schemas of its own yet."""

Name = Annotated[str, msgspec.Meta(max_length=MAX_NAME, pattern=NO_CONTROL_CHARACTERS)]
UserName = Annotated[str, msgspec.Meta(max_length=MAX_INDEXED_ATTRIBUTE_BYTES, pattern=NO_CONTROL_CHARACTERS)]


@dataclass
class TenantQuery:
    """The query parameters of a list of tenants: status and page."""

    status: str | None = None
    cursor: str | None = None
    count: int | None = None


@dataclass
class AdministratorRequest:
    """The first user of a tenant. Without a password, one is generated, shown once, and changed at the first login."""

    user_name: str
    display_name: str | None = None
    email: str | None = None
    password: str | None = None


@dataclass
class TenantRequest:
    """A tenant to create; its id is 1 to 63 lower-case letters, digits and inner hyphens, and never changes."""

    id: str
    display_name: str | None = None
    administrator: AdministratorRequest | None = None


@dataclass
class TenantPatch:
    """The changeable fields of a tenant."""

    display_name: str


@dataclass
class TenantDocument:
    """A tenant."""

    id: str
    display_name: str
    status: str
    version: int
    created_at: datetime
    modified_at: datetime


@dataclass
class AdministratorDocument:
    """The first user of a tenant, with the password if it was generated, which is shown once."""

    id: str
    user_name: str
    password: str | None = None


@dataclass
class CreatedTenantDocument(TenantDocument):
    """A new tenant with its secrets, which are shown once: an API client for SCIM, and a bearer token for identity
    providers that do not support OAuth.
    """

    client_id: str
    client_secret: str
    scim_token: str
    administrator: AdministratorDocument | None = None


@dataclass
class TenantListDocument:
    """A page of tenants; `next` is the cursor of the next page, null on the last."""

    tenants: list[TenantDocument] = field(default_factory=list)
    next: str | None = None


class AdministratorBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The parsed AdministratorRequest."""

    user_name: UserName
    display_name: Name | None = None
    email: Name | None = None
    password: Annotated[str, msgspec.Meta(max_length=1024)] | None = None

    def __repr__(self) -> str:  # without the password
        return f"AdministratorBody(user_name={self.user_name!r})"


class TenantBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The parsed body of TenantRequest."""

    id: str
    display_name: Name | None = None
    administrator: AdministratorBody | None = None

    def wanted(self) -> NewTenant:
        """The tenant to create. Raises BadRequestError, ScimError (400)."""
        if TENANT_ID.fullmatch(self.id) is None:
            raise BadRequestError("id must be 1 to 63 lower-case letters, digits and inner hyphens.")
        person = self.administrator
        return NewTenant(self.id, self.display_name or "", None if person is None else _user(person))


class PatchBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The parsed body of TenantPatch."""

    display_name: Name


def _user(person: AdministratorBody) -> Normalised:
    document = {
        "schemas": [user_schema().id],
        "userName": person.user_name,
        "displayName": person.display_name,
        "emails": None if person.email is None else [{"value": person.email, "primary": True}],
        "password": person.password,
    }
    return ADMINISTRATORS.normalise(document)


def document_of(tenant: Tenant) -> TenantDocument:
    """The response form of a tenant."""
    return TenantDocument(
        tenant.id, tenant.display_name, tenant.status, tenant.version, tenant.created, tenant.modified
    )


def created_document(made: CreatedTenant) -> CreatedTenantDocument:
    """The response form of a new tenant, with its secrets."""
    shown = CreatedTenantDocument(
        **vars(document_of(made.tenant)),
        client_id=made.client.client.id,
        client_secret=made.client.secret or "",
        scim_token=made.scim_token,
    )
    if made.administrator is not None:
        who = made.administrator
        shown.administrator = AdministratorDocument(str(who.id), who.user_name, made.password)
    return shown
