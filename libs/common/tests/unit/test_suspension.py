"""Suspended tenants in the list of revocations."""

from datetime import UTC, datetime, timedelta

from quartet_common.auth.principal import Principal
from quartet_common.auth.revocations import revocation
from quartet_testing.revocations import fresh_list

NOW = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)


def issued(at: datetime, tenant: str = "acme") -> Principal:
    return Principal(tenant, "bjensen", "cli", frozenset(), 0, "1", at.timestamp())


async def test_a_suspended_tenant_is_refused_whenever_the_token_was_issued() -> None:
    revoked = await fresh_list()
    revoked.add([revocation("acme", "tenant", "acme", NOW, endless=True)])
    for at in (NOW - timedelta(days=90), NOW + timedelta(days=1)):
        assert revoked.reason(issued(at)) == "tenant_suspended"
        assert revoked.reason(issued(at, "other")) is None


async def test_a_resumed_tenant_has_its_tokens_back_but_for_those_that_were_revoked_otherwise() -> None:
    revoked = await fresh_list()
    revoked.add([revocation("acme", "tenant", "acme", NOW, endless=True)])
    revoked.add([revocation("acme", "client", "other", NOW), revocation("acme", "tenant", "acme", NOW)])
    assert revoked.reason(issued(NOW - timedelta(days=90))) is None
    revoked.add([revocation("acme", "subject", "bjensen", NOW)])
    assert revoked.reason(issued(NOW - timedelta(days=90))) == "revoked"
