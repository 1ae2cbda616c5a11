"""Principals: which scopes a caller lacks to change who holds some."""

import pytest

from quartet_common.auth.scopes import missing_scopes


@pytest.mark.parametrize(
    ("own", "held", "missing"),
    [
        ("users:write", "", ""),
        ("users:write", "audit:read users:read", "audit:read users:read"),
        ("users:write audit:read", "audit:read", ""),
        ("users:write tenant:admin", "audit:read", "audit:read"),
        ("users:write privileged:write", "audit:read tenant:admin", ""),
        ("users:write privileged:write", "tenant:admin platform:admin", "platform:admin"),
        ("users:write privileged:write platform:admin", "tenant:admin platform:admin", ""),
    ],
)
def test_every_scope_that_is_held_is_needed_unless_a_client_provisions(own: str, held: str, missing: str) -> None:
    assert missing_scopes(frozenset(own.split()), held.split()) == set(missing.split())
