"""What may become of a tenant."""

from datetime import UTC, datetime, timedelta

import pytest

from quartet_users.tenants import tenant_domain
from quartet_users.tenants.tenant_domain import Tenant, TenantConflictError

NOW = datetime(2026, 1, 31, 9, 0, tzinfo=UTC)


def acme() -> Tenant:
    return tenant_domain.create("acme", "Acme", NOW)[0]


def test_every_change_is_later_than_the_one_before_whatever_the_clock_says() -> None:
    suspended, _, [off] = tenant_domain.suspend(acme(), NOW - timedelta(seconds=3))
    resumed, _, [on] = tenant_domain.resume(suspended, NOW - timedelta(seconds=5))
    assert acme().modified < off.revoked_at < on.revoked_at
    assert (off.endless, on.endless) == (True, False)
    assert (resumed.status, resumed.version) == ("active", 3)


def test_a_change_that_changes_nothing_publishes_nothing() -> None:
    suspended, _, _ = tenant_domain.suspend(acme(), NOW)
    deleted, _, _ = tenant_domain.delete(suspended, NOW)
    for same in (
        tenant_domain.resume(acme(), NOW),
        tenant_domain.rename(acme(), "Acme", NOW),
        tenant_domain.suspend(suspended, NOW),
        tenant_domain.delete(deleted, NOW),
    ):
        assert same[1:] == ([], [])
        assert same[0] in (acme(), suspended, deleted)


def test_a_deleted_tenant_comes_back_in_no_way_and_its_name_is_gone() -> None:
    deleted, published, [off] = tenant_domain.delete(acme(), NOW)
    assert (deleted.status, deleted.display_name, off.endless) == ("deleted", "", True)
    assert [event.type for event in published] == ["users.tenant.deleted.v1"]
    for change in (tenant_domain.suspend, tenant_domain.resume):
        with pytest.raises(TenantConflictError):
            change(deleted, NOW)
    with pytest.raises(TenantConflictError):
        tenant_domain.rename(deleted, "Acme", NOW)


def test_a_restored_tenant_that_was_suspended_stays_so_with_an_event_in_both_cases() -> None:
    suspended, _, [off] = tenant_domain.suspend(acme(), NOW)
    [restored], revocations = tenant_domain.restore(suspended, "a" * 64, {"user": 7})
    assert (restored.type, restored.sequence) == ("users.tenant.restored.v1", 2)
    assert restored.data == {"id": "acme", "archive": "a" * 64, "counts": {"user": 7}}
    assert revocations == [off]
    [restored], revocations = tenant_domain.restore(acme(), "a" * 64, {"user": 7})
    assert (restored.type, revocations) == ("users.tenant.restored.v1", [])


def test_the_platforms_own_tenant_stays_as_it_is() -> None:
    platform = tenant_domain.create("quartet", "", NOW)[0]
    for change in (tenant_domain.suspend, tenant_domain.delete):
        with pytest.raises(TenantConflictError):
            change(platform, NOW)


def test_an_administrator_has_all_of_a_tenant_and_nothing_of_the_platform() -> None:
    held = tenant_domain.administrators("acme", NOW).scopes
    assert {"tenant:admin", "users:write", "audit:export", "events:manage"} <= held
    assert held.isdisjoint({"platform:admin", "service"})
    assert "platform:admin" in tenant_domain.administrators("quartet", NOW).scopes
