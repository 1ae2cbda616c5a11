"""Archives: what the users service archives of a tenant, in the order of the restore."""

from collections.abc import Mapping
from types import MappingProxyType

from quartet_common.core.errors import NotFoundError
from quartet_common.data.archived_table import ORIGINS, ArchivedTable
from quartet_common.runtime.archives import Archives
from quartet_common.runtime.container import AppContainer
from quartet_common.runtime.restore_store import Restore
from quartet_common.runtime.unit_of_work import UnitOfWork
from quartet_users.config import UsersConfig
from quartet_users.tenants import tenant_domain, tenant_store
from quartet_users.tokens.token_revocation import revoke

LARGE = 20
"""Users that are read at a time: one can have a megabyte."""
UNKNOWN_HASH = "sha256(uuid_send(gen_random_uuid()))"
"""The hash of a restored SCIM token, which no token has."""

ARCHIVED: Mapping[str, ArchivedTable] = MappingProxyType(
    {
        "tenant": ArchivedTable(
            "tenants", "tenant_id", ("created_at", "display_name", "status", "version", "modified_at")
        ),
        "schema_set": ArchivedTable("schema_sets", "version", ("version",)),
        "schema": ArchivedTable("tenant_schemas", "urn_key", ("urn_key", "document", "created_at")),
        "user": ArchivedTable(
            "users",
            "id",
            ("id", "user_name_key", "external_id", "version", "created_at", "modified_at", "resource"),
            prefetch=LARGE,
        ),
        "unprepared_name": ArchivedTable("unprepared_names", "user_id", ("user_id",)),
        "credential": ArchivedTable(
            "credentials", "user_id", ("user_id", "password_hash", "changed_at", "must_change")
        ),
        "session": ArchivedTable(
            "sessions",
            "id",
            (
                *("id", "user_id", "client_id", "created_at", "last_used_at", "ends_at", "expires_at"),
                *("source_address", "user_agent"),
            ),
        ),
        "known_group": ArchivedTable("known_groups", "id", ("id", "display", "version", "deleted")),
        "membership": ArchivedTable("memberships", "user_id, group_id", ("user_id", "group_id", "version", "present")),
        "nesting": ArchivedTable("nestings", "child_id, parent_id", ("child_id", "parent_id", "version", "present")),
        "ancestor": ArchivedTable("ancestors", "group_id, ancestor_id", ("group_id", "ancestor_id")),
        "role": ArchivedTable(
            "roles", "id", ("id", "name", "description", "scopes", "version", "created_at", "modified_at")
        ),
        "role_grant": ArchivedTable(
            "role_grants",
            "grantee_id, role_id",
            ("grantee_id", "role_id", "grantee_type", "granted_at", "granted_by", "marked_at"),
        ),
        "client": ArchivedTable(
            "clients",
            "id",
            (
                *("id", "name", "scopes", "authentication", "jwks", "version", "created_at", "created_by"),
                *("modified_at", "expires_at", "last_used_at"),
            ),
        ),
        "scim_token": ArchivedTable(
            "scim_tokens",
            "id",
            ("id", "name", "scopes", "client_id", "hint", "created_at", "created_by", "expires_at", "last_used_at"),
            {"token_hash": UNKNOWN_HASH, "revoked_at": "now()"},
        ),
        "origin": ArchivedTable("origins", "id", ("id", "origin", "created_at", "created_by")),
        "tenant_origins": ORIGINS,
    }
)
"""The archived tables. tests/conventions/test_archives.py has the reason for each table and column not archived."""


def archives_of(container: AppContainer[UsersConfig]) -> Archives:
    """The archives of the service."""

    async def require_tenant(tenant: str) -> None:
        async with container.database.connection() as connection:
            known = await tenant_store.read_tenant(connection, tenant)
        if known is None or known.status == "deleted":
            raise NotFoundError(f"There is no tenant {tenant}.")

    return Archives(container, ARCHIVED, require_tenant, _complete)


async def _complete(work: UnitOfWork, restore: Restore) -> None:
    """Publish the restore: users are the last part of it. Tokens of a suspended tenant stay refused."""
    tenant = await tenant_store.lock_tenant(work.connection, work.tenant)
    if tenant is None:
        raise ValueError("it has no tenant")
    events, revocations = tenant_domain.restore(tenant, restore.archive, restore.counts)
    work.publish(events)
    revoke(work, revocations)
