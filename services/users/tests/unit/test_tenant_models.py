"""Requests about tenants: what the first administrator may be called."""

import msgspec
import pytest

from quartet_scim.errors import ScimError
from quartet_scim.normalise import MAX_INDEXED_ATTRIBUTE_BYTES
from quartet_users.tenants.tenant_models import TenantBody


def tenant_with(user_name: str) -> TenantBody:
    document = {"id": "acme", "administrator": {"user_name": user_name, "display_name": "Ada"}}
    return msgspec.convert(document, TenantBody)


def test_the_first_administrator_may_have_every_name_that_a_user_may_have() -> None:
    longest = "a" * MAX_INDEXED_ATTRIBUTE_BYTES
    wanted = tenant_with(longest).wanted().administrator
    assert wanted is not None
    assert wanted.attributes["userName"] == longest


def test_a_longer_name_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="user_name"):
        tenant_with("a" * (MAX_INDEXED_ATTRIBUTE_BYTES + 1))
    with pytest.raises(ScimError, match="userName"):
        tenant_with("é" * (MAX_INDEXED_ATTRIBUTE_BYTES // 2 + 1)).wanted()
